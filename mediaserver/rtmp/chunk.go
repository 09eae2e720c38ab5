package rtmp

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// messageType is the type of an RTMP message.
type messageType byte

// Message types, sections 5.4 and 7.1.
const (
	typeSetChunkSize     messageType = 1
	typeAbort            messageType = 2
	typeAcknowledgement  messageType = 3
	typeUserControl      messageType = 4
	typeAckWindow        messageType = 5
	typeSetPeerBandwidth messageType = 6
	typeAudio            messageType = 8
	typeVideo            messageType = 9
	typeDataAMF3         messageType = 15
	typeCommandAMF3      messageType = 17
	typeData             messageType = 18
	typeCommand          messageType = 20
	typeAggregate        messageType = 22
)

// A message is one complete RTMP message.
type message struct {
	typ       messageType
	streamID  uint32
	timestamp uint32
	// payload is valid until the next message is read, unless it is taken.
	payload []byte
	// dropped is the length of a message that was too long for its type and was not
	// kept. 0 means that payload is the whole message.
	dropped int
}

const (
	defaultChunkSize = 128      // section 5.4.1
	maxChunkSize     = 0xffffff // a message is never longer than that
	extended         = 0xffffff // value of the timestamp field when an extended timestamp follows, section 5.3.1.3
	keptCapacity     = 256 << 10
)

// A chunkReader joins the chunks of a connection into messages (section 5.3). It
// checks its limits before it allocates.
type chunkReader struct {
	r          *bufio.Reader
	limits     Limits
	chunkSize  int
	streams    map[uint32]*chunkStream
	unfinished int // bytes buffered for incomplete messages
	capacity   int // bytes of all buffers
	delivered  *chunkStream
	lengthSize int // length size of the NAL units in video messages
	scratch    [11]byte
	// hasMemory reports whether there is memory for buffers of that many bytes. Nil means
	// that there always is.
	hasMemory func(bytes int) bool
}

// A chunkStream is the state of one chunk stream. Headers of later chunks leave out
// what has not changed.
type chunkStream struct {
	timestamp uint32
	field     uint32 // last timestamp field or its extension; the next delta
	extended  bool
	length    int
	typ       messageType
	streamID  uint32
	buf       []byte // the incomplete message
	received  int    // bytes received of the incomplete message
	// filter removes the filler data from a video message that is too long. It is nil
	// for any other message.
	filter  *fillerFilter
	dropped bool // the incomplete message is too long, and is not kept
}

func newChunkReader(r *bufio.Reader, l Limits) *chunkReader {
	return &chunkReader{r: r, limits: l, chunkSize: defaultChunkSize, streams: make(map[uint32]*chunkStream), lengthSize: 4}
}

// next returns the next message. It carries out Set Chunk Size and Abort itself and does not
// return them. An error is a *refusal or comes from the connection.
func (r *chunkReader) next() (message, error) {
	r.release()
	for {
		c, err := r.chunk()
		if err != nil {
			return message{}, err
		}
		if c.received < c.length {
			continue
		}
		m := message{typ: c.typ, streamID: c.streamID, timestamp: c.timestamp, payload: c.buf}
		if c.dropped {
			m.dropped = c.length
		}
		r.delivered = c
		r.unfinished -= len(c.buf)
		switch m.typ {
		case typeSetChunkSize:
			err = r.setChunkSize(m.payload)
		case typeAbort:
			r.abort(m.payload)
		case typeVideo:
			r.lengthSize = cmp.Or(lengthSizeOf(m.payload), r.lengthSize)
			return m, nil
		default:
			return m, nil
		}
		if err != nil {
			return message{}, err
		}
		r.release()
	}
}

// release frees the buffer of the last returned message for the next message.
func (r *chunkReader) release() {
	if c := r.delivered; c != nil {
		r.delivered = nil
		r.empty(c)
	}
}

// take gives the payload of the last returned message to the caller, who may keep it. The payload
// occupies no memory beyond its length.
func (r *chunkReader) take() []byte {
	c := r.delivered
	payload := c.buf
	if len(payload) < cap(payload) {
		return bytes.Clone(payload)
	}
	r.setBuffer(c, nil)
	return payload
}

// setBuffer replaces the buffer of a chunk stream.
func (r *chunkReader) setBuffer(c *chunkStream, b []byte) {
	r.capacity += cap(b) - cap(c.buf)
	c.buf = b
}

