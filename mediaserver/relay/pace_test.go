package relay

import (
	"testing"
	"time"
)

// A line takes a stream of 25 access units a second. Its rate changes, and is a share of the
// stream's bit rate.
type line struct {
	name string
	gop  time.Duration // length of the burst with which the player begins
	rate func(at time.Duration) float64
	// ended is when the player should be ended, 0: never. within is the tolerance.
	ended, within time.Duration
	// whole reports whether the burst must have been taken before the player is ended.
	whole bool
}

// play returns when the player is ended, and how much of the stream it has taken by then.
func (l line) play(end time.Duration) (ended, taken time.Duration) {
	const step = 40 * ms
	p := newPace(l.gop) // the player comes when the burst has just been published
	now := l.gop
	for dts := time.Duration(0); now < end+l.gop; dts += step {
		now = max(now, dts) // live: the line waits for the next access unit
		due := p.next(dts, dts, dts < l.gop)
		for left := float64(step); left > 0; now += ms {
			if late(due, now) {
				return now - l.gop, dts
			}
			left -= l.rate(now-l.gop) * float64(ms)
		}
		p.took(now)
	}
	return 0, end
}

func TestWhoIsTooSlow(t *testing.T) {
	constant := func(rate float64) func(time.Duration) float64 {
		return func(time.Duration) float64 { return rate }
	}
	stallsAfter := func(rate float64, stall time.Duration) func(time.Duration) float64 {
		return func(at time.Duration) float64 {
			if at >= stall {
				return 0
			}
			return rate
		}
	}
	for _, l := range []line{
		{name: "as fast as the stream", gop: 2 * time.Second, rate: constant(1)},
		{name: "as fast as the stream, with a burst of ten seconds", gop: 10 * time.Second, rate: constant(1)},
		{name: "twice as fast, with a burst of ten seconds", gop: 10 * time.Second, rate: constant(2)},
		{name: "ten times as fast", gop: 2 * time.Second, rate: constant(10)},
		{name: "as fast as the stream, without anything for four seconds now and then", gop: 2 * time.Second, rate: func(at time.Duration) float64 {
			if at%(60*time.Second) > 56*time.Second {
				return 0
			}
			return 1.2
		}},
		{name: "half as fast gets a burst of two seconds whole", gop: 2 * time.Second, rate: constant(.5), ended: 14 * time.Second, within: 3 * time.Second, whole: true},
		{name: "half as fast gets a burst of ten seconds whole", gop: 10 * time.Second, rate: constant(.5), ended: 30 * time.Second, within: 2 * time.Second, whole: true},
		{name: "a tenth slower than the stream", gop: 2 * time.Second, rate: constant(.9), ended: 65 * time.Second, within: 20 * time.Second, whole: true},
		{name: "takes nothing at all", gop: 2 * time.Second, rate: constant(0), ended: 5 * time.Second, within: 100 * ms},
		{name: "a drip", gop: 2 * time.Second, rate: constant(.01), ended: 5 * time.Second, within: 500 * ms},
		{name: "a drip, with a burst of ten seconds", gop: 10 * time.Second, rate: constant(.01), ended: 5 * time.Second, within: 500 * ms},
		{name: "stops in the middle of the burst", gop: 10 * time.Second, rate: stallsAfter(2, time.Second), ended: 6 * time.Second, within: 200 * ms},
		{name: "stops when it has caught up", gop: 2 * time.Second, rate: stallsAfter(4, 30*time.Second), ended: 35 * time.Second, within: 200 * ms, whole: true},
		{name: "stops while it lags by its burst", gop: 4 * time.Second, rate: stallsAfter(1, 30*time.Second), ended: 35 * time.Second, within: 200 * ms, whole: true},
	} {
		t.Run(l.name, func(t *testing.T) {
			ended, taken := l.play(10 * time.Minute)
			t.Logf("ended after %v, with %v of the stream", ended, taken)
			if (ended == 0) != (l.ended == 0) || (ended-l.ended).Abs() > l.within {
				t.Errorf("ended after %v, want %v ± %v", ended, l.ended, l.within)
			}
			if l.whole && taken < l.gop {
				t.Errorf("of the burst of %v it got %v", l.gop, taken)
			}
		})
	}
}

// A relay that reconnects delivers at once the media that a stream has missed. The player has as
// long for that media as it plays.
func TestWhatComesAtOnceIsDueAtItsPace(t *testing.T) {
	p := newPace(0)
	p.next(0, 0, false)
	p.took(0)
	var due time.Duration
	for n := range 250 { // ten seconds of the stream, all of which arrive after eight
		due = p.next(8*time.Second, time.Duration(n)*40*ms, false)
		p.took(due)
	}
	if want := 18 * time.Second; (due - want).Abs() > 100*ms {
		t.Errorf("the last is due at %v, want %v", due, want)
	}
}

func TestAPauseOfTheEncoderGivesAPlayerNoTime(t *testing.T) {
	p := newPace(0)
	p.next(0, 0, false)
	p.took(0)
	if due := p.next(time.Minute, time.Hour, false); due != time.Minute {
		t.Errorf("due at %v", due)
	}
}
