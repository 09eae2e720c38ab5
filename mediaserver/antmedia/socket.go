package antmedia

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/jwks"
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
	publishes bool
	token     string
	cancel    context.CancelFunc
	offered   *whep.Offered       // of a viewer, once the server has offered
	published *signalling.Session // of a publisher, once the server has answered
}

func newSocket(h *Handler, r *http.Request, ws *websocket.Conn, place *admission.Place) *socket {
	s := &socket{
		handler: h, request: r, app: r.PathValue("app"), token: signalling.Token(r), ws: ws, place: place,
		limit: rate.NewLimiter(messageRate, messageBurst), sessions: map[string]*session{},
	}
	s.ctx, s.cancel = context.WithCancel(r.Context())
	return s
}

// serve reads messages until the client leaves, or ended is closed.
func (s *socket) serve(ended <-chan struct{}) {
	s.running.Go(func() {
		select {
		case <-s.ctx.Done():
		case <-ended:
			s.close(websocket.StatusTryAgainLater, "others want the place")
		case <-s.handler.cfg.Draining:
			s.close(websocket.StatusServiceRestart, "the server is shutting down; connect again")
		}
	})
	for {
		ctx, cancel := context.WithTimeout(s.ctx, idleTimeout)
		kind, text, err := s.ws.Read(ctx)
		cancel()
		if err != nil {
			if websocket.CloseStatus(err) == -1 && errors.Is(err, context.DeadlineExceeded) {
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
	}
}

// close ends the socket, and tells the client why.
func (s *socket) close(code websocket.StatusCode, reason string) {
	_ = s.ws.Close(code, reason)
	s.cancel()
}

// endSessions ends what is left when the client has gone.
func (s *socket) endSessions() {
	s.cancel()
	s.mu.Lock()
	ids := make([]string, 0, len(s.sessions))
	for id := range s.sessions {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.end(id)
	}
	s.running.Wait()
}

// hold notes that the client plays or publishes: it keeps its places.
func (s *socket) hold() {
	s.place.Hold()
	release := admission.Hold(s.request.Context())
	context.AfterFunc(s.ctx, release)
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
		s.stop(m.StreamID)
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

// begin returns a new session for a stream; nil: there is none, and the client has been told.
func (s *socket) begin(m *message, publishes bool) (n *session, ctx context.Context) {
	key := stream.Key{App: s.app, ID: m.StreamID}
	switch {
	case m.StreamID == "":
		s.fail("", definitionNoName, http.StatusBadRequest, "the message has no streamId")
		return nil, nil
	case !key.Valid():
		s.fail(m.StreamID, definitionInvalidName, http.StatusBadRequest, stream.ErrInvalidStreamID.Error())
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[m.StreamID] != nil {
		return nil, nil // some clients ask twice
	}
	if len(s.sessions) == maxSessions {
		go s.fail(m.StreamID, definitionOverload, http.StatusTooManyRequests, "this connection has as many sessions as it may")
		return nil, nil
	}
	n = &session{publishes: publishes, token: m.Token}
	if n.token == "" {
		n.token = s.token
	}
	ctx, n.cancel = context.WithCancel(s.ctx)
	s.sessions[strings.Clone(m.StreamID)] = n
	return n, ctx
}

// end ends a session. It reports whether there was one, and whether it published.
func (s *socket) end(streamID string) (publishes, ok bool) {
	s.mu.Lock()
	n := s.sessions[streamID]
	delete(s.sessions, streamID)
	s.mu.Unlock()
	if n == nil {
		return false, false
	}
	n.cancel()
	s.mu.Lock()
	offered, published := n.offered, n.published
	s.mu.Unlock()
	if offered != nil {
		offered.Close()
	}
	if published != nil {
		published.Close()
	}
	return n.publishes, true
}

// stop ends a session for its client.
func (s *socket) stop(streamID string) {
	publishes, ok := s.end(streamID)
	switch {
	case !ok:
	case publishes:
		s.notify(streamID, definitionPublishFinished)
	default:
		s.notify(streamID, definitionPlayFinished)
	}
}

// refuse ends a session that cannot be had, and tells the client why.
func (s *socket) refuse(streamID string, r *signalling.Refusal) {
	s.end(streamID)
	definition := definitionOverload
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		definition = definitionUnauthorized
	case http.StatusNotFound:
		definition = definitionNoStream
	case http.StatusConflict:
		definition = definitionInUse
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		definition = definitionNotSet
	}
	s.fail(streamID, definition, r.Status, r.Message)
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
	n, ctx := s.begin(m, false)
	if n == nil {
		return
	}
	streamID := strings.Clone(m.StreamID)
	primary, backup := s.target(streamID)
	if err := s.handler.cfg.MayPlay(s.app, primary, backup, n.token); err != nil {
		s.refuse(streamID, signalling.RefuseViewer(err))
		return
	}
	s.running.Go(func() {
		_ = s.handler.cfg.Recovery.Do(protocol, func() {
			if s.awaitMedia(ctx, primary, backup) {
				s.offer(ctx, n, streamID, requestFor(s.request, primary, backup, n.token))
			}
		})
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
func (s *socket) offer(ctx context.Context, n *session, streamID string, r *http.Request) {
	offered, refusal := s.handler.cfg.Play(r, func() {
		s.hold()
		go s.notify(streamID, definitionPlayStarted)
	})
	if refusal != nil {
		s.refuse(streamID, refusal)
		return
	}
	s.mu.Lock()
	n.offered = offered
	s.mu.Unlock()
	if ctx.Err() != nil { // the client has stopped meanwhile
		offered.Close()
		return
	}
	mapping := map[string]string{}
	for _, mid := range offered.Mids {
		mapping[mid] = streamID
	}
	s.send(message{Command: commandConfiguration, StreamID: streamID, Type: typeOffer, SDP: offered.SDP, IDMapping: mapping})
	s.left(ctx, streamID, offered.Left())
}

// left waits until a session has left. If the client has not asked for that, it connects again.
func (s *socket) left(ctx context.Context, streamID string, left <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-left:
		s.end(streamID)
		s.close(websocket.StatusTryAgainLater, "the session has ended; connect again")
	}
}

// publish tells a publisher to send its offer.
func (s *socket) publish(m *message) {
	n, _ := s.begin(m, true)
	if n == nil {
		return
	}
	streamID := strings.Clone(m.StreamID)
	_, err := s.handler.cfg.MayPublish(stream.Key{App: s.app, ID: streamID}, n.token)
	switch {
	case stream.IsUnknown(err):
		s.refuse(streamID, signalling.Refuse(http.StatusNotFound, signalling.ReasonUnknownStream, "%v", err))
	case errors.Is(err, jwks.ErrUnavailable):
		s.refuse(streamID, signalling.Refuse(http.StatusServiceUnavailable, signalling.ReasonNoKeys, "%v", err))
	case err != nil:
		s.refuse(streamID, signalling.Refuse(http.StatusUnauthorized, signalling.ReasonUnauthorized, "%v", err))
	default:
		s.send(message{Command: commandStart, StreamID: streamID})
	}
}

// configure takes an offer of a publisher, or an answer of a viewer.
func (s *socket) configure(m *message) {
	s.mu.Lock()
	n := s.sessions[m.StreamID]
	var offered *whep.Offered
	begun := false
	if n != nil {
		offered, begun = n.offered, n.published != nil
	}
	s.mu.Unlock()
	streamID := strings.Clone(m.StreamID)
	switch {
	case n == nil:
		s.fail(streamID, definitionNoStream, http.StatusNotFound, "there is no session of that stream; send play or publish first")
	case m.Type == typeAnswer && offered != nil:
		if refusal := offered.Accept(m.SDP); refusal != nil {
			s.refuse(streamID, refusal)
		}
	case m.Type == typeOffer && n.publishes && !begun:
		s.answer(n, streamID, m.SDP)
	default:
		s.handler.refused("unexpected_sdp")
	}
}

// answer answers a publisher's offer.
func (s *socket) answer(n *session, streamID, offer string) {
	r := requestFor(s.request, streamID, "", n.token)
	published, answer, refusal := s.handler.cfg.Publish(r, offer, func() {
		s.hold()
		go s.notify(streamID, definitionPublishStarted)
	})
	if refusal != nil {
		s.refuse(streamID, refusal)
		return
	}
	s.mu.Lock()
	n.published = published
	s.mu.Unlock()
	s.send(message{Command: commandConfiguration, StreamID: streamID, Type: typeAnswer, SDP: answer})
	s.running.Go(func() {
		select {
		case <-s.ctx.Done():
		case <-published.Left():
			if _, ok := s.end(streamID); ok { // it was taken over, or has failed
				s.notify(streamID, definitionPublishFinished)
			}
		}
	})
}

// tellICEServers tells the client the servers to connect through.
func (s *socket) tellICEServers() {
	m := message{Command: commandICEServerConfig, STUNServerURI: new(string)}
	for _, server := range s.handler.cfg.ICEServers(s.app) {
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
