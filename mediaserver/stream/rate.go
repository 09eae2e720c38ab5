package stream

import "time"

// rate is a bit rate over windows of rateWindow.
type rate struct {
	start time.Duration
	bytes int
	bps   int64
}

const rateWindow = 2 * time.Second

// at returns the rate at now; 0 once two windows have passed without a byte.
func (r *rate) at(now time.Duration) int64 {
	if now-r.start > 2*rateWindow {
		return 0
	}
	return r.bps
}

// add counts size bytes. It reports whether bps was updated.
func (r *rate) add(size int, now time.Duration) bool {
	if r.start == 0 {
		r.start = now
	}
	r.bytes += size
	d := now - r.start
	if d < rateWindow {
		return false
	}
	r.bps = int64(float64(r.bytes) * 8 / d.Seconds())
	r.start, r.bytes = now, 0
	return true
}

// count counts an access unit of so many bytes in the metrics. stream.mu must be held.
func (p *Publication) count(u *AccessUnit, size int) {
	s := p.stream
	if s.parent != nil {
		return
	}
	if p.ingestBytes[u.Kind] == nil {
		p.ingestBytes[u.Kind] = s.metrics.IngestBytes.WithLabelValues(s.key.App, s.key.ID, u.Kind.String())
	}
	p.ingestBytes[u.Kind].Add(float64(size))
	if p.rate.add(size, u.Arrival) && p == s.current {
		s.metrics.IngestBitrateBPS.WithLabelValues(s.key.App, s.key.ID).Set(float64(p.rate.bps))
		if p.silence == nil {
			p.silence = time.AfterFunc(2*rateWindow, p.fellSilent)
		} else {
			p.silence.Reset(2 * rateWindow)
		}
	}
}

// fellSilent sets the bit rate to zero: the publisher is connected but sends nothing.
func (p *Publication) fellSilent() {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == s.current {
		s.metrics.IngestBitrateBPS.WithLabelValues(s.key.App, s.key.ID).Set(0)
	}
}
