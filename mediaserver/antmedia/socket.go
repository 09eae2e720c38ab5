package antmedia

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/whep"
)

// A socket is one client. Its reader does all that the client asks for, one message after the other.
type socket struct {
	handler *Handler
	request *http.Request // that opened the socket
	app     string
	token   string // of the socket's URL
	ws      *websocket.Conn
	conn    net.Conn // below ws
	place   *admission.Place
	limit   *rate.Limiter

	ctx     context.Context //nolint:containedctx // the socket's life, which ends with serve
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex // guards sessions, and what is in them
	sessions map[string]*session
}

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

func newSocket(h *Handler, r *http.Request, ws *websocket.Conn, conn net.Conn, place *admission.Place) *socket {
	s := &socket{
		handler: h, request: r, app: r.PathValue("app"), token: signalling.Token(r), ws: ws, conn: conn, place: place,
		limit: rate.NewLimiter(messageRate, messageBurst), sessions: map[string]*session{},
	}
	s.ctx, s.cancel = context.WithCancel(r.Context())
	return s
}

// serve reads messages until the client leaves, or ended is closed.
func (s *socket) serve(ended <-chan struct{}) {
	s.goDo(func() {
		for draining := s.handler.cfg.Draining; ; draining = nil {
			select {
			case <-s.ctx.Done():
				return
			case <-ended:
				s.close(websocket.StatusTryAgainLater, "others want the place")
				return
			case <-draining: // a publisher stays until its session has left: see answer
				if !s.publishes() {
					s.restart()
					return
				}
			}
		}
	})
	for {
		ctx, cancel := context.WithTimeout(s.ctx, idleTimeout)
		kind, text, err := s.ws.Read(ctx)
		cancel()
		if err != nil {
			switch {
			case errors.Is(err, websocket.ErrMessageTooBig):
				s.handler.refused("too_large")
			case websocket.CloseStatus(err) == -1 && errors.Is(err, context.DeadlineExceeded):
				s.handler.refused("idle")
			}
			return
		}
		if !s.limit.Allow() {
			s.handler.refused("message_rate")
			s.close(websocket.StatusPolicyViolation, "too many messages")
			return
		}
		var m message
		if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
			s.handler.refused("malformed")
			s.close(websocket.StatusUnsupportedData, "each message must be one JSON object")
			return
		}
		s.take(&m)
		if s.handler.isDraining() && !s.publishes() {
			s.restart()
			return
		}
	}
}

// goDo runs f in a goroutine that ends with the socket. A panic ends the socket alone.
func (s *socket) goDo(f func()) {
	s.running.Go(func() {
		if s.handler.cfg.Recovery.Do(protocol, f) != nil {
			s.handler.refused("panic")
			s.cancel()
		}
	})
}

// close ends the socket, and tells the client why. The client has closeTimeout to say that it has heard.
func (s *socket) close(code websocket.StatusCode, reason string) {
	// The library would read for ever what a client has announced and does not send.
	_ = s.conn.SetDeadline(time.Now().Add(closeTimeout))
	_ = s.ws.Close(code, reason)
	s.cancel()
}

