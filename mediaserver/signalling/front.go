package signalling

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

const (
	// connectGrace is how long a session keeps its place even though too many are connecting.
	connectGrace = 2 * time.Second

	// bodyTimeout bounds how long a client may take to send a body.
	bodyTimeout = 10 * time.Second

	// retryAfter is the number of seconds after which a client that found no place may try again.
	retryAfter = 5

	// preflightAge is how long a browser may keep the answer to a preflight, in seconds. It is an
	// hour, so that a header that a new version takes is not refused for a day.
	preflightAge = "3600"
)

// FrontConfig configures a Front.
type FrontConfig struct {
	// Protocol is "whip" or "whep": in paths, in the log and as a label of metrics. Required.
	Protocol string
	// Authorize decides about a request to open a session, before its body is read. It returns
	// how to make the protocol's side of the session. Required.
	Authorize func(*http.Request) (newPeer func(*Session) Peer, refusal *Refusal)
	// ICEServers returns the ICE servers that Link headers recommend. Default: none.
	ICEServers func(*http.Request) []webrtc.ICEServer
	// Door is the name of the places in metrics. Required.
	Door string
	// MaxSessions bounds the sessions at one time; 0: any number. When there are that many, a new
	// session takes the place of one that has not connected, if there is one.
	MaxSessions int
	// MaxConnecting bounds the sessions that have not connected. A new session takes the place of
	// the one that has tried for the longest. Required.
	MaxConnecting int
	// Full is the message for clients that find no place. Required.
	Full string
	// Origin is the prefix of session ids. Default: that of a standalone server that has just
	// started.
	Origin Origin
	// Alternate returns the base URL of another server that does the same, or "" if none is known.
	// Default: none is known.
	Alternate func() string
	// ReasonLabels has the protocol's own words for some reasons. They are in the metric and in
	// the log. Default: there are none.
	ReasonLabels map[string]string
	// CountRefusal counts a refusal in the protocol's metric. Required.
	CountRefusal func(reason string)
	// Recovery confines a panic to its session; default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger; required. Metrics; required.
	Logger  *slog.Logger
	Metrics *metrics.Metrics
}

// A Front serves the endpoint /{app}/PROTOCOL/{streamId}, and the sessions below it.
type Front struct {
	// Door holds a place for each session, from the start of its negotiation.
	Door *admission.Door

	cfg      FrontConfig
	refusals *refusalLog
	running  sync.WaitGroup // until all sessions have left

	mu       recovery.Mutex // guards the rest, and what the comment of Session says
	sessions map[string]*Session
	events   map[string]*Session // by EventsID
	closed   bool
}

// NewFront returns a Front without sessions.
func NewFront(cfg FrontConfig) *Front {
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(*http.Request) []webrtc.ICEServer { return nil }
	}
	if cfg.Origin == (Origin{}) {
		cfg.Origin = Origin{Role: "s", BootID: NewBootID()}
	}
	if cfg.Alternate == nil {
		cfg.Alternate = func() string { return "" }
	}
	return &Front{
		cfg: cfg, refusals: newRefusalLog(cfg.Logger), sessions: map[string]*Session{}, events: map[string]*Session{},
		Door: admission.NewDoor(admission.DoorConfig{
			Name: cfg.Door, Metrics: cfg.Metrics,
			Limits: admission.Limits{
				Max: cfg.MaxSessions, MaxWaiting: cfg.MaxConnecting, MaxLeaving: cfg.MaxConnecting, Grace: connectGrace,
			},
		}),
	}
}

// Drain refuses new sessions. Open sessions go on.
func (f *Front) Drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// Shutdown refuses new sessions and ends the open ones. It returns when they have left or ctx is
// done.
func (f *Front) Shutdown(ctx context.Context) error {
	f.Drain()
	for _, p := range f.Peers() {
		go p.End(ShuttingDown)
	}
	gone := make(chan struct{})
	go func() {
		f.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Register mounts the endpoint and the sessions.
func (f *Front) Register(mux *http.ServeMux) {
	endpoint := "/{app}/" + f.cfg.Protocol + "/{streamId}"
	mux.HandleFunc(endpoint, f.Handler("Accept-Post", sdpoffer.ContentType, f.serveEndpoint))
	mux.HandleFunc(endpoint+"/{session}", f.Handler("Accept-Patch", sdpfrag.ContentType, f.serveSession))
}

// Handler returns a handler with the headers that all answers have. It answers with the Refusal that
// serve returns, counts it and logs it. accept names the header with the type of the bodies that are
// accepted; empty: none.
func (f *Front) Handler(accept, contentType string, serve func(http.ResponseWriter, *http.Request) *Refusal) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		// Pages of any origin may use the API. The token authorises the request. A browser does
		// not add the token by itself, and no cookie is ever read.
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After, "+EventsHeader)
		header.Set("Cache-Control", "no-store")
		if accept != "" {
			header.Set(accept, contentType)
		}
		if refusal := serve(w, r); refusal != nil {
			f.refuse(w, r, refusal)
		}
	}
}

func (f *Front) serveEndpoint(w http.ResponseWriter, r *http.Request) *Refusal {
	const allowed = "GET, HEAD, OPTIONS, POST"
	switch r.Method {
	case http.MethodPost:
		return f.post(w, r)
	case http.MethodGet, http.MethodHead:
		// There is no content (RFC 9725 section 4.1). The type tells players what the URL is for
		// (draft-ietf-wish-whep, WHEP Endpoint URL Discoverability).
		w.Header().Set("Content-Type", sdpoffer.ContentType)
		w.Header().Set("Content-Length", "0")
		return nil
	case http.MethodOptions:
		// Clients may ask for ICE servers before they make an offer (RFC 9725 section 4.6).
		// A browser's preflight has no token and does not need them.
		if _, refusal := f.cfg.Authorize(r); refusal == nil {
			f.linkICEServers(w, r)
		}
		Preflight(w, allowed)
		return nil
	}
	return RefuseMethod(w, allowed, "To open a session, POST an SDP offer here.")
}

