package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Sizes of the handshake, section 5.2.
const (
	handshakeVersion = 3
	handshakeBytes   = 1 + 1536 + 1536 // C0, C1, C2
)

// Chunk streams. go-rtmp answers on the one a request came on, and on 2: with all
// requests on one, and own messages on another, no two writers share one.
const (
	chunkStreamControl = 2
	chunkStreamCommand = 3
	chunkStreamAudio   = 4
	chunkStreamOwn     = 5
	chunkStreamVideo   = 6
)

// maxMessageStreams is how many message streams a client may have open (section
// 7.2.1.3), the control stream included. Publishers use one.
const maxMessageStreams = 8

// minAckWindow keeps a client from asking for an acknowledgement of each byte.
const minAckWindow = 64 << 10

// maxHeaderSize is that of basic header, message header and extended timestamp.
const maxHeaderSize = 1 + 11 + 4

// A guard is the net.Conn that go-rtmp reads. What it returns is always well-formed:
// the client's handshake, then one Set Chunk Size, then messages of one chunk each:
// commands that go-rtmp knows with arguments as it expects them, on message streams
// that exist; audio and video of a client that publishes; sensible acknowledgement
// windows. All else is carried out here, dropped and counted, or ends the connection.
//
// go-rtmp's defects that this keeps away from: any AMF0 that is deep, huge or of an
// unexpected type, messages without payload, of unknown type or to an unknown stream,
// extended timestamps in chunks of type 3, and its lack of limits and deadlines.
type guard struct {
	*wire
	messages *chunkReader
	counts   *prometheus.CounterVec // by reason

	handshake int // bytes of it still to come
	// header, then payload, is what go-rtmp is to read next.
	header, payload []byte
	headerStore     [maxHeaderSize]byte
	commandStore    []byte // of rewritten commands
	aggregate       aggregate
	connected       bool
	open            [maxMessageStreams]bool // as go-rtmp's: lowest free number first
	publishStream   uint32                  // the message stream being published, or 0
	commandStream   uint32                  // of the last publish or play: where to send a status
	failed          error                   // what Read returns from now on
	mediaSize       int                     // bytes of the audio or video message being read
	// tooLong is called with the type and length of a message of a publisher's that was
	// dropped because it is too long.
	tooLong func(t messageType, length int)
}

// aggregate is what is left of an aggregate message.
type aggregate struct {
	rest    []byte
	shift   uint32 // to add to its timestamps
	started bool
	message message
}

func newGuard(w *wire, counts *prometheus.CounterVec) *guard {
	return &guard{
		wire: w, counts: counts, handshake: handshakeBytes,
		messages: newChunkReader(bufio.NewReaderSize(w, 8<<10), w.limits),
	}
}

// Read returns bytes of one message at most, so go-rtmp handles each message before
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

// fail makes err the last thing that go-rtmp reads. A refusal is told to the client.
func (g *guard) fail(err error) error {
	if err == nil || g.failed != nil {
		return err
	}
	g.failed = err
	var r *refusal
	if errors.As(err, &r) && g.handshake == 0 {
		g.lastWord(appendStatus(nil, g.commandStream, r.code, r.description))
	}
	return err
}

func (g *guard) readHandshake(b []byte) (int, error) {
	n, err := g.messages.r.Read(b[:min(len(b), g.handshake)])
	if n > 0 && g.handshake == handshakeBytes && b[0] != handshakeVersion {
		return 0, refuse(ReasonHandshake, "not RTMP version %d", handshakeVersion)
	}
	if g.handshake -= n; g.handshake == 0 {
		// From here on go-rtmp never sees a second chunk of a message.
		g.emit(chunkStreamControl, message{typ: typeSetChunkSize, payload: []byte{0, 0xff, 0xff, 0xff}})
	}
	return n, err
}

