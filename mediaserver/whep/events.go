package whep

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/sse"
)

// The events of the extension, "WebRTC-HTTP Egress Protocol Core Extensions". The events layers and
// scte35 do not apply here.
const (
	eventActive      = "active"      // the stream or the pair has media
	eventInactive    = "inactive"    // it has none any more
	eventReconnect   = "reconnect"   // the server is about to end: open a new session
	eventViewerCount = "viewercount" // how many watch it at this server
)

// eventsRelation is the relation type of the Link header that announces the extension.
const eventsRelation = "urn:ietf:params:whep:ext:core:server-sent-events"

const (
	// maxEventList bounds the list of events that a viewer asks for, in bytes.
	maxEventList = 1024
	// viewersInterval is the shortest time between two viewercount events. While there is nothing
	// to tell, a comment is sent as often, so that no proxy takes the connection for dead.
	viewersInterval = 5 * time.Second
)

// Reasons for refusals, which are label values of the metric.
const (
	reasonMalformedEvents  = "bad_events"
	reasonUnsupportedEvent = "unsupported_event"
	reasonTooManyStreams   = "too_many_listeners"
)

// supportedEvents returns the events that this server sends, in the order in which they are announced.
func supportedEvents() []string {
	return []string{eventActive, eventInactive, eventReconnect, eventViewerCount}
}

// EventsConfig configures the events of sessions: the server-sent events extension of WHEP.
type EventsConfig struct {
	// OnAir reports whether a stream, or the pair if backupID is not empty, has media. changed is
	// closed when that may have changed; nil: it never will. Required.
	OnAir func(app, streamID, backupID string) (onAir bool, changed <-chan struct{})
	// Draining is closed when the server is about to end: viewers are then told to reconnect.
	// Default: never.
	Draining <-chan struct{}
	// MaxStreams bounds the event streams that are open at one time; default 4096.
	MaxStreams int
}

// registerEvents mounts the extension.
func (h *Handler) registerEvents(mux *http.ServeMux) {
	const endpoint = "/{app}/whep/{streamId}/{session}/sse"
	mux.HandleFunc(endpoint, h.front.Handler("Accept-Post", "application/json", h.serveEvents))
	mux.HandleFunc(endpoint+"/{events}", h.front.Handler("", "", h.serveEventStream))
}

// announceEvents adds the Link header to the answer to the offer r.
func (s *session) announceEvents(r *http.Request, answer http.Header) {
	answer.Add("Link", "<"+signalling.PathBelow(r, s.ID)+`/sse>; rel="`+eventsRelation+
		`"; events="`+strings.Join(supportedEvents(), ",")+`"`)
}

// serveEvents creates an event stream by POST.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request) *signalling.Refusal {
	const allowed = "OPTIONS, POST"
	switch r.Method {
	case http.MethodOptions:
		signalling.Preflight(w, allowed)
		return nil
	case http.MethodPost:
	default:
		return signalling.RefuseMethod(w, allowed, "To follow the events of a session, POST the list of events here.")
	}
	s, refusal := h.sessionOf(r)
	if refusal != nil {
		return refusal
	}
	if r.PathValue("session") != s.ID { // whoever knows no more than the name of events makes none
		return refuseNoSession()
	}
	wanted, refusal := readEventList(w, r)
	if refusal != nil {
		return refusal
	}
	// An EventSource sends no token, so this URL must work without one. Proxies log the URL. It has
	// the session's EventsID, because the session's id would let a reader end the session.
	location := signalling.PathBelow(r, s.events.create(wanted))
	w.Header().Set("Location", strings.Replace(location, s.ID, signalling.EventsID(s.ID), 1))
	w.WriteHeader(http.StatusCreated)
	return nil
}

// readEventList returns the events that a viewer asks for. Without a body it gets all.
func readEventList(w http.ResponseWriter, r *http.Request) ([]string, *signalling.Refusal) {
	if r.ContentLength == 0 {
		return supportedEvents(), nil
	}
	body, refusal := signalling.ReadBody(w, r, "application/json", maxEventList)
	if refusal != nil {
		return nil, refusal
	}
	var wanted []string
	if err := json.Unmarshal(body, &wanted); err != nil {
		return nil, signalling.Refuse(http.StatusBadRequest, reasonMalformedEvents, "The body is not a list of events in JSON: %v.", err)
	}
	supported := supportedEvents()
	for _, name := range wanted {
		if !slices.Contains(supported, name) {
			return nil, signalling.Refuse(http.StatusBadRequest, reasonUnsupportedEvent,
				"There is no event %.40q; ask for some of %s.", name, strings.Join(supported, ", "))
		}
	}
	return wanted, nil
}

