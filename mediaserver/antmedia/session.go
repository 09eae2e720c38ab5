package antmedia

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/whep"
)

// A session is what a socket plays or publishes.
type session struct {
	streamID  string
	publishes bool
	token     string
	ctx       context.Context //nolint:containedctx // the session's life, which ends with end
	cancel    context.CancelFunc

	// For the socket's reader:
	answered bool // the client of a viewer has answered

	// The socket's mu guards the rest.
	offered   *whep.Offered       // of a viewer, once the server has offered
	published *signalling.Session // of a publisher, once the server has answered
	held      []func()            // give back what hold has taken
	ended     bool
}

// publishes reports whether a session publishes.
func (s *socket) publishes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.sessions {
		if n.publishes {
			return true
		}
	}
	return false
}

// endSessions ends what is left when the client has gone. At a drain, what a viewer plays goes on until
// the client has begun anew at another server, and closes this connection.
func (s *socket) endSessions() {
	s.cancel()
	s.mu.Lock()
	left := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	for _, n := range left {
		if n.publishes || !s.handler.isDraining() {
			s.end(n)
		}
	}
	s.running.Wait()
}

// hold notes that the client plays or publishes: until the session ends, it keeps its places.
func (s *socket) hold(n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.ended {
		return
	}
	s.place.Hold()
	n.held = append(n.held, s.place.Release, admission.Hold(s.request.Context()))
}

// began holds the places of a session, and notifies the client. It does not wait for the client.
func (s *socket) began(n *session, definition string) {
	s.hold(n)
	go func() { _ = s.handler.cfg.Recovery.Do(protocol, func() { s.notify(n.streamID, definition) }) }()
}

// session returns the session of a stream; nil: there is none.
func (s *socket) session(streamID string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[streamID]
}

// begin returns a new session for a stream; nil: there is none, and the client has been told.
func (s *socket) begin(m *message, publishes bool) *session {
	key := stream.Key{App: s.app, ID: m.StreamID}
	switch {
	case m.StreamID == "":
		s.fail("", definitionNoName, http.StatusBadRequest, "the message has no streamId")
		return nil
	case !key.Valid():
		s.fail(m.StreamID, definitionInvalidName, http.StatusBadRequest, stream.ErrInvalidStreamID.Error())
		return nil
	case s.handler.isDraining():
		return nil // serve sends the client to another server
	}
	n := &session{streamID: strings.Clone(m.StreamID), publishes: publishes, token: cmp.Or(m.Token, s.token)}
	s.mu.Lock()
	known, full := s.sessions[n.streamID] != nil, len(s.sessions) == maxSessions
	if !known && !full {
		n.ctx, n.cancel = context.WithCancel(s.ctx)
		s.sessions[n.streamID] = n
	}
	s.mu.Unlock()
	switch {
	case known:
		return nil // some clients ask twice
	case full:
		s.fail(n.streamID, definitionOverload, http.StatusTooManyRequests, "this connection has as many sessions as it may")
		return nil
	}
	return n
}

// end ends a session. It reports false if the session has ended before.
func (s *socket) end(n *session) bool {
	s.mu.Lock()
	if n.ended {
		s.mu.Unlock()
		return false
	}
	n.ended = true
	delete(s.sessions, n.streamID)
	offered, published, held := n.offered, n.published, n.held
	s.mu.Unlock()
	n.cancel()
	if offered != nil {
		offered.Close()
	}
	if published != nil {
		published.Close()
	}
	for _, release := range held {
		release()
	}
	return true
}

// stop ends a session for its client.
func (s *socket) stop(n *session) {
	switch {
	case !s.end(n):
	case n.publishes:
		s.notify(n.streamID, definitionPublishFinished)
	default:
		s.notify(n.streamID, definitionPlayFinished)
	}
}

// refuse ends a session that cannot be had, and tells the client why.
func (s *socket) refuse(n *session, r *signalling.Refusal) {
	s.handler.refused(s.request, n.streamID, definitionOf(r), r.Message)
	s.endFor(n, r)
}

// refusedByEndpoint is refuse for a refusal that the endpoint of WHEP or WHIP has logged.
func (s *socket) refusedByEndpoint(n *session, r *signalling.Refusal) {
	s.handler.count(definitionOf(r))
	s.endFor(n, r)
}

// endFor ends a session, and tells the client why if the client has not stopped it meanwhile.
func (s *socket) endFor(n *session, r *signalling.Refusal) {
	if s.end(n) {
		s.tell(n.streamID, definitionOf(r), r.Status, r.Message)
	}
}

// definitionOf returns what clients of Ant Media Server call a refusal.
func definitionOf(r *signalling.Refusal) string {
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return definitionUnauthorized
	case http.StatusNotFound:
		return definitionNoStream
	case http.StatusConflict:
		return definitionInUse
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return definitionNotSet
	}
	return definitionOverload
}

// tokenFor returns the token with which the client has asked for a stream.
func (s *socket) tokenFor(streamID string) string {
	if n := s.session(streamID); n != nil {
		return n.token
	}
	return s.token
}

// tokens returns all tokens that the client has shown, and "".
func (s *socket) tokens() []string {
	tokens := []string{"", s.token}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.sessions {
		tokens = append(tokens, n.token)
	}
	return tokens
}
