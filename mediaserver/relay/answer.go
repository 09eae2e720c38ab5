package relay

import (
	"net/http"
	"time"
)

// writeChunk is how much of an answer is written within one writeTimeout: a reader that is
// slow, but takes something, is not one that hangs, whatever is to be sent at once.
const writeChunk = 64 << 10

// An answer is a response without an end, on which a reader that takes nothing is
// given up.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newAnswer(w http.ResponseWriter, contentType string) answer {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold it back
	return answer{w, http.NewResponseController(w)}
}

// Write writes b, a part at a time.
func (a answer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), writeChunk)]
		if err := a.putOff(); err != nil {
			return n, err
		}
		written, err := a.w.Write(part)
		n += written
		if err != nil {
			return n, err
		}
		b = b[len(part):]
	}
	return n, nil
}

// sent does what writes, and sends it at once.
func (a answer) sent(write func() error) error {
	if err := write(); err != nil {
		return err
	}
	if err := a.putOff(); err != nil {
		return err
	}
	return a.rc.Flush()
}

// putOff gives the reader another writeTimeout.
func (a answer) putOff() error { return a.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) }
