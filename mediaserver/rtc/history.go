package rtc

import (
	"unsafe"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/recovery"
)

// A packet is one RTP packet of an Output before it is addressed to a viewer. It has no sequence
// number, payload type or SSRC yet. A joining viewer gets another timestamp (see segment).
type packet struct {
	payload []byte
	// timestamp is in RTP clock ticks since the media clock's zero, unwrapped and
	// without the random base.
	timestamp int64
	// frame counts the access units of the track. It gives the distance between two
	// pictures without looking at those in between.
	frame uint64
	// marker is the RTP marker bit. entry marks the first packet of an access unit at which
	// decoding can start. burst marks a packet of a splice, which need not go out at once.
	marker, entry, burst bool
}

// A history is the one bounded store of a track's recent packets. Every viewer is sent
// from it, at the viewer's own cursor. A joining viewer's first picture and the answers
// to all NACKs come from it too. A packet's index never changes.
//
// The packets since the last entry point are kept within the bounds. Older packets are
// kept for as long as a NACK may ask for them. While the server's memory budget is
// short for this output, only leanBytes are kept. The live picture goes on then, and a
// joining viewer waits for the next entry point.
type history struct {
	maxPackets, maxBytes int
	// nackTicks is how long packets before the last entry point are kept, in RTP clock ticks.
	nackTicks int64
	// class returns the class of the budget to which the history belongs.
	class func() budget.Class

	mu          recovery.RWMutex // guards all below; held for copying only
	account     *budget.Account
	ring        []packet // length is a power of two; index i is at i modulo length
	first, next uint64   // the packets held are [first, next)
	bytes       int
	entry       uint64 // index of the last entry point; valid if it is at or after first
	hasEntry    bool   // whether there has been one
}

// A position is a place in a history at which a viewer can start.
type position struct {
	index     uint64
	frame     uint64
	timestamp int64
}

// leanBytes is what a history may hold while memory is short. The largest common
// picture fits, or one second of a stream of 16 Mbit/s.
const leanBytes = 2 << 20

func newHistory(maxPackets, maxBytes int, nackTicks int64, of *budget.Budget, class func() budget.Class) *history {
	h := &history{maxPackets: maxPackets, maxBytes: maxBytes, nackTicks: nackTicks, class: class, ring: make([]packet, 64)}
	h.account = of.Open(class(), h.releaseMemory)
	return h
}

// close gives the memory back to the budget.
func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.account.Close()
}

// releaseMemory gives memory back if others need it.
func (h *history) releaseMemory() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trim()
}

// updateBudget tells the budget what the history holds. It reports whether memory is short.
func (h *history) updateBudget() (short bool) {
	h.account.Move(h.class())
	h.account.Set(h.bytes + len(h.ring)*int(unsafe.Sizeof(packet{})))
	return h.account.Short()
}

// add appends the packets of one access unit. Readers see all of them or none.
func (h *history) add(packets []packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range packets {
		if h.next-h.first == uint64(len(h.ring)) {
			h.grow()
		}
		*h.at(h.next) = p
		h.bytes += len(p.payload)
		if p.entry {
			h.entry, h.hasEntry = h.next, true
		}
		h.next++
	}
	h.trim()
}

func (h *history) at(i uint64) *packet { return &h.ring[i&uint64(len(h.ring)-1)] }

func (h *history) grow() {
	old := h.ring
	h.ring = make([]packet, 2*len(old))
	for i := h.first; i < h.next; i++ {
		*h.at(i) = old[i&uint64(len(old)-1)]
	}
}

// trim forgets packets beyond the bounds, and packets that neither a joining viewer nor a NACK can
// need. While memory is short no viewer can join at the last entry point.
func (h *history) trim() {
	short := h.updateBudget()
	if h.first == h.next {
		return
	}
	wanted, maxBytes := h.next, h.maxBytes
	if short {
		maxBytes = min(maxBytes, leanBytes)
	} else if h.hasEntry && h.entry >= h.first {
		wanted = h.entry
	}
	h.forget(wanted, maxBytes)
	h.updateBudget()
}

// forget drops packets beyond the bounds, and packets before wanted that no NACK can ask for.
func (h *history) forget(wanted uint64, maxBytes int) {
	newest := h.at(h.next - 1).timestamp
	for h.first < h.next-1 {
		p := h.at(h.first)
		over := h.next-h.first > uint64(h.maxPackets) || h.bytes > maxBytes
		stale := h.first < wanted && newest-p.timestamp > h.nackTicks
		if !over && !stale {
			return
		}
		h.bytes -= len(p.payload)
		*p = packet{} // releases the payload
		h.first++
	}
}

// read copies packets from index on to dst. ok is false if the packet at index has
// been forgotten. n is 0 if it has not come yet.
func (h *history) read(index uint64, dst []packet) (n int, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if index < h.first {
		return 0, false
	}
	for n < len(dst) && index+uint64(n) < h.next {
		dst[n] = *h.at(index + uint64(n))
		n++
	}
	return n, true
}

// lastEntry returns the position at which the picture can start, if there is one.
func (h *history) lastEntry() (position, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.hasEntry || h.entry < h.first {
		return position{}, false
	}
	return h.position(h.entry), true
}

// head returns the newest packet's position, with the index of the packet after it. In
// an empty history only index is meaningful.
func (h *history) head() position {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.first == h.next {
		return position{index: h.next}
	}
	p := h.position(h.next - 1)
	p.index = h.next
	return p
}

func (h *history) position(i uint64) position {
	p := h.at(i)
	return position{index: i, frame: p.frame, timestamp: p.timestamp}
}