// nextMessage reads one message and decides about it; there may be nothing to emit.
func (g *guard) nextMessage() error {
	if len(g.aggregate.rest) > 0 {
		return g.nextOfAggregate()
	}
	m, err := g.messages.next()
	if err != nil {
		return err
	}
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
		return g.media(m)
	case typeAggregate:
		g.aggregate = aggregate{rest: m.payload, message: m}
		return nil
	case typeCommandAMF3, typeDataAMF3:
		// AMF0 behind a zero, from clients that asked for AMF3; real AMF3 has not been
		// seen from a publisher.
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
		return nil // honest, and of no use here
	}
	return g.drop(ReasonUnknownType)
}

func (g *guard) drop(r Reason) error {
	g.counts.WithLabelValues(string(r)).Inc()
	return nil
}

// media hands on audio and video, of a client that was let in to publish, to the
// message stream that it publishes on.
func (g *guard) media(m message) error {
	if g.publishStream == 0 {
		return g.drop(ReasonNotPublishing)
	}
	g.wire.media()
	g.mediaSize = len(m.payload)
	m.streamID = g.publishStream
	if m.typ == typeAudio {
		g.emit(chunkStreamAudio, m)
	} else {
		g.emit(chunkStreamVideo, m)
	}
	return nil
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
	return g.media(m)
}

// ackWindow hands on Window Acknowledgement Size, section 5.4.4: go-rtmp then sends
// the acknowledgements that some encoders wait for.
func (g *guard) ackWindow(m message) error {
	if len(m.payload) < 4 {
		return g.drop(ReasonAckWindow)
	}
	if size := binary.BigEndian.Uint32(m.payload); size < minAckWindow || size > 0x7fffffff {
		return g.drop(ReasonAckWindow)
	}
	g.emit(chunkStreamControl, message{typ: typeAckWindow, payload: m.payload[:4]})
	return nil
}

// command hands on the commands a publisher needs, in their order of a session
// (section 7.2.1).
func (g *guard) command(m message) error {
	c, err := parseCommand(m.payload)
	if err != nil {
		return refuse(ReasonAMF, "a command cannot be read: %v", err)
	}
	streamID := uint32(0) // the control stream
	switch c.name {
	case "connect":
		if g.connected {
			return g.drop(ReasonUnknownCommand)
		}
		g.connected = true
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
	default: // _checkbw, getStreamLength, results of what was never asked …
		return g.drop(ReasonUnknownCommand)
	}
	g.commandStore = appendCommand(g.commandStore[:0], c)
	g.emit(chunkStreamCommand, message{typ: typeCommand, streamID: streamID, timestamp: m.timestamp, payload: g.commandStore})
	return nil
}

// openStream mirrors what go-rtmp does on createStream.
func (g *guard) openStream() bool {
	for i := 1; i < maxMessageStreams; i++ {
		if !g.open[i] {
			g.open[i] = true
			return true
		}
	}
	return false
}

// emit makes m what go-rtmp reads next. The payload is not copied: the next message is
// read only when it is used up.
func (g *guard) emit(chunkStream byte, m message) {
	g.header = appendHeader(g.headerStore[:0], chunkStream, m)
	g.payload = m.payload
}

// beginPublishing lets media through, to the given message stream.
func (g *guard) beginPublishing(streamID uint32) {
	g.publishStream = streamID
	g.publish()
}

// endPublishing stops media, and gives the client the time of a newcomer to publish
// again or go.
func (g *guard) endPublishing() {
	g.publishStream = 0
	g.unpublish()
}

// Close is called by go-rtmp when it is done.
func (g *guard) Close() error {
	var r *refusal
	g.close(errors.As(g.failed, &r) && g.handshake == 0)
	return nil
}

// serverChunkSize is that of the messages sent: go-rtmp never changes it.
const serverChunkSize = defaultChunkSize

// appendStatus appends an onStatus message (section 7.2.2) as chunks.
func appendStatus(b []byte, streamID uint32, code statusCode, description string) []byte {
	level := "error"
	if code == statusUnpublished || code == statusPublishStart {
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
