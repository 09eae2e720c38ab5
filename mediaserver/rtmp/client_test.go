package rtmp

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
)

// A client speaks RTMP byte by byte, by the rules or against them.
type client struct {
	testing.TB
	net.Conn
	chunkSize int
	sent      int           // bytes
	closed    chan struct{} // the server has closed

	mu       sync.Mutex
	received []byte // all that the server has sent
}

// dial connects and does the handshake.
func (h *harness) dial() *client {
	h.Helper()
	c := h.dialOnly()
	c.shakeHands()
	return c
}

func (h *harness) dialOnly() *client {
	h.Helper()
	conn, err := net.Dial("tcp", h.server.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	return h.newClient(conn)
}

// dialFrom connects from an address of this machine and does the handshake.
func (h *harness) dialFrom(from string) *client {
	h.Helper()
	c := h.connectFrom(from)
	c.shakeHands()
	return c
}

func (h *harness) connectFrom(from string) *client {
	h.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", h.server.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	return h.newClient(conn)
}

func (h *harness) dialTLS() *client {
	h.Helper()
	conn, err := tls.Dial("tcp", h.server.TLSAddr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		h.Fatal(err)
	}
	c := h.newClient(conn)
	c.shakeHands()
	return c
}

func (h *harness) newClient(conn net.Conn) *client {
	c := &client{TB: h, Conn: conn, chunkSize: 128, closed: make(chan struct{})}
	h.Cleanup(func() {
		_ = conn.Close()
		<-c.closed
	})
	go c.listen()
	return c
}

func (c *client) listen() {
	defer close(c.closed)
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		c.mu.Lock()
		if len(c.received) < 1<<20 {
			c.received = append(c.received, b[:n]...)
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stopListening stops reading what the server sends.
func (c *client) stopListening() {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	<-c.closed
}

// said returns what the server has sent, without the one-byte chunk headers after each 128 bytes.
func (c *client) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(bytes.ReplaceAll(c.received, []byte{3<<6 | chunkStreamOwn}, nil))
}

func (c *client) heard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.received)
}

func (c *client) waitFor(text string) {
	c.Helper()
	eventually.Seen(c, eventually.Patience, fmt.Sprintf("the server says %q", text), func() (string, bool) {
		said := c.said()
		return strings.ToValidUTF8(said, "."), strings.Contains(said, text)
	})
}

func (c *client) waitClosed() {
	c.Helper()
	select {
	case <-c.closed:
	case <-time.After(patience):
		c.Fatal("the server does not close the connection")
	}
}

// send writes, and reports false if the server has closed the connection.
func (c *client) send(parts ...[]byte) bool {
	n, err := c.Write(bytes.Join(parts, nil))
	c.sent += n
	return err == nil
}

func (c *client) shakeHands() {
	c.Helper()
	c.send([]byte{3}, make([]byte, 1536))
	eventually.Seen(c, eventually.Patience, "the server shakes hands", func() (bytes int, done bool) {
		n := c.heard()
		return n, n >= 1+1536+1536
	})
	c.send(make([]byte, 1536))
}

// message sends a message with a header of type 0. Extended timestamps are as the
// specification says.
func (c *client) message(chunkStream byte, typ messageType, streamID, timestamp uint32, parts ...[]byte) bool {
	return c.send(appendMessage(nil, chunkStream, c.chunkSize, message{
		typ: typ, streamID: streamID, timestamp: timestamp, payload: bytes.Join(parts, nil),
	}))
}

func (c *client) setChunkSize(n int) {
	c.message(2, typeSetChunkSize, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(n)))
	c.chunkSize = n
}

func (c *client) command(streamID uint32, values ...any) {
	c.message(3, typeCommand, streamID, 0, appendAMF(nil, values...))
}

func (c *client) connect(extra ...[]byte) {
	c.message(3, typeCommand, 0, 0, connectCommand("live", extra...))
}

// connectCommand returns a connect command with extra properties in its object.
func connectCommand(app string, extra ...[]byte) []byte {
	b := appendAMF(nil, "connect", 1.0)
	b = append(b, amfObject)
	b = append(append(b, key("app")...), appendAMF(nil, app)...)
	b = append(append(b, key("tcUrl")...), appendAMF(nil, "rtmp://127.0.0.1/"+app)...)
	return append(append(b, bytes.Join(extra, nil)...), 0, 0, amfObjectEnd)
}

func key(s string) []byte { return appendAMFText(nil, s) }

func amf(values ...any) []byte { return appendAMF(nil, values...) }

// publish does all steps of publishing and waits until the server accepts.
func (c *client) publish(name string) {
	c.Helper()
	c.connect()
	c.command(0, "createStream", 2.0, nil)
	c.command(1, "publish", 3.0, nil, name, "live")
	c.waitFor("NetStream.Publish.Start")
}

var (
	testSPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00,
		0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	testPPS = []byte{0x68, 0xce, 0x3c, 0x80}
)

func avcRecord() []byte {
	b := []byte{1, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0, byte(len(testSPS))}
	b = append(append(b, testSPS...), 1, 0, byte(len(testPPS)))
	return append(b, testPPS...)
}

// videoConfig and picture are the bodies of video messages.
func videoConfig() []byte { return append([]byte{0x17, 0, 0, 0, 0}, avcRecord()...) }

func picture(idr bool, size int) []byte {
	first, nalu := byte(0x27), byte(0x41)
	if idr {
		first, nalu = 0x17, 0x65
	}
	b := binary.BigEndian.AppendUint32([]byte{first, 1, 0, 0, 0}, uint32(size))
	b = append(b, nalu)
	for i := 1; i < size; i++ {
		b = append(b, 0x9a)
	}
	return b
}

// showsPictures proves that the connection still publishes: the pictures it sends reach the stream.
func (h *harness) showsPictures(c *client, name string, timestamp uint32) {
	h.Helper()
	sub := h.registry.Stream(keyOf(name)).Subscribe(100)
	defer sub.Close()
	c.message(6, typeVideo, 1, timestamp, videoConfig())
	for i := range uint32(5) {
		c.message(6, typeVideo, 1, timestamp+i*40, picture(i == 0, 3000))
	}
	h.receive(sub, func(r *received) bool { return r.video >= 5 })
}

// flood sends total zero bytes.
func (c *client) flood(total int) {
	b := make([]byte, 64<<10)
	for sent := 0; sent < total; sent += len(b) {
		if !c.send(b) {
			return
		}
	}
}
