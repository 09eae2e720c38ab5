package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Sizes of the handshake in bytes, section 5.2.
const (
	handshakeVersion = 3
	handshakeBytes   = 1 + 1536 + 1536 // C0, C1, C2
)

// Chunk streams. go-rtmp answers on the chunk stream of the request, and on 2. All
// requests are put on one chunk stream, and this package's own messages go on another.
// So no two writers share a chunk stream.
const (
	chunkStreamControl = 2
	chunkStreamCommand = 3
	chunkStreamOwn     = 5
)

// maxMessageStreams is how many message streams a client may have open (section
// 7.2.1.3), including the control stream. Publishers use one.
const maxMessageStreams = 8

// minAckWindow is the smallest acknowledgement window, in bytes. It keeps a client
// from asking for an acknowledgement of each byte.
const minAckWindow = 64 << 10

// defaultAckWindow is the acknowledgement window of both directions, in bytes, if the client sets none.
const defaultAckWindow = 5_000_000

// readBufferSize is the size of a connection's read buffer, in bytes. Most pictures of a publisher
// fit, so they take one read.
const readBufferSize = 16 << 10

// capabilityReconnect is the bit of capsEx by which a client says that it reconnects when it is asked
// to (Enhanced RTMP v2, Enhancing NetConnection connect Command).
const capabilityReconnect = 1

// maxHeaderSize is the size of a basic header, a message header and an extended
// timestamp, in bytes.
const maxHeaderSize = 1 + 11 + 4

// A guard is the net.Conn that go-rtmp reads. What Read returns is always well-formed: the client's
// handshake, one Set Chunk Size, then messages of one chunk each. Only commands that go-rtmp knows
// pass, on message streams that exist. The guard gives audio and video of a publisher to onMedia, so
// that they are copied once. It handles other messages itself, drops and counts them, or ends the
// connection. It adds limits and deadlines, which go-rtmp lacks.
//
// go-rtmp can't handle the following, which the guard keeps away: AMF0 that is deep, huge or of an
// unexpected type; messages that are empty, of unknown type or on an unknown stream; extended
// timestamps in chunks of type 3.
type guard struct {
	*clientConn
	messages *chunkReader
	counts   *prometheus.CounterVec // by reason

	handshake int // bytes of the handshake still to come
	// header, followed by payload, is what go-rtmp reads next.
	header, payload []byte
	headerStore     [maxHeaderSize]byte
	commandStore    []byte // of rewritten commands
	aggregate       aggregate
	connected       bool
	reconnects      bool                    // the client reconnects when it is asked to, see capabilityReconnect
	open            [maxMessageStreams]bool // in step with go-rtmp, which takes the lowest free number
	publishStream   uint32                  // the message stream being published, or 0
	commandStream   uint32                  // of the last publish or play; a status goes to it
	failed          error                   // what Read returns from now on
	acknowledge     acknowledgements
	// onMedia is called with each audio and video message of a publisher, and may keep the body. An
	// error ends the connection.
	onMedia func(t messageType, timestamp uint32, body []byte) error
	// tooLong is called with the type and length of a publisher's message that was
	// dropped because it is too long.
	tooLong func(t messageType, length int)
}

// acknowledgements are what the client has been told of the bytes that came, section 5.4.3.
type acknowledgements struct {
	window uint32 // bytes; 0: the client is told no more
	told   uint32 // bytes that came until the last acknowledgement, modulo 2^32
}

// An aggregate is the part of an aggregate message that has not been read yet.
type aggregate struct {
	rest    []byte
	shift   uint32 // to add to its timestamps
	started bool
	message message
}

func newGuard(w *clientConn, counts *prometheus.CounterVec) *guard {
	return &guard{
		clientConn: w, counts: counts, handshake: handshakeBytes,
		acknowledge: acknowledgements{window: defaultAckWindow},
		messages:    newChunkReader(bufio.NewReaderSize(w, readBufferSize), w.limits),
	}
}

// Read returns bytes of one message at most. So go-rtmp handles each message before
// the next is parsed.
func (g *guard) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if g.failed == nil && g.handshake > 0 {
		n, err := g.readHandshake(b)
		return n, g.fail(err)
	}
	for len(g.header) == 0 && len(g.payload) == 0 {
		if g.failed != nil {
			return 0, g.failed
		}
		if err := g.nextMessage(); err != nil {
			return 0, g.fail(err)
		}
	}
	from := &g.header
	if len(g.header) == 0 {
		from = &g.payload
	}
	n := copy(b, *from)
	*from = (*from)[n:]
	return n, nil
}

