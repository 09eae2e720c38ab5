package srt

import "time"

const (
	// maxWindow bounds the packets of a window, delivered or lost ones not counted. It is also the
	// flow window that callers are told (section 3.2.1).
	maxWindow = 8192
	minWindow = 256
)

// A slot is the place of one packet in a window.
type slot struct {
	payload []byte        // nil: the packet has not arrived
	due     time.Duration // when the packet is delivered, if it has arrived
	asked   time.Duration // when the sender was last asked for the packet, if it has not
}

// A window has the packets of a connection that are not delivered yet: those that have arrived, and
// those that are missing between them. It is pure: times are passed in, as those since the
// connection began.
//
// A packet is due by the latency after it would have arrived by the shortest way (section 4.4). A
// packet that is missing when a later one is due is given up (section 4.6).
type window struct {
	latency time.Duration
	clock   senderClock
	slots   []slot   // by sequence number, modulo their number, which is a power of two
	next    sequence // the next to be delivered
	first   sequence // the first that has arrived, at least next; end: none has
	end     sequence // comes after the newest that has arrived
	front   sequence // the first that is missing, at least next
	bytes   int      // of the packets in slots
	missing int      // between next and end
	skipped int      // before next, given up since the last delivery
	counts  counts
}

// counts are the packets of a connection so far.
type counts struct {
	arrived       uint64 // with retransmitted ones
	retransmitted uint64 // arrived again because they were asked for
	lost          uint64 // given up
	late          uint64 // arrived after they were given up, or twice
	tooFar        uint64 // dropped, because the window is full
}

func newWindow(first sequence, latency time.Duration) *window {
	return &window{latency: latency, slots: make([]slot, minWindow), next: first, first: first, end: first, front: first}
}

func (w *window) slot(s sequence) *slot { return &w.slots[int(s)&(len(w.slots)-1)] }

// add takes a packet, and keeps the payload. It returns how many packets before it are newly missing.
func (w *window) add(s sequence, timestamp uint32, payload []byte, now time.Duration) (lost int) {
	arrival := w.clock.arrival(timestamp, now)
	if w.next == w.end && s.minus(w.next) >= maxWindow {
		// Everything that the sender sent for a long time was lost.
		w.counts.lost += uint64(s.minus(w.next))
		w.skipped += s.minus(w.next)
		w.next, w.first, w.end, w.front = s, s, s, s
	}
	switch distance := s.minus(w.next); {
	case distance < 0:
		w.counts.late++
		return 0
	case distance >= maxWindow:
		w.counts.tooFar++
		return 0
	default:
		w.grow(distance + 1)
	}
	if s.minus(w.end) < 0 {
		if w.slot(s).payload != nil {
			w.counts.late++
			return 0
		}
		w.missing--
		if s.minus(w.first) < 0 {
			w.first = s
		}
	} else {
		lost = s.minus(w.end)
		for ; w.end != s; w.end = w.end.plus(1) {
			*w.slot(w.end) = slot{asked: now}
		}
		w.missing += lost
		if w.first == w.end.plus(-lost) {
			w.first = s
		}
		w.end = s.plus(1)
	}
	// The time is at most now: no sender makes a packet wait for longer, whatever timestamp it writes.
	*w.slot(s) = slot{payload: payload, due: arrival + w.latency}
	w.bytes += len(payload)
	w.advance()
	return lost
}

// grow makes room for that many packets from next on.
func (w *window) grow(packets int) {
	if packets <= len(w.slots) {
		return
	}
	size := len(w.slots)
	for size < packets {
		size *= 2
	}
	larger := make([]slot, size)
	for s := w.next; s != w.end; s = s.plus(1) {
		larger[int(s)&(size-1)] = *w.slot(s)
	}
	w.slots = larger
}

// advance moves front over the packets that have arrived.
func (w *window) advance() {
	if w.front.minus(w.next) < 0 {
		w.front = w.next
	}
	for w.front != w.end && w.slot(w.front).payload != nil {
		w.front = w.front.plus(1)
	}
}

// deliver removes the next packet that is due, and returns its payload. lost is how many packets
// before it are given up. The payload is nil if no packet is due.
func (w *window) deliver(now time.Duration) (payload []byte, lost int) {
	if w.first == w.end || w.slot(w.first).due > now {
		return nil, 0
	}
	lost = w.first.minus(w.next)
	w.missing -= lost
	w.counts.lost += uint64(lost)
	lost, w.skipped = lost+w.skipped, 0
	s := w.slot(w.first)
	payload = s.payload
	*s = slot{}
	w.bytes -= len(payload)
	w.next = w.first.plus(1)
	for w.first = w.next; w.first != w.end && w.slot(w.first).payload == nil; {
		w.first = w.first.plus(1)
	}
	w.advance()
	return payload, lost
}

// nextDue returns when the next packet is due. ok is false if there is none.
func (w *window) nextDue() (due time.Duration, ok bool) {
	if w.first == w.end {
		return 0, false
	}
	return w.slot(w.first).due, true
}

// A gap is a run of missing packets.
type gap struct{ first, last sequence }

// ask returns the gaps for whose packets the sender was last asked at least interval ago, up to most
// gaps, and notes that it is asked now.
func (w *window) ask(now, interval time.Duration, most int) (gaps []gap) {
	if w.missing == 0 {
		return nil
	}
	for s := w.front; s != w.end; s = s.plus(1) {
		place := w.slot(s)
		if place.payload != nil || now-place.asked < interval {
			continue
		}
		if n := len(gaps); n > 0 && gaps[n-1].last.plus(1) == s {
			gaps[n-1].last = s
		} else if n == most {
			break
		} else {
			gaps = append(gaps, gap{s, s})
		}
		place.asked = now
	}
	return gaps
}

// giveUp notes that the sender no longer has the packets of a gap.
func (w *window) giveUp(g gap, now time.Duration) {
	const never = 1000 * time.Hour
	s := w.front
	if g.first.minus(s) > 0 {
		s = g.first
	}
	for ; s.minus(w.end) < 0 && s.minus(g.last) <= 0; s = s.plus(1) {
		if w.slot(s).payload == nil {
			w.slot(s).asked = now + never
		}
	}
}

// length returns the number of packets that wait, with missing ones between them.
func (w *window) length() int { return w.end.minus(w.next) }
