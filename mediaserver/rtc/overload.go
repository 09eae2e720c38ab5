package rtc

import (
	"errors"
	"time"
)

const (
	// longRound is how long one round of a fanout over its viewers may take. A picture waits for at
	// most two rounds.
	longRound = 100 * time.Millisecond
	// longRounds is after how many long rounds in a row pictures are left out. A single long round is
	// most often a pause of the whole process.
	longRounds = 3
	// overloadMemory is how long a server counts as overloaded after pictures were left out. New
	// viewers are refused meanwhile.
	overloadMemory = 10 * time.Second
)

// ErrOverloaded is returned for viewers that come while the server cannot send to those it has.
var ErrOverloaded = errors.New("the server is at the limit of its CPU, and takes no more viewers now; try again")

// A workload judges whether a fanout keeps up with its viewers. All times are on the media clock.
type workload struct {
	began time.Duration // of this round
	long  int           // how many rounds in a row were long
	// shedUntil is until when a single long round is enough, because pictures were left out lately.
	shedUntil time.Duration
}

// begin notes that a round begins.
func (w *workload) begin(now time.Duration) { w.began = now }

// mustShed reports whether a viewer that is served now loses its pictures up to the next IDR: rounds
// have been long, and this one has taken its time.
func (w *workload) mustShed(now time.Duration) bool {
	if now-w.began < longRound || w.long < longRounds && now >= w.shedUntil {
		return false
	}
	w.shedUntil = now + overloadMemory
	return true
}

// end notes that the round has ended.
func (w *workload) end(now time.Duration) {
	if now-w.began < longRound {
		w.long = 0
	} else {
		w.long++
	}
}

// shed leaves out the pictures that v has not got yet. v goes on at the next IDR.
func (v *Viewer) shed(now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.video
	if t == nil || t.waiting || !v.isConnected || v.closed {
		return
	}
	head := t.history.head()
	if head.index <= t.cursor {
		return
	}
	v.output.cfg.Metrics.PacketsDropped.WithLabelValues("overload").Add(float64(head.index - t.cursor))
	if v.output.cfg.Egress.noteOverload(now) {
		v.output.log.Warn("the CPU is not enough for all viewers: some lose pictures up to the next IDR, and new viewers are refused. " +
			"Give the server more CPU, or lower --max-viewers")
	}
	t.skip(head.index)
	t.waiting, t.resume = true, head.index
}
