package rtc

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// segmentControls are control messages that nobody uses. A control message on the stack would
// escape to the heap with each call.
var segmentControls = sync.Pool{New: func() any {
	control := make([]byte, unix.CmsgSpace(2))
	return &control
}}

// sendSegments sends packets of size bytes, the last of which may be shorter, with one system call
// (udp(7), UDP_SEGMENT). Either all packets are sent, or none.
func sendSegments(conn *net.UDPConn, packets []byte, size int, to netip.AddrPort) error {
	pooled := segmentControls.Get().(*[]byte)
	defer segmentControls.Put(pooled)
	control := *pooled
	// struct cmsghdr: the length as a machine word, the level and the type. The machine word is
	// written as 64 bits on 64-bit systems and as 32 bits on others.
	length := uint64(unix.CmsgLen(2))
	if unix.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(control, length)
	} else {
		binary.NativeEndian.PutUint32(control, uint32(length))
	}
	binary.NativeEndian.PutUint32(control[unix.SizeofCmsghdr-8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(control[unix.SizeofCmsghdr-4:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(size))
	_, _, err := conn.WriteMsgUDPAddrPort(packets, control, to)
	return err
}
