package antmedia

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/signalling"
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
				s.handler.refused(s.request, "", "too_large", fmt.Sprintf("a message has more than %d bytes", maxMessage))
			case websocket.CloseStatus(err) == -1 && errors.Is(err, context.DeadlineExceeded):
				s.handler.count("idle")
			}
			return
		}
		if !s.limit.Allow() {
			s.endRefused(websocket.StatusPolicyViolation, "message_rate", "too many messages")
			return
		}
		var m message
		if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
			s.endRefused(websocket.StatusUnsupportedData, "malformed", "each message must be one JSON object")
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
			s.handler.count("panic")
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

// endRefused ends the socket for a message that is refused.
func (s *socket) endRefused(code websocket.StatusCode, reason, text string) {
	s.handler.refused(s.request, "", reason, text)
	s.close(code, text)
}

// restart sends the client to another server.
func (s *socket) restart() {
	s.close(websocket.StatusServiceRestart, "the server is shutting down; connect again")
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
	s.handler.refused(s.request, streamID, definition, text)
	s.tell(streamID, definition, status, text)
}

// tell sends an error.
func (s *socket) tell(streamID, definition string, status int, text string) {
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
		s.handler.refused(s.request, m.StreamID, "unknown_command", fmt.Sprintf("the command %q is not known", m.Command))
	}
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
