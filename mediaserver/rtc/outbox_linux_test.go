package rtc

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A mailbox is an address to which an outbox sends.
type mailbox struct {
	t        testing.TB
	from, at *net.UDPConn
}

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	m := &mailbox{t: t}
	for _, conn := range []**net.UDPConn{&m.from, &m.at} {
		var err error
		if *conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*conn).Close() })
	}
	return m
}

func (m *mailbox) address() netip.AddrPort { return m.at.LocalAddr().(*net.UDPAddr).AddrPort() }

// expect checks that packets have arrived, in this order.
func (m *mailbox) expect(packets [][]byte) {
	m.t.Helper()
	buf := make([]byte, 4096)
	for i, want := range packets {
		_ = m.at.SetReadDeadline(time.Now().Add(testLimit))
		n, _, err := m.at.ReadFromUDP(buf)
		if err != nil {
			m.t.Fatalf("packet %d of %d: %v", i, len(packets), err)
		}
		if !bytes.Equal(buf[:n], want) {
			m.t.Errorf("packet %d has %d bytes, want %d", i, n, len(want))
		}
	}
}

// pack puts packets of these sizes into an outbox.
func pack(t testing.TB, sizes ...int) (o *outbox, packets [][]byte) {
	t.Helper()
	o = outboxes.New().(*outbox)
	for i, size := range sizes {
		if !o.fits(size) {
			t.Fatalf("a packet of %d bytes does not fit behind %v", size, sizes[:i])
		}
		room := o.grow(size)
		for k := range room {
			room[k] = byte(i + k)
		}
		packets = append(packets, bytes.Clone(room))
		o.keep(size)
	}
	return o, packets
}

func TestPacketsOfAnOutboxArriveOneByOne(t *testing.T) {
	m := newMailbox(t)
	for _, sizes := range [][]int{{700}, {1200, 1200, 1200}, {1200, 1200, 1}, slicesOf(maxRun, 1200)} {
		for _, alone := range []bool{false, true} {
			o, packets := pack(t, sizes...)
			if refused, lost, err := o.send(m.from, m.address(), alone); refused || lost > 0 || err != nil {
				t.Errorf("%d packets: refused %v, %d lost, %v", len(sizes), refused, lost, err)
			}
			m.expect(packets)
		}
	}
}

func slicesOf(n, size int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestWhatFitsIntoAnOutbox(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
		next  int
		fits  bool
	}{
		{"the first packet", nil, 1400, true},
		{"a packet of the same size", []int{1000}, 1000, true},
		{"a shorter packet, which is the last", []int{1000, 1000}, 999, true},
		{"a packet after a shorter one", []int{1000, 999}, 999, false},
		{"a longer packet", []int{1000}, 1001, false},
		{"one more than leave at once", slicesOf(maxRun, 1000), 1000, false},
		{"more than the outbox holds", slicesOf(30, 2000), 2000, false},
	} {
		o, _ := pack(t, tt.sizes...)
		if got := o.fits(tt.next); got != tt.fits {
			t.Errorf("%s: fits: %v", tt.name, got)
		}
	}
}

// TestPacketsLeaveOneByOneWhereThePathIsNarrow has a path that takes no packet in one piece, so the
// kernel refuses to send several at once.
func TestPacketsLeaveOneByOneWhereThePathIsNarrow(t *testing.T) {
	if testing.Short() || os.Getuid() != 0 {
		t.Skip("makes a network namespace, which takes root and is left out by -short")
	}
	made := make(chan *mailbox)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		defer close(made)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		if err := setLoopback(1000); err != nil {
			t.Error(err)
			return
		}
		made <- newMailbox(t)
	}()
	m, ok := <-made
	if !ok {
		t.Fatal("no network namespace")
	}
	o, packets := pack(t, 1200, 1200, 300)
	if refused, lost, err := o.send(m.from, m.address(), false); !refused || lost > 0 || err != nil {
		t.Errorf("refused %v, %d lost, %v", refused, lost, err)
	}
	m.expect(packets)
}

// setLoopback sets the MTU of the loopback interface, and sets the interface up.
func setLoopback(mtu uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	size, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	size.SetUint32(mtu)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, size); err != nil {
		return err
	}
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up)
}

func TestWhichErrorsMeanThatPacketsMustLeaveOneByOne(t *testing.T) {
	for err, want := range map[error]bool{
		os.NewSyscallError("sendmsg", syscall.EIO):    true,
		os.NewSyscallError("sendmsg", syscall.EINVAL): true,
		errors.ErrUnsupported:                         true,
		os.NewSyscallError("sendmsg", syscall.EPERM):  false, // a firewall
		net.ErrClosed: false,
	} {
		if got := refusesSegments(&net.OpError{Op: "write", Err: err}); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func BenchmarkOutbox(b *testing.B) {
	m := newMailbox(b)
	_ = m.at.SetReadBuffer(4 << 10) // nobody reads
	for _, alone := range []bool{false, true} {
		name := map[bool]string{false: "together", true: "one by one"}[alone]
		b.Run(name, func(b *testing.B) {
			o, _ := pack(b, slicesOf(10, 1200)...)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := o.send(m.from, m.address(), alone); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
