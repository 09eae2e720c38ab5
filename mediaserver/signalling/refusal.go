package signalling

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Reasons that WHIP and WHEP share. A protocol may have its own words for them in its metric:
// see FrontConfig.ReasonLabels.
const (
	ReasonBodyNotRead       = "BodyNotRead"
	ReasonBodyTooLarge      = "BodyTooLarge"
	ReasonContentType       = "ContentType"
	ReasonFull              = "TooManySessions"
	ReasonICERestart        = "ICERestart"
	ReasonMalformedFragment = "MalformedFragment"
	ReasonMalformedOffer    = "MalformedOffer"
	ReasonMethod            = "MethodNotAllowed"
	ReasonNoKeys            = "NoKeys" // the keys of JSON Web Tokens are not there
	ReasonNoSession         = "NoSession"
	ReasonOfferTooLarge     = "OfferTooLarge"
	ReasonPanic             = "Panic"
	ReasonPushedOut         = "PushedOut"
	ReasonShuttingDown      = "ShuttingDown"
	ReasonUnauthorized      = "Unauthorized"
	ReasonUnknownStream     = "UnknownStream"
	ReasonUnsupportedMedia  = "UnsupportedMedia"
	ReasonWrongETag         = "WrongETag"
)

// A Refusal is why a request fails.
type Refusal struct {
	// Status is the HTTP status to answer with.
	Status int
	// Reason is one word for metrics and the log.
	Reason string
	// Message tells whoever runs the client what is wrong and what to do.
	Message string
	// RetryAfter is the number of seconds after which the client may try again. 0: it is not told.
	RetryAfter int
	// Elsewhere reports whether another server may do what this one refuses. The client is told
	// that server's URL, and its connection is closed: on a new one the next attempt may reach
	// another server.
	Elsewhere bool
}

// Refuse returns a Refusal with a message made from format and args.
func Refuse(status int, reason, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// RefuseForNow returns a Refusal with status 503 of a client that may try again after so many
// seconds, or at another server at once.
func RefuseForNow(reason string, seconds int, format string, args ...any) *Refusal {
	r := Refuse(http.StatusServiceUnavailable, reason, format, args...)
	r.RetryAfter, r.Elsewhere = seconds, true
	return r
}

// noKeysRetry is the number of seconds after which a client may try again while there are no keys.
const noKeysRetry = 5

// RefuseViewer returns the Refusal of a viewer whose token was judged with err: 404 if
// stream.IsUnknown, 503 if jwks.ErrUnavailable, and otherwise 401.
func RefuseViewer(err error) *Refusal {
	switch {
	case stream.IsUnknown(err):
		return Refuse(http.StatusNotFound, ReasonUnknownStream, "%v", err)
	case errors.Is(err, jwks.ErrUnavailable):
		return RefuseForNow(ReasonNoKeys, noKeysRetry, "%v", err)
	}
	return Refuse(http.StatusUnauthorized, ReasonUnauthorized, "%v", err)
}

// Write answers with the refusal. alternate is the URL of another server; empty: there is none.
func (r *Refusal) Write(w http.ResponseWriter, alternate string) {
	header := w.Header()
	if r.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="streampair"`)
	}
	if r.Elsewhere {
		header.Set("Connection", "close")
		LinkAlternate(w, alternate)
	}
	if r.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	http.Error(w, r.Message, r.Status)
}

// refuseAtEnd returns the Refusal of a new session while the server is about to end.
func refuseAtEnd() *Refusal {
	return RefuseForNow(ReasonShuttingDown, 1, "The server is shutting down; connect again.")
}

// RefuseOffer returns the Refusal for an error of package sdpoffer. what is the beginning of the
// message when the offer is within bounds.
func RefuseOffer(what string, err error) *Refusal {
	var e *sdpoffer.Error
	if errors.As(err, &e) && e.TooLarge {
		return Refuse(http.StatusRequestEntityTooLarge, ReasonOfferTooLarge, "The offer is larger than any client's: %v.", err)
	}
	return Refuse(http.StatusBadRequest, ReasonMalformedOffer, "%s: %v.", what, err)
}

// maxLogged bounds how much of a client's text a log line has, in bytes.
const maxLogged = 300

// A refusalLog logs refusals at INFO. An encoder or a player seldom shows what it was told, so
// its user looks into the server's log. A LogBudget bounds the rate. Each line has the number of
// lines left out before it. A refusalLog is safe for concurrent use.
type refusalLog struct {
	*LogBudget
	log *slog.Logger
}

func newRefusalLog(log *slog.Logger) *refusalLog { return &refusalLog{NewLogBudget(), log} }

// write logs the refusal of a request to an endpoint of that protocol, or to a session below it.
func (l *refusalLog) write(r *http.Request, protocol string, refused *Refusal) {
	leftOut, ok := l.Take(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), time.Now())
	if !ok {
		return
	}
	log := l.log
	if leftOut > 0 {
		log = log.With("leftOut", leftOut)
	}
	log.Info("request refused", "protocol", protocol, "stream", Clip(r.PathValue("app")+"/"+r.PathValue("streamId")),
		"method", r.Method, "status", refused.Status, "reason", refused.Reason, "message", Clip(refused.Message),
		"remote", r.RemoteAddr, "userAgent", Clip(r.UserAgent()))
}

// Clip returns the beginning of a text, because a client may have chosen its length.
func Clip(text string) string { return text[:min(len(text), maxLogged)] }