// chunk reads one chunk and returns its chunk stream.
func (r *chunkReader) chunk() (*chunkStream, error) {
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	c := r.streams[id]
	if c == nil {
		// Some clients begin with a header of type 1. The message stream is 0 then.
		if format > 1 {
			return nil, refuse(ReasonChunkHeader, "the first chunk of a chunk stream has a header of type %d", format)
		}
		if len(r.streams) >= r.limits.MaxChunkStreams {
			return nil, refuse(ReasonChunkStreams, "more than %d chunk streams", r.limits.MaxChunkStreams)
		}
		c = &chunkStream{}
		r.streams[id] = c
	}
	if format == 3 {
		err = r.continuation(c)
	} else {
		err = r.messageHeader(c, format)
	}
	if err != nil {
		return nil, err
	}
	return c, r.chunkData(c)
}

// basicHeader reads a chunk basic header, section 5.3.1.1.
func (r *chunkReader) basicHeader() (format byte, id uint32, err error) {
	first, err := r.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	format, id = first>>6, uint32(first&0x3f)
	if id > 1 {
		return format, id, nil
	}
	b := r.scratch[:1+id] // 0: one more byte, 1: two
	if _, err := io.ReadFull(r.r, b); err != nil {
		return 0, 0, err
	}
	if id == 1 {
		return format, uint32(b[1])<<8 + uint32(b[0]) + 64, nil
	}
	return format, uint32(b[0]) + 64, nil
}

var messageHeaderSize = [3]int{11, 7, 3}

// messageHeader reads a message header of type 0 to 2 (section 5.3.1.2), with which a new
// message begins. An incomplete message on this chunk stream is dropped.
func (r *chunkReader) messageHeader(c *chunkStream, format byte) error {
	h := r.scratch[:messageHeaderSize[format]]
	if _, err := io.ReadFull(r.r, h); err != nil {
		return err
	}
	r.forget(c)
	c.field = uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2])
	if format < 2 {
		c.length = int(h[3])<<16 | int(h[4])<<8 | int(h[5])
		c.typ = messageType(h[6])
	}
	if format == 0 {
		c.streamID = binary.LittleEndian.Uint32(h[7:])
	}
	if c.extended = c.field == extended; c.extended {
		e := r.scratch[:4]
		if _, err := io.ReadFull(r.r, e); err != nil {
			return err
		}
		c.field = binary.BigEndian.Uint32(e)
	}
	if format == 0 {
		c.timestamp = c.field
	} else {
		c.timestamp += c.field
	}
	if limit := r.messageLimit(c.typ); c.length > limit && !mayBeDropped(c.typ) {
		return refuse(ReasonMessageSize, "a message of %d bytes, and at most %d of type %d are accepted", c.length, limit, c.typ)
	}
	return nil
}

// mayBeDropped reports whether a message of that type may be dropped when it is too long.
// A message of another type that is too long ends the connection.
func mayBeDropped(t messageType) bool {
	return t == typeVideo || t == typeAudio || t == typeAggregate || t == typeData || t == typeDataAMF3
}

// forget drops the incomplete message.
func (r *chunkReader) forget(c *chunkStream) {
	r.unfinished -= len(c.buf)
	r.empty(c)
}

// empty frees the buffer for the next message. It does not keep a large buffer,
// because a client could have one on each chunk stream.
func (r *chunkReader) empty(c *chunkStream) {
	c.received = 0
	if c.buf = c.buf[:0]; cap(c.buf) > keptCapacity {
		r.setBuffer(c, nil)
	}
}

func (r *chunkReader) messageLimit(t messageType) int {
	switch t {
	case typeVideo, typeAggregate:
		return r.limits.MaxVideoMessage
	case typeAudio:
		return r.limits.MaxAudioMessage
	}
	return r.limits.MaxCommandMessage
}

// continuation goes on with the incomplete message. If there is none, it begins a new
// message with the same header (type 3, section 5.3.1.2.4).
func (r *chunkReader) continuation(c *chunkStream) error {
	if c.extended {
		// By section 5.3.1.3 the extended timestamp is repeated here. Old librtmp does
		// not repeat it, so it is skipped only if it is there. If fewer than four bytes
		// are left before the end of the connection, they are data.
		e, err := r.r.Peek(4)
		if err != nil && err != io.EOF {
			return err
		}
		if err == nil && slices.Contains([]uint32{c.field, c.timestamp}, binary.BigEndian.Uint32(e)) {
			_, _ = r.r.Discard(4) // can't fail: peeked before
		}
	}
	if c.received == 0 {
		c.timestamp += c.field
	}
	return nil
}

