package rtmp

import "math"

// A command is the part of a command message (section 7.2) that a publisher's server needs.
type command struct {
	name        string
	transaction float64
	object      map[string]any // the command object of connect
	text        string         // the first string argument: a stream name
	number      float64        // the first number argument: a message stream id
}

// parseCommand parses the AMF0 payload of a command message.
func parseCommand(p []byte) (command, error) {
	values, err := amfValues(p)
	if err != nil {
		return command{}, err
	}
	c := command{}
	if len(values) > 0 {
		c.name, _ = values[0].(string)
	}
	if len(values) > 1 {
		// Replies repeat the transaction id; go-rtmp converts it to an integer.
		if t, ok := values[1].(float64); ok && t >= 0 && t < math.MaxInt32 {
			c.transaction = t
		}
	}
	if len(values) > 2 {
		c.object, _ = values[2].(map[string]any)
	}
	if len(values) > 3 {
		c.text, _ = values[3].(string)
		c.number, _ = values[3].(float64)
	}
	return c, nil
}

// connectProperties are the properties of connect's command object (section 7.2.1.1)
// that are passed on if they are strings.
var connectProperties = []string{"app", "type", "flashVer", "tcUrl"}

// appendCommand appends c in a form that go-rtmp can always decode: the arguments it
// expects, of the types it expects.
func appendCommand(b []byte, c command) []byte {
	b = appendAMF(b, c.name, c.transaction)
	switch c.name {
	case "connect":
		var object []property
		for _, key := range connectProperties {
			if v, ok := c.object[key].(string); ok {
				object = append(object, property{key, v})
			}
		}
		return appendAMF(b, object)
	case "publish":
		return appendAMF(b, nil, c.text, "live")
	case "play":
		return appendAMF(b, nil, c.text, 0.0)
	case "releaseStream", "FCPublish", "FCUnpublish":
		return appendAMF(b, nil, c.text)
	case "deleteStream":
		return appendAMF(b, nil, c.number)
	}
	return appendAMF(b, nil) // createStream, closeStream
}

// appendMessage appends a message as one chunk of type 0. Further chunks of type 3 follow if the
// message is longer than chunkSize bytes (section 5.3). chunkStream is 2 to 63.
func appendMessage(b []byte, chunkStream byte, chunkSize int, m message) []byte {
	b = appendHeader(b, chunkStream, m)
	p := m.payload
	for {
		n := min(len(p), chunkSize)
		b = append(b, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return b
		}
		b = append(b, 3<<6|chunkStream)
		if m.timestamp >= extended {
			b = appendUint32(b, m.timestamp)
		}
	}
}

// appendHeader appends a basic header, a message header of type 0, and the extended
// timestamp if it is needed.
func appendHeader(b []byte, chunkStream byte, m message) []byte {
	n, t := len(m.payload), min(m.timestamp, extended)
	b = append(b, chunkStream,
		byte(t>>16), byte(t>>8), byte(t),
		byte(n>>16), byte(n>>8), byte(n), byte(m.typ),
		byte(m.streamID), byte(m.streamID>>8), byte(m.streamID>>16), byte(m.streamID>>24))
	if t == extended {
		b = appendUint32(b, m.timestamp)
	}
	return b
}

func appendUint32(b []byte, v uint32) []byte {
	return append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
