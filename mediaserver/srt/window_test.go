package srt

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSequenceNumbersWrap(t *testing.T) {
	for _, test := range []struct {
		a, b sequence
		want int
	}{{5, 3, 2}, {3, 5, -2}, {0, sequenceMask, 1}, {sequenceMask, 0, -1}, {1 << 29, 0, 1 << 29}} {
		if got := test.a.minus(test.b); got != test.want {
			t.Errorf("%d minus %d is %d, want %d", test.a, test.b, got, test.want)
		}
		if got := test.b.plus(test.want); got != test.a {
			t.Errorf("%d plus %d is %d, want %d", test.b, test.want, got, test.a)
		}
	}
}

// Whatever the network does, packets come out in order, once, whole, and none is held for longer than
// the latency. A packet that arrives in time is not lost.
func TestWindowPutsPacketsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const latency, interval = 120 * time.Millisecond, time.Millisecond
		first := sequence(rapid.SampledFrom([]uint32{0, 1000, sequenceMask - 50}).Draw(t, "first"))
		w := newWindow(first, latency)
		n := rapid.IntRange(50, 400).Draw(t, "packets")
		type arrival struct {
			number int
			at     time.Duration
		}
		// Each packet is sent every millisecond, and is late by a drawn time; some never arrive.
		var arrivals []arrival
		late, delivered := map[int]time.Duration{}, map[int]bool{}
		for i := range n {
			delay := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 0, 3, 40, 100, 130, -1}).Draw(t, "delay"))
			if delay >= 0 {
				late[i] = delay * time.Millisecond
				arrivals = append(arrivals, arrival{i, time.Duration(i)*interval + delay*time.Millisecond})
			}
		}
		arrivedAt := map[int]time.Duration{}
		next, lost := 0, 0
		for now := time.Duration(0); now < time.Duration(n)*interval+time.Second; now += interval {
			for _, a := range arrivals {
				if a.at == now {
					arrivedAt[a.number] = now
					payload := binary.BigEndian.AppendUint32(nil, uint32(a.number))
					w.add(first.plus(a.number), uint32(time.Duration(a.number)*interval/time.Microsecond), payload, now)
				}
			}
			for {
				payload, skipped := w.deliver(now)
				if payload == nil {
					break
				}
				next, lost = next+skipped, lost+skipped
				if got := int(binary.BigEndian.Uint32(payload)); got != next {
					t.Fatalf("packet %d at %v, want %d", got, now, next)
				}
				if held := now - arrivedAt[next]; held > latency {
					t.Fatalf("packet %d was held for %v", next, held)
				}
				delivered[next] = true
				next++
			}
			if w.bytes < 0 || w.missing < 0 || w.length() < 0 {
				t.Fatalf("%d bytes, %d missing, length %d", w.bytes, w.missing, w.length())
			}
		}
		if w.bytes != 0 || w.counts.lost != uint64(lost) {
			t.Fatalf("%d bytes are left, %d lost, want %d", w.bytes, w.counts.lost, lost)
		}
		for i, late := range late {
			if late <= 100*time.Millisecond && i < next && !delivered[i] {
				t.Fatalf("packet %d came %v late and was lost", i, late)
			}
		}
	})
}

func TestWindowAsksForWhatIsMissing(t *testing.T) {
	w := newWindow(10, time.Second)
	add := func(s sequence, now time.Duration) int { return w.add(s, uint32(now/time.Microsecond), []byte{1}, now) }
	add(10, 0)
	if lost := add(14, time.Millisecond); lost != 3 {
		t.Errorf("%d are missing", lost)
	}
	if gaps := w.ask(2*time.Millisecond, 20*time.Millisecond, maxGaps); gaps != nil {
		t.Errorf("asked again at once: %v", gaps)
	}
	add(12, 10*time.Millisecond)
	gaps := w.ask(30*time.Millisecond, 20*time.Millisecond, maxGaps)
	if len(gaps) != 2 || gaps[0] != (gap{11, 11}) || gaps[1] != (gap{13, 13}) || w.front != 11 {
		t.Errorf("asked for %v, front %d", gaps, w.front)
	}
	w.giveUp(gap{0, sequenceMask / 2}, 40*time.Millisecond)
	if gaps := w.ask(time.Minute, 20*time.Millisecond, maxGaps); gaps != nil {
		t.Errorf("asked for %v that the sender has not", gaps)
	}
}

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(0, 5*time.Second)
	for i := range 3 * maxWindow {
		w.add(sequence(i), 0, []byte{1}, 0)
	}
	if w.length() > maxWindow || w.bytes > maxWindow || w.counts.tooFar == 0 {
		t.Errorf("%d packets, %d bytes, %d too far", w.length(), w.bytes, w.counts.tooFar)
	}
	// After a long loss the connection goes on where the sender is.
	for now := time.Duration(0); now < 10*time.Second; now += time.Second {
		for payload, _ := w.deliver(now); payload != nil; payload, _ = w.deliver(now) {
			continue
		}
	}
	next := w.next
	if w.add(1<<20, 20_000_000, []byte{1}, 20*time.Second); w.length() != 1 {
		t.Errorf("%d packets after a long loss", w.length())
	}
	if payload, lost := w.deliver(30 * time.Second); payload == nil || lost != 1<<20-int(next) {
		t.Errorf("%d packets are told as lost, want %d", lost, 1<<20-int(next))
	}
}

// A sender's clock may run faster or slower, and its timestamps wrap.
func TestSenderClockFollowsDrift(t *testing.T) {
	for _, ppm := range []int64{-200, 0, 200} {
		var c senderClock
		worst := time.Duration(0)
		for now := time.Duration(0); now < 3*time.Hour; now += 10 * time.Millisecond {
			ts := now + now*time.Duration(ppm)/1_000_000 // by the sender's clock
			jitter := (now * 7919) % (5 * time.Millisecond)
			arrived := now + jitter
			got := c.arrival(uint32(ts/time.Microsecond), arrived)
			if got > arrived {
				t.Fatalf("%d ppm: a packet would have arrived %v later than it did", ppm, got-arrived)
			}
			if now > time.Minute {
				worst = max(worst, (arrived - jitter - got).Abs())
			}
		}
		if worst > 5*time.Millisecond {
			t.Errorf("%d ppm: the shortest way is wrong by up to %v", ppm, worst)
		}
	}
}

func TestRoundTripIsMeasured(t *testing.T) {
	r := newRoundTrip()
	if r.answered(r.acknowledge(0), 4*time.Millisecond); r.askAgain(time.Second) > 20*time.Millisecond {
		t.Errorf("after the first answer, a lost packet is asked for again after %v", r.askAgain(time.Second))
	}
	r.answered(r.acknowledge(time.Second), 1200*time.Millisecond) // late by 200 ms
	if got := r.askAgain(120 * time.Millisecond); got > 25*time.Millisecond {
		t.Errorf("after a late answer, with a latency of 120 ms, a lost packet is asked for again after %v", got)
	}
	if got := r.askAgain(5 * time.Second); got < 100*time.Millisecond {
		t.Errorf("with a long latency a lost packet is asked for again after %v", got)
	}
	now := time.Duration(0)
	for range 100 {
		n := r.acknowledge(now)
		r.answered(n, now+30*time.Millisecond)
		r.answered(n, now+time.Hour) // a second answer counts nothing
		now += 10 * time.Millisecond
	}
	if (r.mean-30*time.Millisecond).Abs() > time.Millisecond || r.deviation > 2*time.Millisecond {
		t.Errorf("round trip %v ± %v", r.mean, r.deviation)
	}
	r.answered(0, now)
	r.answered(1<<31, now)
}
