package pods

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/streampair/streampair/api/control"
)

const (
	// maxPodEvent bounds one event of a media pod, in bytes.
	maxPodEvent = 1 << 20
	// keepPodBuffer bounds the buffer that a stream keeps between
	// events, in bytes. A status of one pair has about 3 KiB.
	keepPodBuffer = 16 << 10
	// maxPodCommas bounds the parts of a status. 1 MiB of "[{},{},{}…" would take a hundred
	// times as much memory. The real media server, with 64 pairs, stays below 6,000.
	maxPodCommas = 16 << 10
)

// A podEvent is one server-sent event. An event without a name is a comment,
// an empty line or an unnamed event. It only shows that the pod is alive.
type podEvent struct {
	name string
	data []byte // valid until the next call of next
	size int    // bytes read for this event
}

// An eventReader reads server-sent events (WHATWG HTML, section
// 9.2.6). Lines end in LF or CRLF, as the media server sends them.
type eventReader struct {
	r *bufio.Reader
	// alive is called before each line is read. A whole line
	// shows that the pod is alive; a single byte does not.
	alive func() error
	buf   []byte // the lines of the event being read
}

func newEventReader(r io.Reader, alive func() error) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, 2<<10), alive: alive}
}

var errEventTooLong = fmt.Errorf("the pod sent an event longer than %d bytes", maxPodEvent)

// next returns the next event. For other lines it returns only the size of what was read.
func (e *eventReader) next() (podEvent, error) {
	if cap(e.buf) > keepPodBuffer {
		e.buf = nil
	}
	e.buf = e.buf[:0]
	for {
		start := len(e.buf)
		if err := e.alive(); err != nil {
			return podEvent{}, err
		}
		if err := e.readLine(); err != nil {
			return podEvent{}, err
		}
		switch line := trimLine(e.buf[start:]); {
		case len(line) == 0:
			return parseEvent(e.buf), nil
		case line[0] == ':':
			if start == 0 {
				return podEvent{size: len(e.buf)}, nil
			}
		}
	}
}

// readLine appends a line, including its end, to buf.
func (e *eventReader) readLine() error {
	for {
		part, err := e.r.ReadSlice('\n')
		if len(e.buf)+len(part) > maxPodEvent {
			return errEventTooLong
		}
		e.buf = append(e.buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func trimLine(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// parseEvent reads the fields of an event. It
// assembles the data in lines itself, without a copy.
func parseEvent(lines []byte) podEvent {
	e := podEvent{size: len(lines), data: lines[:0]}
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		field, value, _ := bytes.Cut(trimLine(lines[:end]), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "data":
			if len(e.data) > 0 {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		}
		lines = lines[end:]
	}
	return e
}

// decodeStatus decodes a status that a pod sent.
func decodeStatus(data []byte) (*control.Status, error) {
	if commas := bytes.Count(data, []byte(",")); commas > maxPodCommas {
		return nil, fmt.Errorf("the pod sent a status of %d parts, more than %d", commas, maxPodCommas)
	}
	var s control.Status
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("the pod sent a status that cannot be read: %w", err)
	}
	if s.BootID == "" {
		return nil, errors.New("the pod sent a status without a boot id")
	}
	saneStatus(&s)
	return &s, nil
}
