package whip

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A refusal is why a request is not done, in one sentence for whoever runs the
// encoder, and in one word for the metric.
type refusal struct {
	status int
	reason string
	text   string
	// retryAfter, in seconds, is sent if not 0.
	retryAfter int
}

func refuse(status int, reason, format string, args ...any) *refusal {
	return &refusal{status: status, reason: reason, text: fmt.Sprintf(format, args...)}
}

// reasonShuttingDown is that of a server that is about to end.
const reasonShuttingDown = "ShuttingDown"

// reasonFull is that of a server that has as many publishers as it takes.
const reasonFull = "TooManySessions"

// refusePublish words an error of Registry.Publish or a stream.ErrUndeclared.
func refusePublish(err error) *refusal {
	r := &refusal{status: http.StatusInternalServerError, reason: "Internal", text: sentence(err)}
	switch {
	case errors.Is(err, stream.ErrInvalidStreamID):
		r.status, r.reason = http.StatusBadRequest, "InvalidStreamID"
	case errors.Is(err, stream.ErrUndeclared):
		r.status, r.reason = http.StatusNotFound, "UnknownStream"
	case errors.Is(err, stream.ErrStreamInUse):
		r.status, r.reason = http.StatusConflict, "StreamInUse"
	case errors.Is(err, stream.ErrTooManyTakeovers):
		r.status, r.reason = http.StatusConflict, "TooManyTakeovers"
	case errors.Is(err, stream.ErrTooManyStreams):
		r.status, r.reason, r.retryAfter = http.StatusServiceUnavailable, "TooManyStreams", 10
	case errors.Is(err, stream.ErrExpelled):
		r.status, r.reason, r.retryAfter = http.StatusServiceUnavailable, "Expelled", 30
	case errors.Is(err, stream.ErrShuttingDown):
		r.status, r.reason, r.retryAfter = http.StatusServiceUnavailable, reasonShuttingDown, 2
	}
	return r
}

// sentence writes an error as a sentence.
func sentence(err error) string {
	text := err.Error()
	if text == "" {
		return ""
	}
	if text[0] >= 'a' && text[0] <= 'z' {
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return text + "."
}
