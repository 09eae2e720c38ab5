package mediatest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"strings"
	"time"
)

// RTMP message types and chunk stream ids, Adobe's RTMP specification 1.0 sections 5.4,
// 6.1 and 7.1.
const (
	rtmpSetChunkSize = 1
	rtmpCommand      = 20

	rtmpControlChunks = 2
	rtmpCommandChunks = 3
	rtmpAudioChunks   = 4
	rtmpVideoChunks   = 6

	rtmpPort      = "1935"
	rtmpChunkSize = 4096
	// rtmpTimeout bounds the handshake, and each write.
	rtmpTimeout = 10 * time.Second
	// rtmpExtended is the 24-bit timestamp that announces an extended timestamp of 32 bits.
	rtmpExtended = 0xffffff
)

// An rtmpConn publishes one stream, as an encoder does. go-rtmp's client lacks three
// things that it has: deadlines, the server's answer to a refusal, and extended
// timestamps on every chunk as ffmpeg writes them.
type rtmpConn struct {
	conn   net.Conn
	in     *bufio.Reader
	buf    []byte
	stream uint32

	readChunk int
	partial   map[uint32]*rtmpMessage // by chunk stream
}

type rtmpMessage struct {
	kind   byte
	length int
	body   []byte
}

// dialRTMP connects to an rtmp:// URL and begins to publish.
func dialRTMP(ctx context.Context, rawURL string) (*rtmpConn, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "rtmp" {
		return nil, fmt.Errorf("%q is no rtmp:// URL", rawURL)
	}
	app, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok {
		return nil, fmt.Errorf("%q names no stream", rawURL)
	}
	if u.RawQuery != "" {
		name += "?" + u.RawQuery
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), rtmpPort)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &rtmpConn{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), readChunk: 128, partial: map[uint32]*rtmpMessage{}}
	// A cancelled context ends the handshake. After the handshake the caller's Close
	// ends the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(rtmpTimeout))
	if err := c.begin(app, name, "rtmp://"+u.Host+"/"+app); err != nil {
		stop()
		_ = conn.Close()
		return nil, fmt.Errorf("publish to %s: %w", rawURL, err)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	_ = conn.SetDeadline(time.Time{})
	return c, nil
}

func (c *rtmpConn) begin(app, name, tcURL string) error {
	hello := make([]byte, 1+1536) // C0, C1
	hello[0] = 3
	if _, err := c.conn.Write(hello); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	answer := make([]byte, 1+1536+1536) // S0, S1, S2
	if _, err := io.ReadFull(c.in, answer); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if _, err := c.conn.Write(answer[1 : 1+1536]); err != nil { // C2
		return fmt.Errorf("handshake: %w", err)
	}
	const connect, createStream, publish = 1, 4, 5
	size := binary.BigEndian.AppendUint32(nil, rtmpChunkSize)
	err := errors.Join(
		// The new chunk size holds from the next message on.
		c.write(rtmpControlChunks, 0, rtmpSetChunkSize, 0, size),
		c.command(0, "connect", connect, amfObject{
			{"app", app}, {"type", "nonprivate"}, {"flashVer", "FMLE/3.0 (compatible; mediatest)"}, {"tcUrl", tcURL},
		}))
	if err != nil {
		return err
	}
	if _, err := c.await("_result", "_error"); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	err = errors.Join(
		c.command(0, "releaseStream", 2, nil, name),
		c.command(0, "FCPublish", 3, nil, name),
		c.command(0, "createStream", createStream, nil))
	if err != nil {
		return err
	}
	for {
		body, err := c.await("_result", "_error")
		if err != nil {
			return fmt.Errorf("create stream: %w", err)
		}
		// The answer is "_result", transaction, null, stream id. Other results answer
		// the two commands before.
		rest := body[3+len("_result"):]
		if len(rest) < 9+1+9 || amfNumber(rest) != createStream {
			continue
		}
		c.stream = uint32(amfNumber(rest[10:]))
		break
	}
	if err := c.command(c.stream, "publish", publish, nil, name, app); err != nil {
		return err
	}
	for {
		body, err := c.await("onStatus", "_error")
		if err != nil {
			return err
		}
		if bytes.Contains(body, []byte("NetStream.Publish.Start")) {
			return nil
		}
	}
}

// await reads messages up to a command with that name. A command named failed, or with
// level "error", is returned as an error.
func (c *rtmpConn) await(name, failed string) ([]byte, error) {
	for {
		m, err := c.read()
		if err != nil {
			return nil, err
		}
		if m.kind != rtmpCommand {
			continue
		}
		switch got := amfString(m.body); {
		case got == failed, got == "onStatus" && bytes.Contains(m.body, []byte("error")):
			return nil, &RefusedError{Status: printable(m.body)}
		case got == name:
			return m.body, nil
		}
	}
}

// A RefusedError is returned when the server refuses a publication.
type RefusedError struct {
	// Status is the readable part of the server's answer.
	Status string
}

// Error returns the server's answer.
func (e *RefusedError) Error() string { return "refused: " + e.Status }

