package srt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	gosrt "github.com/datarhei/gosrt"
	"github.com/datarhei/gosrt/packet"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/seeded"
)

// induce makes an induction, and returns the cookie.
func (h *harness) induce(s *net.UDPConn) uint32 {
	h.Helper()
	induction := conclusionOf(func(c *packet.CIFHandshake) {
		c.Version, c.HandshakeType, c.HasHS, c.HasSID = inductionVersion, packet.HSTYPE_INDUCTION, false, false
	})
	b := make([]byte, maxDatagram)
	for range 50 { // a datagram may be lost
		if _, err := s.Write(induction); err != nil {
			h.Fatal(err)
		}
		_ = s.SetReadDeadline(time.Now().Add(time.Second))
		n, err := s.Read(b)
		if err != nil {
			continue
		}
		if n > len(induction) {
			h.Errorf("the answer to an induction of %d bytes has %d", len(induction), n)
		}
		return binary.BigEndian.Uint32(b[headerSize+28:])
	}
	h.Fatal("no answer to an induction")
	return 0
}

// conclude sends a conclusion with a good cookie, and returns the answer's type and socket id.
func (h *harness) conclude(s *net.UDPConn, conclusion []byte) (kind packet.HandshakeType, socket uint32) {
	h.Helper()
	binary.BigEndian.PutUint32(conclusion[headerSize+28:], h.induce(s))
	b := make([]byte, maxDatagram)
	for range 50 {
		if _, err := s.Write(conclusion); err != nil {
			h.Fatal(err)
		}
		_ = s.SetReadDeadline(time.Now().Add(time.Second))
		n, err := s.Read(b)
		if err == nil && n >= headerSize+handshakeSize && binary.BigEndian.Uint16(b) == handshakeType {
			return packet.HandshakeType(binary.BigEndian.Uint32(b[headerSize+20:])), binary.BigEndian.Uint32(b[headerSize+24:])
		}
	}
	h.Fatal("no answer to a conclusion")
	return 0, 0
}

// serves checks that the server lets an encoder in.
func (h *harness) serves() {
	h.Helper()
	h.awaitPublished(primary, false)
	var c gosrt.Conn
	// The library's caller sends its handshake once, and the limit of the address may be reached.
	eventually.True(h, "an encoder is let in", func() (ok bool) {
		var err error
		c, err = h.dial("publish:live/primary:TOKEN", "", func(c *gosrt.Config) { c.ConnectionTimeout = time.Second })
		return err == nil
	})
	h.awaitPublished(primary, true)
	_ = c.Close()
	h.awaitPublished(primary, false)
}

func TestGarbageChangesNothing(t *testing.T) {
	h := start(t, nil)
	s := h.socket()
	random := seeded.Rand(t)
	whole := conclusionOf(nil)
	binary.BigEndian.PutUint32(whole[headerSize+28:], h.induce(s))
	send := func(b []byte) {
		_, _ = s.Write(b) // the server may not read as fast
	}
	for n := range len(whole) { // with a good cookie, as far as it goes
		send(whole[:n])
	}
	for range 3000 {
		b := make([]byte, random.IntN(200))
		seeded.Fill(random, b)
		if len(b) >= headerSize && random.IntN(2) == 0 {
			binary.BigEndian.PutUint32(b[12:], 0)
			binary.BigEndian.PutUint16(b, handshakeType)
		}
		send(b)
		changed := bytes.Clone(whole)
		for range 3 {
			changed[headerSize+random.IntN(len(changed)-headerSize)] = byte(random.Uint32())
		}
		send(changed)
	}
	send(make([]byte, maxDatagram+1))
	h.serves()
	if h.dropped(ReasonDatagram) == 0 || h.dropped(ReasonCookie) == 0 {
		t.Errorf("dropped: %d datagrams, %d cookies", h.dropped(ReasonDatagram), h.dropped(ReasonCookie))
	}
}

// Datagrams of a connection that is open, with a known socket id, from its own address.
func TestGarbageWithinAConnection(t *testing.T) {
	h := start(t, nil)
	s := h.socket()
	kind, socket := h.conclude(s, conclusionOf(nil))
	if kind != packet.HSTYPE_CONCLUSION {
		t.Fatal(kind)
	}
	h.awaitPublished(primary, true)
	random := seeded.Rand(t)
	for i := range 5000 {
		b := make([]byte, headerSize+random.IntN(1400))
		seeded.Fill(random, b)
		if i%2 == 0 {
			b[0], b[1] = 0x80, byte(random.IntN(10))
			if b[1] == byte(packet.CTRLTYPE_SHUTDOWN) {
				continue
			}
		} else {
			b[0], b[4] = 0, b[4]&^0x18 // in clear
			binary.BigEndian.PutUint32(b, 77+uint32(random.IntN(2*maxWindow)))
		}
		binary.BigEndian.PutUint32(b[12:], socket)
		_, _ = s.Write(b)
	}
	eventually.True(t, "the datagrams are taken", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		for _, c := range h.server.bySocket {
			return len(c.inbox) == 0
		}
		return true
	})
	if h.dropped(ReasonControl) == 0 {
		t.Error("no control message was dropped")
	}
	h.serves()
}

