package whip

import "time"

const (
	// window is how many packets a hole may be wide and still be waited for: at
	// 20 Mbit/s, 400 ms. A power of two, so that it divides the 16-bit number space.
	window = 1024

	// reorderTolerance is how late a packet may be before it is taken as lost and
	// asked for; networks seldom reorder, and an unneeded NACK costs one packet.
	reorderTolerance = 10 * time.Millisecond

	// nackInterval is the time between two requests of the same packet. It is above
	// most round trips, so a packet is seldom sent twice.
	nackInterval = 60 * time.Millisecond

	// lateRun is how many packets in sequence may be too late before the sender is
	// taken to have started anew a little further back.
	lateRun = 64
)

// A packet is one RTP packet, as far as the depacketisers need it.
type packet struct {
	seq       uint16
	timestamp uint32
	marker    bool
	payload   []byte
	arrival   time.Duration // on the registry's media clock
}

// reorder puts packets back in sequence. It waits for a missing one for a bounded
// time, so that a retransmission can fill the hole, then goes on without it. It is
// used by one goroutine and is given the time.
type reorder struct {
	// wait is how long the packets after a hole are held back for it.
	wait time.Duration

	started bool
	// next is the extended sequence number of the packet to hand out next, highest the
	// one of the newest packet seen. A sender that jumps back again and again makes
	// them negative, so nothing may be indexed by them: slot does that.
	next, highest int64
	stored, bytes int          // packets held, and their payloads
	late          int          // packets in sequence that came too late
	lastLate      int64        // the last of them
	gap           bool         // packets before next are lost
	slots         [window]slot // see slot

	// lost and dropped count packets that never came, and that came too late.
	lost, dropped int
}

// A slot is the place of one sequence number, modulo window.
type slot struct {
	packet  *packet
	missing time.Duration // when it was found missing
	asked   time.Duration // when it was last asked for; 0 means never
}

// slot returns the place of an extended sequence number. The number may be negative,
// which % would keep.
func (r *reorder) slot(seq int64) *slot { return &r.slots[uint16(seq)%window] }

// push stores p. It reports whether p was new and came in time.
func (r *reorder) push(p *packet) bool {
	if !r.started {
		r.started = true
		r.next = int64(p.seq)
		r.highest = r.next - 1
	}
	// The difference to the newest, as a signed 16-bit number, survives the wrap.
	seq := r.highest + int64(int16(p.seq-uint16(r.highest)))
	switch {
	case seq < r.next && r.next-seq <= window && r.late < lateRun:
		if seq != r.lastLate+1 {
			r.late = 0
		}
		r.late++
		r.lastLate = seq
		r.dropped++
		return false
	case seq < r.next || seq >= r.next+window:
		r.restart(seq)
	}
	r.late = 0
	s := r.slot(seq)
	if s.packet != nil {
		r.dropped++
		return false
	}
	for missing := r.highest + 1; missing < seq; missing++ {
		*r.slot(missing) = slot{missing: p.arrival}
	}
	*s = slot{packet: p}
	r.highest = max(r.highest, seq)
	r.stored++
	r.bytes += len(p.payload)
	return true
}

// drop gives up what is held, and goes on behind it.
func (r *reorder) drop() { r.restart(r.highest + 1) }

// restart drops what is held and goes on at seq: the sender was away for long, or
// began anew.
func (r *reorder) restart(seq int64) {
	r.lost += r.stored
	clear(r.slots[:])
	r.stored, r.bytes, r.gap = 0, 0, true
	r.next, r.highest = seq, seq-1
}

// pop returns the next packet, or nil when there is none yet. gap says that packets
// just before it are lost.
func (r *reorder) pop(now time.Duration) (p *packet, gap bool) {
	if r.stored == 0 {
		return nil, false
	}
	if s := r.slot(r.next); s.packet == nil {
		if now-s.missing < r.wait {
			return nil, false
		}
		for r.slot(r.next).packet == nil {
			r.next++
			r.lost++
		}
		r.gap = true
	}
	s := r.slot(r.next)
	p, s.packet = s.packet, nil
	r.next++
	r.stored--
	r.bytes -= len(p.payload)
	gap, r.gap = r.gap, false
	return p, gap
}

// missing appends to seqs the packets to ask for now, at most limit of them, and
// notes that they were asked for.
func (r *reorder) missing(seqs []uint16, now time.Duration, limit int) []uint16 {
	if r.stored == 0 {
		return seqs
	}
	for seq := r.next; seq < r.highest && len(seqs) < limit; seq++ {
		s := r.slot(seq)
		if s.packet != nil || now-s.missing < reorderTolerance || s.asked != 0 && now-s.asked < nackInterval {
			continue
		}
		s.asked = now
		seqs = append(seqs, uint16(seq))
	}
	return seqs
}