// readStep is how many bytes of buffer are allocated ahead of the data.
const readStep = 16 << 10

// chunkData reads the data of a chunk. The buffer grows with the data that has come,
// not with the announced length: 12 bytes can announce 4 MB.
func (r *chunkReader) chunkData(c *chunkStream) error {
	if c.received == 0 {
		c.filter, c.dropped = nil, false
		if long := c.length > r.messageLimit(c.typ); long && c.typ == typeVideo {
			c.filter = &fillerFilter{lengthSize: r.lengthSize}
		} else {
			c.dropped = long
		}
	}
	n := min(c.length-c.received, r.chunkSize)
	if c.filter != nil || c.dropped {
		return r.readOversized(c, n)
	}
	if r.unfinished+n > r.limits.MaxUnfinished {
		return refuse(ReasonUnfinished, "more than %d bytes of unfinished messages", r.limits.MaxUnfinished)
	}
	for n > 0 {
		have, step := len(c.buf), min(n, max(readStep, cap(c.buf)-len(c.buf)))
		if have+step > cap(c.buf) {
			grown := make([]byte, have, min(c.length, max(2*cap(c.buf), have+step, readStep)))
			copy(grown, c.buf)
			r.setBuffer(c, grown)
			if !r.hasRoom() {
				return refuse(ReasonMemory, outOfMemory)
			}
		}
		read, err := io.ReadFull(r.r, c.buf[have:have+step])
		c.buf = c.buf[:have+read]
		c.received += read
		r.unfinished += read
		n -= read
		if err != nil {
			return err
		}
	}
	return nil
}

const outOfMemory = "the server is short of memory for streams that no StreamPair names: lower the bit rate, or try later"

// hasRoom reports whether there is memory for the buffers of all chunk streams.
func (r *chunkReader) hasRoom() bool {
	return r.hasMemory == nil || r.hasMemory(r.capacity)
}

// readOversized reads n bytes of a message that is too long. Of a video message it keeps what
// is not filler data, as far as the limits allow.
func (r *chunkReader) readOversized(c *chunkStream, n int) error {
	for n > 0 {
		if _, err := r.r.Peek(1); err != nil {
			return err
		}
		b, _ := r.r.Peek(min(n, r.r.Buffered()))
		if !c.dropped {
			had := len(c.buf)
			r.setBuffer(c, c.filter.append(c.buf, b))
			r.unfinished += len(c.buf) - had
		}
		if len(c.buf) > r.messageLimit(c.typ) || r.unfinished > r.limits.MaxUnfinished || !r.hasRoom() {
			r.unfinished -= len(c.buf)
			r.setBuffer(c, nil)
			c.dropped = true
		}
		c.received += len(b)
		n -= len(b)
		_, _ = r.r.Discard(len(b)) // can't fail: peeked before
	}
	return nil
}

// setChunkSize carries out Set Chunk Size, section 5.4.1.
func (r *chunkReader) setChunkSize(p []byte) error {
	if len(p) < 4 {
		return refuse(ReasonChunkSize, "a Set Chunk Size message of %d bytes", len(p))
	}
	size := binary.BigEndian.Uint32(p)
	if size == 0 || size > 0x7fffffff {
		return refuse(ReasonChunkSize, "a chunk size of %d bytes", size)
	}
	r.chunkSize = int(min(size, maxChunkSize))
	return nil
}

// abort carries out Abort Message, section 5.4.2.
func (r *chunkReader) abort(p []byte) {
	if len(p) < 4 {
		return
	}
	if c := r.streams[binary.BigEndian.Uint32(p)]; c != nil && c != r.delivered {
		r.forget(c)
	}
}

var errAggregate = errors.New("malformed aggregate message")

// splitAggregate returns the first message of an aggregate message's payload (section 7.1.6), and
// the rest. The payload is a list of FLV tags, each followed by its size. Only the differences
// between their timestamps count. The first one stands for the aggregate's own timestamp.
func splitAggregate(p []byte) (m message, rest []byte, err error) {
	const header, trailer = 11, 4
	if len(p) < header {
		return message{}, nil, errAggregate
	}
	size := int(p[1])<<16 | int(p[2])<<8 | int(p[3])
	if header+size > len(p) {
		return message{}, nil, errAggregate
	}
	m = message{
		typ:       messageType(p[0]),
		timestamp: uint32(p[7])<<24 | uint32(p[4])<<16 | uint32(p[5])<<8 | uint32(p[6]),
		payload:   p[header : header+size],
	}
	return m, p[min(len(p), header+size+trailer):], nil
}
