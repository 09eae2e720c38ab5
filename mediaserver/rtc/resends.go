package rtc

import "time"

const (
	// maxResends is how often one packet is sent again. With 20 % loss, one packet in a million is
	// still missing then.
	maxResends = 8
	// A packet is not sent again within the viewer's round trip after the last time, because the
	// viewer cannot have missed it yet. These bound that time.
	minResendPause = 5 * time.Millisecond
	maxResendPause = 500 * time.Millisecond
	// resendMemory is for how long a packet's number means that packet. Numbers come again after
	// 65,536 packets.
	resendMemory = 5 * time.Second
	// resendSlots is how many packets are remembered.
	resendSlots = 512
)

// resends knows what was sent again to a viewer lately. A client may ask for a packet again and again
// although the packet has come: pion's does where retransmissions have a stream of their own. The
// zero value knows nothing, and takes no memory.
type resends struct{ slots []resent }

// A resent is a packet that was sent again.
type resent struct {
	at     uint32 // the last time, in ms on the media clock
	number uint16 // its sequence number
	times  uint8
}

// allow reports whether a packet may be sent again at now, and counts it.
func (r *resends) allow(number uint16, now, roundTrip time.Duration) bool {
	if r.slots == nil {
		r.slots = make([]resent, resendSlots)
	}
	slot, at := &r.slots[number%resendSlots], uint32(now.Milliseconds())
	passed := time.Duration(at-slot.at) * time.Millisecond
	if slot.times == 0 || slot.number != number || passed > resendMemory {
		*slot = resent{at, number, 1}
		return true
	}
	if slot.times >= maxResends || passed < min(max(roundTrip, minResendPause), maxResendPause) {
		return false
	}
	slot.at, slot.times = at, slot.times+1
	return true
}