// Who knows the socket id but has another address is nobody.
func TestStrangersDoNotEndAConnection(t *testing.T) {
	h := start(t, nil)
	s := h.socket()
	_, socket := h.conclude(s, conclusionOf(nil))
	h.awaitPublished(primary, true)
	shutdown := controlMessage(packet.CTRLTYPE_SHUTDOWN, 0, 0, socket, &packet.CIFShutdown{})
	if _, err := h.socket().Write(shutdown); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the stranger's datagram is dropped", func() bool { return h.dropped(ReasonSocket) == 1 })
	if !h.isPublished(primary) {
		t.Error("a stranger has ended the connection")
	}
	if _, err := s.Write(shutdown); err != nil {
		t.Fatal(err)
	}
	h.awaitPublished(primary, false)
}

// A caller in clear does not get into an encrypted stream, nor packets in clear into its connection.
func TestPacketsInClearAreDroppedFromAnEncryptedConnection(t *testing.T) {
	h := start(t, nil)
	c := h.mustDial("publish:live/secret", passphrase, nil)
	h.awaitPublished(secret, true)
	h.server.mu.Lock()
	var one *connection
	for _, one = range h.server.bySocket {
	}
	h.server.mu.Unlock()
	clear := make([]byte, headerSize+188)
	binary.BigEndian.PutUint32(clear[12:], one.socket)
	one.push(clear)
	eventually.True(t, "the packet is dropped", func() bool { return h.dropped(ReasonEncryption) == 1 })
	_ = c.Close()
	h.awaitPublished(secret, false)
}

func TestManyHandshakesOfOneAddress(t *testing.T) {
	h := start(t, nil)
	s := h.socket()
	conclusion := conclusionOf(func(c *packet.CIFHandshake) { c.StreamId = "publish:live/primary:WRONG" })
	binary.BigEndian.PutUint32(conclusion[headerSize+28:], h.induce(s))
	const handshakes = 10_000
	for n := range uint32(handshakes) {
		binary.BigEndian.PutUint32(conclusion[headerSize+24:], n+1) // another socket of the caller
		if _, err := s.Write(conclusion); err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 {
			time.Sleep(time.Millisecond) // so that the kernel drops few
		}
	}
	eventually.True(t, "most are dropped", func() bool { return h.dropped(ReasonRate) > handshakes/2 })
	if n := h.refused(ReasonUnauthorized); n > 500 {
		t.Errorf("%d were answered", n)
	}
	eventually.True(t, "none is kept", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		return len(h.server.byPeer) == 0
	})
	h.serves()
}

// A publisher sends packets of 188 random bytes. Some have the PIDs of the tables and the tracks, which
// are right now and then. Its session costs a bounded amount of memory, and another one goes on.
func TestATransportStreamOfRandomBytesCostsLittle(t *testing.T) {
	h := start(t, nil)
	h.feed(h.mustDial("publish:live/secret", passphrase, nil))
	sub := h.registry.Stream(secret).Subscribe(1000)
	defer sub.Close()
	random := seeded.Rand(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if n, want := h.pictures(sub, *linkTime), int(linkTime.Seconds()*30)-mostPictures; n < want {
			t.Errorf("the other stream had %d pictures, want %d", n, want)
		}
	}()
	isOver := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	packets, datagram := randomPackets(t, random), make([]byte, 7*188)
	before, most, sent := live(), uint64(0), 0
	for !isOver() {
		c, err := h.dial("publish:live/primary:TOKEN", "", nil)
		for looked := time.Now(); err == nil && !isOver(); {
			packets(datagram)
			_, err = c.Write(datagram)
			sent++
			if sent%20 == 0 { // 26 Mbit/s at the most
				time.Sleep(8 * time.Millisecond)
			}
			if time.Since(looked) > time.Second {
				looked, most = time.Now(), max(most, live())
			}
		}
		if c != nil {
			_ = c.Close()
		}
	}
	t.Logf("%d datagrams; %d kB live before, %d kB at the most", sent, before>>10, most>>10)
	if sent == 0 || most == 0 || most > before+32<<20 {
		t.Errorf("%d datagrams, %d MB of memory", sent, most>>20)
	}
	h.serves()
}

// randomPackets returns a function that fills a datagram with packets of a transport stream: some are
// those of one picture and its tables, some only begin like them, and the rest are random.
func randomPackets(t *testing.T, random *rand.Rand) func(datagram []byte) {
	t.Helper()
	var right bytes.Buffer
	track := &mpegts.Track{Codec: &codecs.H264{}}
	w := &mpegts.Writer{W: &right, Tracks: []*mpegts.Track{track}}
	err := w.Initialize()
	if err == nil {
		err = w.WriteH264(track, 0, 0, [][]byte{sps, pps, bytes.Repeat([]byte{0x65}, 1000)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(datagram []byte) {
		seeded.Fill(random, datagram)
		for p := range slices.Chunk(datagram, 188) {
			one := right.Bytes()[random.IntN(right.Len()/188)*188:][:188]
			switch random.IntN(4) {
			case 0:
				copy(p, one)
			case 1:
				copy(p, one[:4+random.IntN(16)])
			default:
				p[0] = 0x47
			}
		}
	}
}

// live returns how many bytes of memory are in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