// restart sends the client to another server.
func (s *socket) restart() {
	s.close(websocket.StatusServiceRestart, "the server is shutting down; connect again")
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

// send sends a message.
func (s *socket) send(m message) {
	text, err := json.Marshal(m)
	if err != nil {
		return // all fields can be written
	}
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	_ = s.ws.Write(ctx, websocket.MessageText, text) // a client that does not read is ended by its reader
}

func (s *socket) notify(streamID, definition string) {
	s.send(message{Command: commandNotification, StreamID: streamID, Definition: definition})
}

// began holds the places of a session, and notifies the client. It does not wait for the client.
func (s *socket) began(n *session, definition string) {
	s.hold(n)
	go func() { _ = s.handler.cfg.Recovery.Do(protocol, func() { s.notify(n.streamID, definition) }) }()
}

// fail tells the client why something cannot be done.
func (s *socket) fail(streamID, definition string, status int, text string) {
	s.handler.refused(definition)
	s.send(message{Command: commandError, StreamID: streamID, Definition: definition, ErrorCode: strconv.Itoa(status), Message: text})
}

// take does what a message asks for.
func (s *socket) take(m *message) {
	switch m.Command {
	case commandPing:
		s.send(message{Command: commandPong})
	case commandPlay:
		s.play(m)
	case commandPublish:
		s.publish(m)
	case commandConfiguration:
		s.configure(m)
	case commandStop:
		if n := s.session(m.StreamID); n != nil {
			s.stop(n)
		}
	case commandCandidate, commandQuality:
		// The server answers whoever reaches it, and has one quality.
	case commandICEServers:
		s.tellICEServers()
	case commandStreamInfo:
		s.tellStreamInfo(m.StreamID)
	case commandTrackList:
		s.send(message{Command: commandTracks, StreamID: m.StreamID, TrackList: &[]string{}})
	default:
		s.handler.refused("unknown_command")
	}
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
	if !s.end(n) {
		return // the client has stopped it meanwhile
	}
	s.fail(n.streamID, definitionOf(r), r.Status, r.Message)
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

// target returns the streams that a viewer of a stream gets.
func (s *socket) target(streamID string) (primary, backup string) {
	if key, ok := s.handler.cfg.PairOf(s.app, streamID); ok {
		return key.Primary, key.Backup
	}
	return streamID, ""
}

// play begins to play a stream, once it is there.
func (s *socket) play(m *message) {
	n := s.begin(m, false)
	if n == nil {
		return
	}
	primary, backup := s.target(n.streamID)
	if err := s.handler.cfg.MayPlay(s.app, primary, backup, n.token); err != nil {
		s.refuse(n, signalling.RefuseViewer(err))
		return
	}
	s.goDo(func() {
		if s.awaitMedia(n.ctx, primary, backup) {
			s.offer(n, requestFor(s.request, primary, backup, n.token))
		}
	})
}

// awaitMedia waits until the pair has media. It reports false if ctx has ended before.
func (s *socket) awaitMedia(ctx context.Context, primary, backup string) bool {
	for {
		onAir, changed := s.handler.cfg.OnAir(s.app, primary, backup)
		if onAir || changed == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// offer offers a viewer's session, and waits until it has left.
func (s *socket) offer(n *session, r *http.Request) {
	offered, refusal := s.handler.cfg.Play(r, func() { s.began(n, definitionPlayStarted) })
	if refusal != nil {
		s.refuse(n, refusal)
		return
	}
	s.mu.Lock()
	n.offered = offered
	ended := n.ended
	s.mu.Unlock()
	if ended { // the client has stopped meanwhile
		offered.Close()
		return
	}
	mapping := map[string]string{}
	for _, mid := range offered.Mids {
		mapping[mid] = n.streamID
	}
	s.send(message{Command: commandConfiguration, StreamID: n.streamID, Type: typeOffer, SDP: offered.SDP, IDMapping: mapping})
	select {
	case <-n.ctx.Done():
	case <-offered.Left():
		if s.end(n) { // the client has not asked for that, and connects again
			s.close(websocket.StatusTryAgainLater, "the session has ended; connect again")
		}
	}
}

// publish tells a publisher to send its offer.
func (s *socket) publish(m *message) {
	n := s.begin(m, true)
	if n == nil {
		return
	}
	if refusal := s.handler.cfg.MayPublish(requestFor(s.request, n.streamID, "", n.token)); refusal != nil {
		s.refuse(n, refusal)
		return
	}
	s.send(message{Command: commandStart, StreamID: n.streamID})
}

// configure takes an offer of a publisher, or an answer of a viewer.
func (s *socket) configure(m *message) {
	n := s.session(m.StreamID)
	if n == nil {
		s.fail(m.StreamID, definitionNoStream, http.StatusNotFound, "there is no session of that stream; send play or publish first")
		return
	}
	s.mu.Lock()
	offered, begun := n.offered, n.published != nil
	s.mu.Unlock()
	switch {
	case m.Type == typeAnswer && offered != nil && !n.answered:
		n.answered = true
		if refusal := offered.Accept(m.SDP); refusal != nil {
			s.refuse(n, refusal)
		}
	case m.Type == typeOffer && n.publishes && !begun:
		s.answer(n, m.SDP)
	default:
		s.fail(n.streamID, definitionNotSet, http.StatusConflict, "an offer or an answer was not expected now")
	}
}

// answer answers a publisher's offer.
func (s *socket) answer(n *session, offer string) {
	r := requestFor(s.request, n.streamID, "", n.token)
	published, answer, refusal := s.handler.cfg.Publish(r, offer, func() { s.began(n, definitionPublishStarted) })
	if refusal != nil {
		s.refuse(n, refusal)
		return
	}
	s.mu.Lock()
	n.published = published
	s.mu.Unlock()
	s.send(message{Command: commandConfiguration, StreamID: n.streamID, Type: typeAnswer, SDP: answer})
	s.goDo(func() {
		select {
		case <-n.ctx.Done():
			return
		case <-published.Left():
		}
		switch {
		case !s.end(n): // the client has stopped it
		case s.handler.isDraining():
			s.restart()
		default: // it was taken over, or has failed
			s.notify(n.streamID, definitionPublishFinished)
		}
	})
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

// tellICEServers tells the client the servers to connect through.
func (s *socket) tellICEServers() {
	m := message{Command: commandICEServerConfig, STUNServerURI: new(string)}
	for _, server := range s.handler.cfg.ICEServers(s.app, s.tokens()) {
		if len(server.URLs) > 0 {
			m.STUNServerURI, m.TURNUsername = &server.URLs[0], server.Username
			m.TURNPassword, _ = server.Credential.(string)
			break
		}
	}
	s.send(m)
}

// tellStreamInfo tells the client in which quality a stream can be had.
func (s *socket) tellStreamInfo(streamID string) {
	if err := s.handler.cfg.MayPlay(s.app, streamID, "", s.tokenFor(streamID)); err != nil {
		refusal := signalling.RefuseViewer(err)
		s.fail(streamID, definitionOf(refusal), refusal.Status, refusal.Message)
		return
	}
	for _, b := range s.handler.cfg.Broadcasts(s.app) {
		if b.StreamID == streamID && b.Status == StatusBroadcasting {
			s.send(message{Command: commandInformation, StreamID: streamID, StreamInfo: []streamInfo{{
				Width: b.Width, Height: b.Height, VideoBitrate: b.Bitrate, VideoCodec: "h264",
			}}})
			return
		}
	}
	s.fail(streamID, definitionNoStream, http.StatusNotFound, "nobody publishes that stream at the moment")
}