// fail makes every later Read return err. It tells the client if err is a refusal.
func (g *guard) fail(err error) error {
	if err == nil || g.failed != nil {
		return err
	}
	g.failed = err
	var r *refusal
	if errors.As(err, &r) && g.handshake == 0 {
		streamID, code := g.commandStream, r.code
		if code == statusShutdown && g.reconnects {
			streamID, code = 0, statusReconnect
		}
		g.writeFinal(appendStatus(nil, streamID, code, r.description))
	}
	return err
}

func (g *guard) readHandshake(b []byte) (int, error) {
	n, err := g.messages.r.Read(b[:min(len(b), g.handshake)])
	if n > 0 && g.handshake == handshakeBytes && b[0] != handshakeVersion {
		return 0, refuse(ReasonHandshake, "not RTMP version %d", handshakeVersion)
	}
	if g.handshake -= n; g.handshake == 0 {
		// With this chunk size every later message fits into one chunk.
		g.emit(chunkStreamControl, message{typ: typeSetChunkSize, payload: []byte{0, 0xff, 0xff, 0xff}})
	}
	return n, err
}

// nextMessage reads one message and decides what to do with it. It may emit nothing.
func (g *guard) nextMessage() error {
	if len(g.aggregate.rest) > 0 {
		return g.nextOfAggregate()
	}
	m, err := g.messages.next()
	if err != nil {
		return err
	}
	g.acknowledgeBytes()
	if m.dropped > 0 {
		if g.publishStream != 0 {
			g.tooLong(m.typ, m.dropped)
		}
		return g.drop(ReasonMessageSize)
	}
	if len(m.payload) == 0 {
		return g.drop(ReasonEmpty)
	}
	switch m.typ {
	case typeAudio, typeVideo:
		if g.publishStream == 0 {
			return g.drop(ReasonNotPublishing)
		}
		return g.media(m.typ, m.timestamp, g.messages.take())
	case typeAggregate:
		if g.publishStream == 0 {
			return g.drop(ReasonNotPublishing)
		}
		g.aggregate = aggregate{rest: m.payload, message: m}
		return nil
	case typeCommandAMF3, typeDataAMF3:
		// Clients that asked for AMF3 send AMF0 after a zero byte. No publisher is
		// known to send real AMF3.
		if m.payload[0] != 0 {
			return g.drop(ReasonAMF3)
		}
		if m.typ == typeDataAMF3 {
			return nil
		}
		m.payload = m.payload[1:]
		return g.command(m)
	case typeCommand:
		return g.command(m)
	case typeAckWindow:
		return g.ackWindow(m)
	case typeData, typeAcknowledgement, typeUserControl, typeSetPeerBandwidth:
		return nil // valid, but not needed
	}
	return g.drop(ReasonUnknownType)
}

func (g *guard) drop(r Reason) error {
	g.counts.WithLabelValues(string(r)).Inc()
	return nil
}

// media hands on a message of a client that publishes.
func (g *guard) media(t messageType, timestamp uint32, body []byte) error {
	g.clientConn.media()
	return g.onMedia(t, timestamp, body)
}

func (g *guard) nextOfAggregate() error {
	a := &g.aggregate
	m, rest, err := splitAggregate(a.rest)
	if a.rest = rest; err != nil {
		return g.drop(ReasonAggregate)
	}
	if !a.started {
		a.started, a.shift = true, a.message.timestamp-m.timestamp
	}
	m.timestamp += a.shift
	isMedia := m.typ == typeAudio || m.typ == typeVideo
	if !isMedia || len(m.payload) == 0 || len(m.payload) > g.messages.messageLimit(m.typ) {
		return g.drop(ReasonAggregate)
	}
	return g.media(m.typ, m.timestamp, bytes.Clone(m.payload))
}

// ackWindow carries out Window Acknowledgement Size, section 5.4.4. Some encoders wait for the
// acknowledgements.
func (g *guard) ackWindow(m message) error {
	if len(m.payload) < 4 {
		return g.drop(ReasonAckWindow)
	}
	size := binary.BigEndian.Uint32(m.payload)
	if size < minAckWindow || size > 0x7fffffff {
		return g.drop(ReasonAckWindow)
	}
	if g.acknowledge.window != 0 {
		g.acknowledge.window = size
	}
	return nil
}

