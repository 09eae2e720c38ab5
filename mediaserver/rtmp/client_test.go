package rtmp

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A client speaks RTMP byte by byte, as honestly or not as a test wants.
type client struct {
	testing.TB
	net.Conn
	chunkSize int
	closed    chan struct{} // the server has closed

	mu       sync.Mutex
	received []byte // all that the server has sent
}

// dial connects and shakes hands.
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

// dialFrom connects from an address of this machine and shakes hands.
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

// stopListening leaves unread what the server sends from now on.
func (c *client) stopListening() {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	<-c.closed
}

// said reports whether the server has sent the text. Chunk headers of one byte each
// 128 bytes are within it: look for short texts.
func (c *client) said(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	plain := bytes.ReplaceAll(c.received, []byte{3<<6 | chunkStreamOwn}, nil)
	return bytes.Contains(plain, []byte(text))
}

func (c *client) heard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.received)
}

func (c *client) waitFor(text string) {
	c.Helper()
	for deadline := time.Now().Add(patience); !c.said(text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.Fatalf("the server does not say %q, but %q", text, strings.ToValidUTF8(string(c.received), "."))
		}
	}
}

func (c *client) waitClosed() {
	c.Helper()
	select {
	case <-c.closed:
	case <-time.After(patience):
		c.Fatal("the server does not close the connection")
	}
}

// send writes; a server that has closed is no error.
func (c *client) send(parts ...[]byte) bool {
	_, err := c.Write(bytes.Join(parts, nil))
	return err == nil
}

func (c *client) shakeHands() {
	c.Helper()
	c.send([]byte{3}, make([]byte, 1536))
	for deadline := time.Now().Add(patience); c.heard() < 1+1536+1536; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatal("the server does not shake hands")
		}
	}
	c.send(make([]byte, 1536))
}

// message sends a message with a header of type 0 and all timestamps extended as the
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

// connectCommand is a connect command with further properties in its object.
func connectCommand(app string, extra ...[]byte) []byte {
	b := appendAMF(nil, "connect", 1.0)
	b = append(b, amfObject)
	b = append(append(b, key("app")...), appendAMF(nil, app)...)
	b = append(append(b, key("tcUrl")...), appendAMF(nil, "rtmp://127.0.0.1/"+app)...)
	return append(append(b, bytes.Join(extra, nil)...), 0, 0, amfObjectEnd)
}

func key(s string) []byte { return appendAMFText(nil, s) }

func amf(values ...any) []byte { return appendAMF(nil, values...) }

// publish goes the whole way and waits to be let in.
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

// showsPictures proves that the connection still publishes: pictures it sends arrive.
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

// flood sends zeros.
func (c *client) flood(total int) {
	b := make([]byte, 64<<10)
	for sent := 0; sent < total; sent += len(b) {
		if !c.send(b) {
			return
		}
	}
}