// serveEventStream follows an event stream by GET, and ends it by DELETE.
func (h *Handler) serveEventStream(w http.ResponseWriter, r *http.Request) *signalling.Refusal {
	const allowed = "DELETE, GET, OPTIONS"
	switch r.Method {
	case http.MethodOptions:
		signalling.Preflight(w, allowed)
		return nil
	case http.MethodGet, http.MethodDelete:
	default:
		return signalling.RefuseMethod(w, allowed, "An event stream takes GET and DELETE only.")
	}
	s, refusal := h.sessionOf(r)
	if refusal != nil {
		return refusal
	}
	e := s.events.find(r.PathValue("events"))
	switch {
	case e == nil:
		return signalling.Refuse(http.StatusNotFound, signalling.ReasonNoSession, "There is no such event stream, or it has ended.")
	case r.Method == http.MethodDelete:
		s.events.delete(e)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return h.follow(w, r, s, e)
}

// sessionOf returns the session whose events a request is about. The request has the session's id or
// its EventsID.
func (h *Handler) sessionOf(r *http.Request) (*session, *signalling.Refusal) {
	if peer, ok := h.front.PeerOf(r.PathValue("session")); ok {
		if s := peer.(*session); s.app == r.PathValue("app") && s.streamID == r.PathValue("streamId") {
			return s, nil
		}
	}
	return nil, refuseNoSession()
}

func refuseNoSession() *signalling.Refusal {
	return signalling.Refuse(http.StatusNotFound, signalling.ReasonNoSession, "There is no such session, or it has ended; POST a new offer.")
}

// follow sends the events of e until the viewer disconnects, or e or its session ends.
func (h *Handler) follow(w http.ResponseWriter, r *http.Request, s *session, e *eventStream) *signalling.Refusal {
	ended, ok := h.front.Ended(r.PathValue("session"))
	if !ok {
		return refuseNoSession()
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	place, err := h.eventDoor.Enter(s.from, end)
	if err != nil {
		refusal := signalling.Refuse(http.StatusServiceUnavailable, reasonTooManyStreams, "As many follow events as this server accepts; try again later.")
		refusal.RetryAfter = retryAfter
		return refusal
	}
	defer place.Leave()
	place.Serve()
	place.Hold() // it belongs to a session, and there are few of a session
	defer admission.Hold(ctx)()
	release, ok := e.takeOver(ctx, end)
	if !ok {
		return nil // another GET of the viewer has taken its place
	}
	defer release()
	stream := sse.NewStream(w, r)
	if err := h.send(ctx, stream, s, e, ended); errors.Is(err, sse.ErrStalled) {
		h.cfg.Metrics.ReadersStalled.WithLabelValues("events").Inc()
		stream.Abandon(r)
	}
	return nil
}

// send sends events. It returns why the viewer cannot be told more; nil: there is nothing more to
// tell. What changes while nobody reads is not kept: what is true is told when the viewer reads again.
func (h *Handler) send(ctx context.Context, stream *sse.Stream, s *session, e *eventStream, ended <-chan struct{}) error {
	draining := h.cfg.Events.Draining
	tick := time.NewTicker(viewersInterval)
	defer tick.Stop()
	told := teller{stream: stream, events: e, viewers: -1}
	for first := true; ; first = false {
		onAir, changed := h.cfg.Events.OnAir(s.app, s.streamID, s.backupID)
		err := told.activity(onAir, first)
		if first && err == nil {
			err = told.count(s.output.ViewerCount())
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return nil
		case <-changed:
		case <-draining:
			draining = nil
			err = told.send(eventReconnect, h.reconnect(s))
		case <-tick.C:
			err = told.count(s.output.ViewerCount())
		}
		if err != nil {
			return err
		}
	}
}

// A teller sends the wanted events to a viewer, and knows what the viewer has been told.
type teller struct {
	stream  *sse.Stream
	events  *eventStream
	active  bool
	viewers int // as told last
}

func (t *teller) send(event string, data any) error {
	if !slices.Contains(t.events.wanted, event) {
		return nil
	}
	return t.stream.Send(event, data)
}

// activity tells whether there is media, at first and at each change. There is no inactive event
// before the first active one.
func (t *teller) activity(onAir, first bool) error {
	changed := first || onAir != t.active
	t.active = onAir
	switch {
	case onAir && changed:
		t.events.wasActive = true
		return t.send(eventActive, struct{}{})
	case changed && t.events.wasActive:
		return t.send(eventInactive, struct{}{})
	}
	return nil
}

// count tells the number of viewers when it has changed. Otherwise it sends a comment.
func (t *teller) count(viewers int) error {
	if viewers == t.viewers || !slices.Contains(t.events.wanted, eventViewerCount) {
		return t.stream.Comment()
	}
	t.viewers = viewers
	return t.send(eventViewerCount, map[string]int{"viewercount": viewers})
}

// A reconnect is the data of a reconnect event.
type reconnect struct {
	// URL is where the viewer opens its new session; empty: where it opened this one.
	URL string `json:"url,omitempty"`
}

func (h *Handler) reconnect(s *session) reconnect {
	if base := h.cfg.Alternate(); base != "" && s.endpoint != "" {
		return reconnect{base + s.endpoint}
	}
	return reconnect{}
}
