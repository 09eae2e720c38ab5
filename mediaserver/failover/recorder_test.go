package failover

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// sent is one picture that went out.
type sent struct {
	at, now time.Duration
	unit    *stream.AccessUnit
	burst   bool
}

func (s sent) String() string {
	what := "picture"
	if s.unit.IDR {
		what = "IDR"
	}
	if s.burst {
		what = "cached " + what
	}
	return fmt.Sprintf("%s %d of %s/%d at %v", what, numberOf(s.unit), legOf(s.unit), s.unit.Publication.ID(), s.at)
}

// outputRecorder is an Output that remembers the media that was sent.
type outputRecorder struct {
	now     func() time.Duration
	viewers atomic.Int64
	changed chan struct{}
	hold    atomic.Int64 // how long the next WriteVideo stalls, a time.Duration
	bps     atomic.Int64 // the bit rate at which bursts are sent; 0: at once
	sent    []sent
	heard   []heard
}

// heard is one packet of sound that went out.
type heard struct{ at, now time.Duration }

func (s *outputRecorder) WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool) {
	time.Sleep(time.Duration(s.hold.Swap(0)))
	s.sent = append(s.sent, sent{at, s.now(), u, burst})
}

func (s *outputRecorder) BurstDuration(bytes int) time.Duration {
	bps := s.bps.Load()
	if bps == 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(bps) * float64(time.Second))
}

func (s *outputRecorder) WriteOpus(at, _ time.Duration, _ []byte) {
	s.heard = append(s.heard, heard{at, s.now()})
}

func (s *outputRecorder) ViewerCount() int                { return int(s.viewers.Load()) }
func (s *outputRecorder) ViewersChanged() <-chan struct{} { return s.changed }

// since returns the pictures that were sent since a time.
func (s *outputRecorder) since(then time.Duration) []sent {
	for i, p := range s.sent {
		if p.now >= then {
			return s.sent[i:]
		}
	}
	return nil
}

// segment is the media that an Audio was given since one Switch.
type segment struct {
	prime, live []*stream.AccessUnit
}

// audioRecorder is an Audio that remembers its input, and plays it the way the real Audio does: media
// that lies before its position comes too late.
type audioRecorder struct {
	now         func() time.Duration
	emit        func(at, duration time.Duration, opus []byte)
	frame       time.Duration
	segments    []segment
	stops       int
	stopped     bool
	passthrough bool

	position time.Duration // 0: nothing played yet, or not since Stop
	rested   time.Duration // the position at the last Stop
	played   []*stream.AccessUnit
	tooLate  int           // live units that came behind the position
	silence  time.Duration // in total
}

// begin is the NewAudio of a PairConfig.
func (s *audioRecorder) begin(emit func(at, duration time.Duration, opus []byte)) Audio {
	s.emit = emit
	return s
}

func (s *audioRecorder) Switch(prime []*stream.AccessUnit) {
	s.stopped = false
	s.segments = append(s.segments, segment{prime: prime})
	if s.position == 0 && len(prime) > 0 { // at the live edge
		s.position = max(s.rested, prime[len(prime)-1].PTS)
	}
	for _, u := range prime {
		s.play(u)
	}
}

func (s *audioRecorder) Write(u *stream.AccessUnit) {
	if len(s.segments) == 0 {
		s.segments = append(s.segments, segment{})
	}
	if s.stopped {
		return
	}
	last := &s.segments[len(s.segments)-1]
	last.live = append(last.live, u)
	if !s.play(u) {
		s.tooLate++
	}
}

func (s *audioRecorder) play(u *stream.AccessUnit) bool {
	if u.PTS < s.position-ms/10 {
		return false
	}
	s.Fill(u.PTS)
	s.played = append(s.played, u)
	s.emit(u.PTS, s.frame, u.Frame)
	s.position = u.PTS + s.frame
	return true
}

func (s *audioRecorder) Fill(until time.Duration) {
	if s.stopped {
		return
	}
	if s.position != 0 && until > s.position {
		s.silence += until - s.position
		for at := s.position; at < until; at += s.frame {
			s.emit(at, s.frame, nil)
		}
	}
	s.position = max(s.position, until)
}

func (s *audioRecorder) SetPassthrough(on bool) { s.passthrough = on }

func (s *audioRecorder) Stop() {
	s.stopped, s.rested, s.position = true, max(s.rested, s.position), 0
	s.stops++
}