func (f *Front) serveSession(w http.ResponseWriter, r *http.Request) *Refusal {
	const allowed = "DELETE, GET, HEAD, OPTIONS, PATCH"
	switch r.Method {
	case http.MethodOptions:
		Preflight(w, allowed)
		return nil
	case http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodDelete:
	default:
		return RefuseMethod(w, allowed, "A session takes PATCH and DELETE only.")
	}
	s, refusal := f.find(r)
	if refusal != nil {
		return refusal
	}
	switch r.Method {
	case http.MethodPatch:
		if renewer, can := s.peer.(Renewer); can && isOf(r, TokenType) {
			return renew(w, r, renewer)
		}
		return f.patch(w, r, s)
	case http.MethodDelete:
		s.peer.End(Deleted)
		w.WriteHeader(http.StatusOK)
	default: // a session has no content, RFC 9725 section 4.1
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// post opens a session, RFC 9725 section 4.2.
func (f *Front) post(w http.ResponseWriter, r *http.Request) *Refusal {
	newPeer, refusal := f.cfg.Authorize(r)
	if refusal != nil {
		return refusal
	}
	offer, refusal := ReadBody(w, r, sdpoffer.ContentType, sdpoffer.MaxBytes)
	if refusal != nil {
		return refusal
	}
	header := w.Header()
	s, answer, refusal := f.open(r, newPeer, string(offer), header)
	if refusal != nil {
		return refusal
	}
	f.linkICEServers(w, r)
	header.Set("Content-Type", sdpoffer.ContentType)
	header.Set("Location", PathBelow(r, s.ID))
	header.Set("ETag", s.etag)
	header.Set("Accept-Patch", sdpfrag.ContentType)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer) // a client without the answer cannot connect, and its session times out
	return nil
}

// open opens a session. header gets the headers of the answer to r.
func (f *Front) open(r *http.Request, newPeer func(*Session) Peer, offer string, header http.Header) (*Session, string, *Refusal) {
	// The offer is parsed by the session, so that the number of places bounds the cost of parsing.
	s, refusal := f.reserve(r)
	if refusal != nil {
		return nil, "", refusal
	}
	s.peer = newPeer(s)
	answer, refusal := f.negotiate(s, offer)
	if refusal != nil {
		return nil, "", refusal
	}
	s.peer.Begin(r, header)
	return s, answer, nil
}

// Open opens a session for another kind of signalling than HTTP. r is a request as a client would have
// made it; its body is not read. prepare is called with the Peer before it negotiates. A refusal is
// counted and logged.
func (f *Front) Open(r *http.Request, offer string, prepare func(Peer)) (s *Session, answer string, refusal *Refusal) {
	newPeer, refusal := f.cfg.Authorize(r)
	if refusal == nil {
		s, answer, refusal = f.open(r, func(s *Session) Peer {
			p := newPeer(s)
			prepare(p)
			return p
		}, offer, http.Header{})
	}
	if refusal != nil {
		f.note(r, refusal)
	}
	return s, answer, refusal
}

// linkICEServers recommends STUN and TURN servers.
func (f *Front) linkICEServers(w http.ResponseWriter, r *http.Request) {
	for _, link := range iceServerLinks(f.cfg.ICEServers(r)) {
		w.Header().Add("Link", link)
	}
}

// Preflight answers OPTIONS, RFC 9725 section 4.2. allowed are the methods of the resource.
func Preflight(w http.ResponseWriter, allowed string) {
	header := w.Header()
	header.Set("Allow", allowed)
	header.Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	header.Set("Access-Control-Max-Age", preflightAge)
	w.WriteHeader(http.StatusOK)
}

// RefuseMethod returns the Refusal of a method that the resource does not have.
func RefuseMethod(w http.ResponseWriter, allowed, message string) *Refusal {
	w.Header().Set("Allow", allowed)
	return Refuse(http.StatusMethodNotAllowed, ReasonMethod, "%s", message)
}

// refuse answers with a refusal, counts it and logs it.
func (f *Front) refuse(w http.ResponseWriter, r *http.Request, refused *Refusal) {
	f.note(r, refused)
	refused.Write(w, f.cfg.Alternate())
}

// note counts and logs a refusal.
func (f *Front) note(r *http.Request, refused *Refusal) {
	logged := *refused
	if label, ok := f.cfg.ReasonLabels[refused.Reason]; ok {
		logged.Reason = label
	}
	f.cfg.CountRefusal(logged.Reason)
	f.refusals.write(r, f.cfg.Protocol, &logged)
}

// ReadBody reads a request's body, which must have the given type and at most limit bytes.
func ReadBody(w http.ResponseWriter, r *http.Request, contentType string, limit int64) ([]byte, *Refusal) {
	if !isOf(r, contentType) {
		return nil, Refuse(http.StatusUnsupportedMediaType, ReasonContentType, "Send the body as Content-Type: %s.", contentType)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Refuse(http.StatusRequestEntityTooLarge, ReasonBodyTooLarge, "The body is larger than %d bytes.", limit)
	case err != nil:
		return nil, Refuse(http.StatusBadRequest, ReasonBodyNotRead, "The body did not arrive: %v.", err)
	}
	return body, nil
}
