package rtc

import (
	"sync"
	"time"
)

const (
	// DefaultEgressBPS is the rate of an Egress without a configured rate, in bits per second.
	DefaultEgressBPS = 1_000_000_000
	// DefaultViewerBPS is the default of OutputConfig.ViewerBPS, in bits per second.
	DefaultViewerBPS = 100_000_000

	// viewerBurst is how many bytes may go to a viewer at once: what one system call sends of
	// packets of the default size. The rest of a large picture follows at the viewer's rate, which spares the queues of the path.
	viewerBurst = maxRun * defaultPacketSize
	// nackBPS (bits per second) and nackBurst (bytes) bound what one viewer can have resent.
	nackBPS   = 10_000_000
	nackBurst = 256 << 10
	// pacingInterval is how often a paced viewer is served.
	pacingInterval = 2 * time.Millisecond
	// catchUpAfter is the largest backlog that is still sent in full, in time at the viewer's
	// rate. A larger backlog is left out if an IDR has come after it.
	catchUpAfter = 100 * time.Millisecond
	// lateSound is the age above which sound is left out for a viewer whose connection had no
	// room. With older sound, a receiver would hold the picture back.
	lateSound = 500 * time.Millisecond
	// egressBurst is how much the bursts of all viewers may send at once, as time at
	// the egress rate.
	egressBurst = 10 * time.Millisecond
	// burstShare sets what bursts have when live media fill the egress rate: one part in
	// burstShare of that rate. So a viewer that joins a full server still gets a picture.
	burstShare = 8
	// egressDebt bounds how long bursts make room after live media above the egress rate, such as
	// an IDR for many viewers.
	egressDebt = 250 * time.Millisecond
	// liveWindow is the time over which the rate of live media is measured.
	liveWindow = 2 * time.Second
)

// A bucket is a token bucket in bytes. The last packet may overdraw it.
type bucket struct {
	bytesPerSecond, capacity, level float64
	filled                          time.Duration
}

func newBucket(bitsPerSecond int64, capacity float64, now time.Duration) bucket {
	return bucket{bytesPerSecond: float64(bitsPerSecond) / 8, capacity: capacity, level: capacity, filled: now}
}

func (b *bucket) fill(now time.Duration) {
	if now <= b.filled {
		return
	}
	b.level = min(b.capacity, b.level+b.bytesPerSecond*(now-b.filled).Seconds())
	b.filled = now
}

// An Egress bounds the rate at which a server sends bursts (joins, splices) to all viewers of
// all outputs. Live media are never delayed, but they use the rate up. Bursts have the rest, or a
// small share of the rate if that is more. An Egress also knows whether the server keeps up with its
// viewers.
type Egress struct {
	bps int64

	mu           sync.Mutex    // guards the rest
	all          bucket        // of live media and bursts. Its level is below 0 after too much of them
	bursts       bucket        // the share that bursts have in any case. All bursts are taken from it
	liveSince    time.Duration // liveBytes were sent since then
	liveBytes    int
	liveBPS      float64       // the rate of live media over the liveWindow before
	overloadedAt time.Duration // when pictures were last left out because of the CPU
}

// noteOverload notes that pictures are left out because the server does not keep up. It reports
// whether the server has kept up until now.
func (e *Egress) noteOverload(now time.Duration) (begins bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	begins = e.overloadedAt == 0 || now >= e.overloadedAt+overloadMemory
	e.overloadedAt = now
	return begins
}

// overloaded reports whether the server has not kept up lately.
func (e *Egress) overloaded(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.overloadedAt != 0 && now < e.overloadedAt+overloadMemory
}

// NewEgress returns an Egress of that many bits per second; 0 means DefaultEgressBPS.
func NewEgress(bitsPerSecond int64) *Egress {
	if bitsPerSecond <= 0 {
		bitsPerSecond = DefaultEgressBPS
	}
	capacity := float64(bitsPerSecond) / 8 * egressBurst.Seconds()
	return &Egress{
		bps: bitsPerSecond,
		all: newBucket(bitsPerSecond, capacity, 0), bursts: newBucket(bitsPerSecond/burstShare, capacity/burstShare, 0),
	}
}

// use takes n bytes out of the rate of all. The caller has filled the bucket.
func (e *Egress) use(n int) {
	e.all.level = max(-e.all.bytesPerSecond*egressDebt.Seconds(), e.all.level-float64(n))
}

// left returns the rate that live media leave to bursts, in bits per second.
func (e *Egress) left() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(float64(e.bps)/burstShare, float64(e.bps)-e.liveBPS)
}

// live counts n bytes that were sent without asking.
func (e *Egress) live(n int, now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := now - e.liveSince; d >= liveWindow {
		e.liveBPS, e.liveBytes, e.liveSince = float64(e.liveBytes)*8/d.Seconds(), 0, now
	}
	e.liveBytes += n
	e.all.fill(now)
	e.use(n)
}

// take reports whether n bytes of a burst may be sent now, and counts them if so.
func (e *Egress) take(n int, now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all.fill(now)
	e.bursts.fill(now)
	if e.all.level <= 0 && e.bursts.level <= 0 {
		return false
	}
	e.use(n)
	// The floor is at least one packet, which a low rate must pay for in full.
	e.bursts.level = max(-max(e.bursts.capacity, float64(n)), e.bursts.level-float64(n))
	return true
}
