package whip

import "time"

const (
	// window is the widest gap in the sequence that is waited for, in packets: 400 ms at 20
	// Mbit/s. It is a power of two, so that it divides the 16-bit number space.
	window = 1024

	// reorderTolerance is how late a packet may be before it is taken for lost and asked for.
	// Networks seldom reorder, and a needless NACK costs only one packet.
	reorderTolerance = 10 * time.Millisecond

	// nackInterval is the time between two requests for the same packet. It is longer
	// than most round trips, so a packet is seldom sent twice.
	nackInterval = 60 * time.Millisecond

	// lateRun is how many packets in sequence may be too late. After that many the
	// sender is taken to have started again a little further back.
	lateRun = 64
)

// A packet is the part of one RTP packet that the depacketisers need.
type packet struct {
	seq       uint16
	timestamp uint32
	marker    bool
	payload   []byte
	arrival   time.Duration // on the registry's media clock
}

// reorder puts packets back in sequence. It waits for a missing packet for a bounded
// time, so that a retransmission can fill the gap, then goes on without it. One
// goroutine uses it. The caller passes the time.
type reorder struct {
	// wait is how long the packets after a missing packet are held back.
	wait time.Duration

	started bool
	// next is the extended sequence number of the packet to return next, and highest that
	// of the newest packet. Both are negative after a sender has jumped back often
	// enough. So they must not be used as indexes; slot converts them.
	next, highest int64
	stored, bytes int          // packets held, and their payloads
	late          int          // packets in a row that came too late
	lastLate      int64        // extended sequence number of the last of them
	gap           bool         // packets before next are lost
	slots         [window]slot // see slot

	// lost counts packets that never came, and held packets that restart dropped. dropped
	// counts packets that came too late or twice.
	lost, dropped int
}

// A slot is the record of one sequence number, modulo window.
type slot struct {
	packet  *packet
	missing time.Duration // when it was found missing
	asked   time.Duration // when it was last asked for; 0 means never
}

// slot returns the slot of an extended sequence number. The number may be negative; %
// would keep the sign.
func (r *reorder) slot(seq int64) *slot { return &r.slots[uint16(seq)%window] }

// push stores p. It reports whether p was new and came in time.
func (r *reorder) push(p *packet) bool {
	if !r.started {
		r.started = true
		r.next = int64(p.seq)
		r.highest = r.next - 1
	}
	// The signed 16-bit difference to the newest number is right even across a wrap.
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

// drop drops the held packets and goes on after them.
func (r *reorder) drop() { r.restart(r.highest + 1) }

// restart drops the held packets and goes on at seq. It is for a sender that was away
// for long or has started again.
func (r *reorder) restart(seq int64) {
	r.lost += r.stored
	clear(r.slots[:])
	r.stored, r.bytes, r.gap = 0, 0, true
	r.next, r.highest = seq, seq-1
}

// pop returns the next packet, or nil if there is none yet. gap reports whether
// packets just before it are lost.
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

// missing appends to seqs the packets to ask for now, at most limit of them. It
// records that they were asked for.
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
