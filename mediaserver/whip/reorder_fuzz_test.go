package whip

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// A reorderProbe drives a reorder and checks after each step what must always hold.
type reorderProbe struct {
	t   testing.TB
	r   reorder
	now time.Duration

	accepted, popped, discarded int
	out                         map[*packet]bool // packets that have come out
	last                        int64            // extended number of the last one that came out
	restarted                   bool             // since the last one
}

func newReorderProbe(t testing.TB) *reorderProbe {
	return &reorderProbe{t: t, r: reorder{wait: 100 * ms}, out: map[*packet]bool{}, restarted: true}
}

func (p *reorderProbe) push(seq uint16) {
	p.t.Helper()
	started, next, stored := p.r.started, p.r.next, p.r.stored
	ok := p.r.push(&packet{seq: seq, payload: make([]byte, seq%7), arrival: p.now})
	if ok {
		p.accepted++
	}
	if started && p.r.next != next { // only a restart moves next here
		if !ok {
			p.t.Fatalf("%d began the buffer anew and was dropped", seq)
		}
		p.discarded += stored
		p.restarted = true
	}
	p.check()
}

// drain pops what is due.
func (p *reorderProbe) drain() {
	p.t.Helper()
	for {
		got, gap := p.r.pop(p.now)
		if got == nil {
			break
		}
		number := p.r.next - 1
		switch {
		case p.out[got]:
			p.t.Fatalf("packet %d came out twice", got.seq)
		case uint16(number) != got.seq:
			p.t.Fatalf("packet %d came out as number %d", got.seq, number)
		case p.restarted && !gap && len(p.out) > 0:
			p.t.Fatalf("no gap before packet %d, which follows a restart", got.seq)
		case !p.restarted && number <= p.last:
			p.t.Fatalf("packet %d came out after %d", number, p.last)
		case !p.restarted && !gap && number != p.last+1:
			p.t.Fatalf("no gap between packets %d and %d", p.last, number)
		}
		p.out[got] = true
		p.last, p.restarted = number, false
		p.popped++
		p.check()
	}
	if p.r.stored > 0 && p.now-p.r.slot(p.r.next).missing >= p.r.wait {
		p.t.Fatal("a packet is held for longer than the wait")
	}
}

// ask checks which packets are asked for now.
func (p *reorderProbe) ask(limit int) {
	p.t.Helper()
	seqs := p.r.missing(nil, p.now, limit)
	if len(seqs) > limit {
		p.t.Fatalf("%d packets asked for; the limit is %d", len(seqs), limit)
	}
	for i, seq := range seqs {
		if p.r.slot(int64(seq)).packet != nil || slices.Contains(seqs[:i], seq) {
			p.t.Fatalf("packet %d asked for, which is there or asked for already", seq)
		}
	}
	p.check()
}

func (p *reorderProbe) check() {
	p.t.Helper()
	r := &p.r
	if r.highest < r.next-1 || r.highest >= r.next+window {
		p.t.Fatalf("next is %d and highest %d", r.next, r.highest)
	}
	stored, bytes := 0, 0
	for i := range r.slots {
		if got := r.slots[i].packet; got != nil {
			stored++
			bytes += len(got.payload)
			if ahead := got.seq - uint16(r.next); int(got.seq)%window != i || int64(ahead) > r.highest-r.next {
				p.t.Fatalf("packet %d is in slot %d; next is %d and highest %d", got.seq, i, r.next, r.highest)
			}
		}
	}
	if stored != r.stored || stored > window {
		p.t.Fatalf("%d packets are stored and %d counted", stored, r.stored)
	}
	if bytes != r.bytes {
		p.t.Fatalf("%d bytes are stored and %d counted", bytes, r.bytes)
	}
	if p.accepted != p.popped+p.discarded+stored {
		p.t.Fatalf("%d packets taken, but %d handed out, %d discarded, %d stored", p.accepted, p.popped, p.discarded, stored)
	}
}

// FuzzReorder sends any sequence numbers at any times. An input has three bytes per packet: the
// sequence number in network order, and the milliseconds since the packet before.
func FuzzReorder(f *testing.F) {
	arrivals := func(step byte, seqs ...uint16) (input []byte) {
		for _, seq := range seqs {
			input = append(binary.BigEndian.AppendUint16(input, seq), step)
		}
		return input
	}
	f.Add(arrivals(1, 5, 60000))                                                         // backwards over zero
	f.Add(arrivals(1, 5, 60000, 54000, 22000, 60000, 5, 6))                              // and further, and forth
	f.Add(arrivals(0, 0, 32768, 0, 32768, 0, 32767, 65535, 32767))                       // half the number space
	f.Add(arrivals(1, 65534, 1, 65535, 0, 0, 65534))                                     // over the wrap, with duplicates
	f.Add(arrivals(101, 5, 7, 30000, 29000, 29001))                                      // holes that are given up
	f.Add(arrivals(1, 2000, 2000+window, 2000+window-1, 1999, 2000-window, 1999-window)) // its edges
	back := make([]uint16, 0, 300)
	for i := range 300 { // back by more than the window each time, many times around
		back = append(back, uint16(5-i*30000))
	}
	f.Add(arrivals(0, back...))
	again := []uint16{2000, 2001}
	for i := range lateRun + 5 { // a sender that started again a little further back
		again = append(again, uint16(1500+i))
	}
	f.Add(arrivals(1, again...))
	f.Fuzz(func(t *testing.T, input []byte) {
		p := newReorderProbe(t)
		for len(input) >= 3 {
			p.now += time.Duration(input[2]) * ms
			p.drain()
			p.push(binary.BigEndian.Uint16(input))
			p.drain()
			p.ask(int(input[0]))
			input = input[3:]
		}
		p.now += p.r.wait
		p.drain()
		if p.r.stored > 0 {
			t.Fatalf("%d packets are held for ever", p.r.stored)
		}
	})
}
