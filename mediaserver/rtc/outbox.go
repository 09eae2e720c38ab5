package rtc

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

const (
	// maxRun is how many packets leave in one system call. The kernel takes 64 (UDP_MAX_SEGMENTS);
	// fewer spare the queues of the path.
	maxRun = 32
	// outboxBytes is the capacity of an outbox. A UDP payload of IPv4 has at most 65,507 bytes.
	outboxBytes = 60 << 10
)

// An outbox collects encrypted packets for one viewer, one after another. All but the last packet
// have the same size, so that one system call can send them (UDP_SEGMENT, Linux 4.18). The zero
// value is not ready for use: see outboxes.
type outbox struct {
	buf     []byte
	size    int // of each packet but the last, in bytes
	packets int
	ended   bool // the last packet is shorter than size, so no other can follow
}

// outboxes are the outboxes that nobody uses. A viewer has one only while packets are written.
var outboxes = sync.Pool{New: func() any { return &outbox{buf: make([]byte, 0, outboxBytes)} }}

// fits reports whether a packet of that many bytes can join the others.
func (o *outbox) fits(size int) bool {
	if o.packets == 0 {
		return true
	}
	return !o.ended && o.packets < maxRun && size <= o.size && len(o.buf)+size <= cap(o.buf)
}

// grow returns room for a packet of that many bytes. The room's capacity reaches to the end of the
// outbox, for what encryption adds.
func (o *outbox) grow(size int) []byte { return o.buf[len(o.buf) : len(o.buf)+size] }

// keep adds the packet that is in the room returned by grow.
func (o *outbox) keep(size int) {
	if o.packets == 0 {
		o.size = size
	}
	o.ended = size < o.size
	o.buf = o.buf[:len(o.buf)+size]
	o.packets++
}

func (o *outbox) reset() { o.buf, o.size, o.packets, o.ended = o.buf[:0], 0, 0, false }

// send sends the packets to an address. alone makes each packet leave by itself. refused reports
// whether the kernel or the path does not take several packets at once; then each has left by
// itself. lost is the number of packets that were not sent, and err says why.
func (o *outbox) send(conn *net.UDPConn, to netip.AddrPort, alone bool) (refused bool, lost int, err error) {
	if o.packets > 1 && !alone {
		err := sendSegments(conn, o.buf, o.size, to)
		if err == nil {
			return false, 0, nil
		}
		if refused = refusesSegments(err); !refused {
			return false, o.packets, err
		}
	}
	for rest := o.buf; len(rest) > 0; {
		n := min(o.size, len(rest))
		if _, failure := conn.WriteToUDPAddrPort(rest[:n], to); failure != nil {
			lost, err = lost+1, failure
		}
		rest = rest[n:]
	}
	return refused, lost, err
}

// refusesSegments reports whether an error means that packets must be sent one by one: the kernel
// has no UDP_SEGMENT, the interface computes no checksums (EIO), or packets are larger than the
// path takes at once (EINVAL, EMSGSIZE).
func refusesSegments(err error) bool {
	for _, refusal := range []error{errors.ErrUnsupported, syscall.EIO, syscall.EINVAL, syscall.EMSGSIZE, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