func printable(b []byte) string {
	var words []string
	for _, w := range bytes.FieldsFunc(b, func(r rune) bool { return r < ' ' || r > '~' }) {
		if len(w) > 3 {
			words = append(words, string(w))
		}
	}
	return strings.Join(words, " ")
}

// drain reads and discards messages from the server until the connection ends.
func (c *rtmpConn) drain() error {
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		if m.kind == rtmpCommand && bytes.Contains(m.body, []byte("error")) {
			return &RefusedError{Status: printable(m.body)}
		}
	}
}

// bye tells the server that the publication ends.
func (c *rtmpConn) bye(name string) error {
	return errors.Join(
		c.command(0, "FCUnpublish", 6, nil, name),
		c.command(0, "deleteStream", 7, nil, float64(c.stream)))
}

// An amfObject is an AMF0 object of strings, in order.
type amfObject [][2]string

func (c *rtmpConn) command(stream uint32, name string, transaction float64, arguments ...any) error {
	body := appendAMF(nil, name, transaction)
	return c.write(rtmpCommandChunks, 0, rtmpCommand, stream, appendAMF(body, arguments...))
}

// appendAMF appends AMF0 values (Adobe's specification, section 2).
func appendAMF(b []byte, values ...any) []byte {
	str := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, 5)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 0), math.Float64bits(v))
		case string:
			b = str(append(b, 2), v)
		case amfObject:
			b = append(b, 3)
			for _, member := range v {
				b = str(append(str(b, member[0]), 2), member[1])
			}
			b = append(b, 0, 0, 9)
		default:
			panic(fmt.Sprintf("appendAMF: %T", v))
		}
	}
	return b
}

func amfString(b []byte) string {
	if len(b) < 3 || b[0] != 2 || len(b) < 3+int(binary.BigEndian.Uint16(b[1:])) {
		return ""
	}
	return string(b[3 : 3+int(binary.BigEndian.Uint16(b[1:]))])
}

func amfNumber(b []byte) float64 {
	if len(b) < 9 || b[0] != 0 {
		return -1
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
}

// write sends one message as a chunk of type 0, and further chunks of type 3 (section 5.3.1).
func (c *rtmpConn) write(chunkStream byte, timestamp uint32, kind byte, stream uint32, body []byte) error {
	short := min(timestamp, rtmpExtended)
	b := append(c.buf[:0], chunkStream, byte(short>>16), byte(short>>8), byte(short),
		byte(len(body)>>16), byte(len(body)>>8), byte(len(body)), kind)
	b = binary.LittleEndian.AppendUint32(b, stream)
	for first := true; first || len(body) > 0; first = false {
		if !first {
			b = append(b, 3<<6|chunkStream)
		}
		if short == rtmpExtended {
			b = binary.BigEndian.AppendUint32(b, timestamp)
		}
		n := min(rtmpChunkSize, len(body))
		b, body = append(b, body[:n]...), body[n:]
	}
	c.buf = b
	_, err := c.conn.Write(b)
	return err
}

// read returns the next complete message.
func (c *rtmpConn) read() (*rtmpMessage, error) {
	for {
		m, err := c.readOneChunk()
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if m.kind == rtmpSetChunkSize && len(m.body) >= 4 {
			c.readChunk = int(binary.BigEndian.Uint32(m.body) & 0x7fffffff)
			continue
		}
		return m, nil
	}
}

// readOneChunk reads one chunk. It returns the message that the chunk completes, or nil.
func (c *rtmpConn) readOneChunk() (*rtmpMessage, error) {
	var h [11]byte
	if _, err := io.ReadFull(c.in, h[:1]); err != nil {
		return nil, err
	}
	format, id := h[0]>>6, uint32(h[0]&0x3f)
	if id < 2 {
		if _, err := io.ReadFull(c.in, h[:id+1]); err != nil {
			return nil, err
		}
		second := uint32(0)
		if id == 1 {
			second = uint32(h[1]) << 8
		}
		id = 64 + uint32(h[0]) + second
	}
	m := c.partial[id]
	if m == nil {
		m = &rtmpMessage{}
		c.partial[id] = m
	}
	if n := [...]int{11, 7, 3, 0}[format]; n > 0 {
		if _, err := io.ReadFull(c.in, h[:n]); err != nil {
			return nil, err
		}
		if n >= 7 {
			m.length, m.kind = int(h[3])<<16|int(h[4])<<8|int(h[5]), h[6]
		}
		if h[0] == 0xff && h[1] == 0xff && h[2] == 0xff {
			if _, err := c.in.Discard(4); err != nil {
				return nil, err
			}
		}
	}
	n := min(m.length-len(m.body), c.readChunk)
	part := make([]byte, n)
	if _, err := io.ReadFull(c.in, part); err != nil {
		return nil, err
	}
	if m.body = append(m.body, part...); len(m.body) < m.length {
		return nil, nil
	}
	whole := *m
	m.body = nil
	return &whole, nil
}