// acknowledgeBytes sends an acknowledgement (section 5.4.3) when half a window has come since the
// last one. go-rtmp writes on the same chunk stream, but only until the client is connected.
func (g *guard) acknowledgeBytes() {
	a, came := &g.acknowledge, g.received
	if !g.connected || a.window == 0 || came-a.told < a.window/2 {
		return
	}
	a.told = came
	_, err := g.Write(appendMessage(nil, chunkStreamControl, serverChunkSize, message{
		typ: typeAcknowledgement, payload: binary.BigEndian.AppendUint32(nil, came),
	}))
	if err != nil {
		a.window = 0 // the client does not read; its media are welcome
	}
}

// command emits the commands that a publisher needs, if the session is in the right
// state for them (section 7.2.1).
func (g *guard) command(m message) error {
	c, err := parseCommand(m.payload)
	if err != nil {
		return refuse(ReasonAMF, "a command cannot be read: %v", err)
	}
	streamID := uint32(0) // control stream
	switch c.name {
	case "connect":
		if g.connected {
			return g.drop(ReasonUnknownCommand)
		}
		g.connected = true
		capabilities, _ := c.object["capsEx"].(float64)
		g.reconnects = capabilities >= 0 && capabilities < math.MaxInt32 && int(capabilities)&capabilityReconnect != 0
	case "createStream":
		if !g.connected || !g.openStream() {
			return g.drop(ReasonStreamID)
		}
	case "deleteStream":
		if !(c.number >= 1 && c.number < maxMessageStreams) || !g.open[int(c.number)] {
			return g.drop(ReasonStreamID)
		}
		g.open[int(c.number)] = false
	case "publish", "play", "closeStream":
		if m.streamID == 0 || m.streamID >= maxMessageStreams || !g.open[m.streamID] {
			return g.drop(ReasonStreamID)
		}
		streamID = m.streamID
		g.commandStream = streamID
	case "releaseStream", "FCPublish", "FCUnpublish":
		if !g.connected {
			return g.drop(ReasonUnknownCommand)
		}
	default: // _checkbw, getStreamLength, results without a call …
		return g.drop(ReasonUnknownCommand)
	}
	g.commandStore = appendCommand(g.commandStore[:0], c)
	g.emit(chunkStreamCommand, message{typ: typeCommand, streamID: streamID, timestamp: m.timestamp, payload: g.commandStore})
	return nil
}

// openStream does in the guard what go-rtmp does on createStream.
func (g *guard) openStream() bool {
	for i := 1; i < maxMessageStreams; i++ {
		if !g.open[i] {
			g.open[i] = true
			return true
		}
	}
	return false
}

// emit makes go-rtmp read m next. The payload is not copied, because the next message
// is read only after the payload has been used.
func (g *guard) emit(chunkStream byte, m message) {
	g.header = appendHeader(g.headerStore[:0], chunkStream, m)
	g.payload = m.payload
}

// beginPublishing lets media through, on the given message stream.
func (g *guard) beginPublishing(streamID uint32) {
	g.publishStream = streamID
	g.publish()
}

// endPublishing stops media. The client then has PublishTimeout to publish again, like
// a new client.
func (g *guard) endPublishing() {
	g.publishStream = 0
	g.unpublish()
}

// Close is called by go-rtmp when it is done with the connection.
func (g *guard) Close() error {
	var r *refusal
	g.close(errors.As(g.failed, &r) && g.handshake == 0)
	return nil
}

// serverChunkSize is the chunk size of messages to the client. go-rtmp never changes it.
const serverChunkSize = defaultChunkSize

// appendStatus appends an onStatus message (section 7.2.2) as chunks.
func appendStatus(b []byte, streamID uint32, code statusCode, description string) []byte {
	level := "error"
	if code == statusUnpublished || code == statusPublishStart || code == statusReconnect {
		level = "status"
	}
	return appendOwnCommand(b, streamID, "onStatus", []property{
		{"level", level}, {"code", string(code)}, {"description", description},
	})
}

func appendOwnCommand(b []byte, streamID uint32, name string, information []property) []byte {
	return appendMessage(b, chunkStreamOwn, serverChunkSize, message{
		typ: typeCommand, streamID: streamID, payload: appendAMF(nil, name, 0.0, nil, information),
	})
}
