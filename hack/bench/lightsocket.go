package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lightBatch is how many datagrams one call reads. Each may be some that the kernel has joined.
	lightBatch = 16
	// lightDatagram is the largest datagram that the kernel joins.
	lightDatagram = 65536
	// lightReceiveBuffer holds the pictures since the last IDR, which a server may send at once.
	lightReceiveBuffer = 4 << 20
)

// A lightSocket is a UDP socket that the runtime's poller does not watch.
type lightSocket struct {
	fd    int
	local netip.AddrPort
}

// openLightSocket opens a socket on an address. The kernel joins datagrams of one sender that came
// together (UDP_GRO, udp(7)). With times it notes when each came.
func openLightSocket(from netip.Addr, times bool) (s lightSocket, err error) {
	if s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return s, fmt.Errorf("open a UDP socket: %w", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return s, fmt.Errorf("bind a UDP socket to %s: %w", from, err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return s, err
	}
	s.local = netip.AddrPortFrom(from, uint16(name.(*unix.SockaddrInet4).Port))
	// Both are improvements only: without the right for the first, the second does what it may.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, lightReceiveBuffer) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, lightReceiveBuffer)
	}
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if times {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	return s, err
}

func (s lightSocket) connect(to netip.AddrPort) error {
	return unix.Connect(s.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
}

// send sends a datagram, which may be lost.
func (s lightSocket) send(b []byte) { _, _ = unix.Write(s.fd, b) }

// A messageHeader is struct mmsghdr of recvmmsg(2).
type messageHeader struct {
	header unix.Msghdr
	length uint32
	_      [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// A lightPoller waits for datagrams of many sockets, and reads many of one socket at a time.
type lightPoller struct {
	epoll    int
	messages [lightBatch]messageHeader
	buffers  [lightBatch]unix.Iovec
	controls [lightBatch][128]byte
	events   [256]unix.EpollEvent
	space    []byte
}

func newLightPoller() (*lightPoller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &lightPoller{epoll: fd, space: make([]byte, lightBatch*lightDatagram)}
	for i := range p.messages {
		p.buffers[i].Base = &p.space[i*lightDatagram]
		p.buffers[i].SetLen(lightDatagram)
		p.messages[i].header.Iov = &p.buffers[i]
		p.messages[i].header.SetIovlen(1)
		p.messages[i].header.Control = &p.controls[i][0]
	}
	return p, nil
}

// watch adds a socket. The number is what wait reports.
func (p *lightPoller) watch(s lightSocket, number int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(number)}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, s.fd, &event)
}

// forget removes a socket.
func (p *lightPoller) forget(s lightSocket) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, s.fd, nil) // it fails only for a socket that is not watched
}

// wait calls ready with the number of each socket that has datagrams. It returns after some time
// without any. The goroutine must be locked to its thread.
func (p *lightPoller) wait(limit time.Duration, ready func(number int)) error {
	n, err := unix.EpollWait(p.epoll, p.events[:], int(limit.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	for _, event := range p.events[:max(0, n)] {
		ready(int(event.Fd))
	}
	return nil
}

// read reads what has come at a socket. It calls receive for each datagram with its arrival, in ns
// since 1970, which is 0 without a note of the kernel.
func (p *lightPoller) read(s lightSocket, receive func(datagram []byte, arrival int64)) {
	for i := range p.messages {
		p.messages[i].header.SetControllen(len(p.controls[i]))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.messages)), lightBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 { // nothing is there, or the server's port is closed
		return
	}
	for i := range int(n) {
		m := &p.messages[i]
		b := p.space[i*lightDatagram:][:m.length]
		segment, arrival := notes(p.controls[i][:m.header.Controllen])
		if segment == 0 {
			segment = max(1, len(b))
		}
		for ; len(b) > segment; b = b[segment:] {
			receive(b[:segment], arrival)
		}
		receive(b, arrival)
	}
	runtime.KeepAlive(p)
}

// notes reads the kernel's notes on a datagram: the size of what it has joined, and its arrival in ns
// since 1970. Each is 0 if there is none.
func notes(control []byte) (segment int, arrival int64) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			return segment, arrival
		}
		value := control[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(value) >= 4:
			segment = int(*(*int32)(unsafe.Pointer(&value[0])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(value) >= int(unsafe.Sizeof(unix.Timespec{})):
			arrival = (*unix.Timespec)(unsafe.Pointer(&value[0])).Nano()
		}
		control = control[min(len(control), unix.CmsgSpace(len(value))):]
	}
	return segment, arrival
}
