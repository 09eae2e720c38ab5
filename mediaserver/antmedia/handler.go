package antmedia

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/whep"
)

const (
	// maxMessage bounds a message of a client, in bytes: an SDP of 64 KiB, with the escapes of JSON.
	maxMessage = 96 << 10
	// A client may send so many messages a second, and so many at once. Its candidates come one by one.
	messageRate, messageBurst = 20, 200
	// maxSessions bounds the sessions of a socket.
	maxSessions = 4
	// idleTimeout is how long a client may be silent. Clients send a ping every 3 s.
	idleTimeout = time.Minute
	// writeTimeout is how long a client may take for a message, and closeTimeout for its last one.
	writeTimeout = 5 * time.Second
	closeTimeout = time.Second
)

// protocol names the signalling in metrics and the log, and is the label of panics.
const protocol = "antmedia"

// Config configures a Handler. All functions are required.
type Config struct {
	// Play opens a viewer's session: see whep.Handler.Offer. Publish opens a publisher's session: see
	// whip.Handler.Publish.
	Play    func(r *http.Request, onConnected func()) (*whep.Offered, *signalling.Refusal)
	Publish func(r *http.Request, offer string, onConnected func()) (*signalling.Session, string, *signalling.Refusal)
	// MayPlay reports whether a token opens a stream, before a session is begun. MayPublish returns the
	// refusal of a publisher: see whip.Handler.Check.
	MayPlay    func(app, streamID, backupID, token string) error
	MayPublish func(*http.Request) *signalling.Refusal
	// PairOf returns the pair that a viewer of a stream gets. ok is false if it gets the stream alone.
	PairOf func(app, streamID string) (key failover.PairKey, ok bool)
	// OnAir reports whether the pair of these streams has media. changed is closed when that may have
	// changed; nil: there is no such pair now.
	OnAir func(app, streamID, backupID string) (onAir bool, changed <-chan struct{})
	// Broadcasts returns the streams of an app that are known.
	Broadcasts func(app string) []Broadcast
	// ICEServers returns the servers that a client of an app is told of, who has shown these tokens.
	ICEServers func(app string, tokens []string) []webrtc.ICEServer
	// Draining is closed when clients should go to another server.
	Draining <-chan struct{}
	// MaxSockets bounds the sockets.
	MaxSockets int
	// Recovery confines a panic to its socket.
	Recovery *recovery.Recovery
	Logger   *slog.Logger
	Metrics  *metrics.Metrics
}

// A Handler serves clients of Ant Media Server.
type Handler struct {
	cfg    Config
	log    *slog.Logger
	budget *signalling.LogBudget
	door   *admission.Door

	running sync.WaitGroup // the sockets

	mu     sync.Mutex // guards closed, so that no socket begins while Close waits
	closed bool
}

// NewHandler returns a Handler; Register mounts it.
func NewHandler(cfg Config) *Handler {
	return &Handler{
		cfg: cfg, log: cfg.Logger.With("component", protocol), budget: signalling.NewLogBudget(),
		door: admission.NewDoor(admission.DoorConfig{
			Name: "websocket", Metrics: cfg.Metrics, Limits: admission.Limits{Max: cfg.MaxSockets, MaxLeaving: cfg.MaxSockets},
		}),
	}
}

// Close ends all sockets, and waits for them.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.door.Close()
	h.running.Wait()
}

// Register adds the handler's routes to mux.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{app}/websocket", h.serveSocket)
	mux.HandleFunc("/{app}/rest/v2/broadcasts/{id}", rest(h.serveBroadcast))
	mux.HandleFunc("/{app}/rest/v2/broadcasts/count", rest(h.serveCount))
	mux.HandleFunc("/{app}/rest/v2/broadcasts/list/{offset}/{size}", rest(h.serveList))
}

// enter notes that a socket begins. It reports whether one may; then running.Done must be called.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.isDraining() {
		return false
	}
	h.running.Add(1)
	return true
}

func (h *Handler) isDraining() bool {
	select {
	case <-h.cfg.Draining:
		return true
	default:
		return false
	}
}

// refused counts what is refused, and logs it. streamID may be empty.
func (h *Handler) refused(r *http.Request, streamID, reason, message string) {
	h.count(reason)
	leftOut, ok := h.budget.Take(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), time.Now())
	if !ok {
		return
	}
	log := h.log
	if leftOut > 0 {
		log = log.With("leftOut", leftOut)
	}
	log.Info("client refused", "stream", signalling.Clip(r.PathValue("app")+"/"+streamID), "reason", reason, "message", signalling.Clip(message),
		"remote", r.RemoteAddr, "userAgent", signalling.Clip(r.UserAgent()))
}

// count counts what is refused, and is logged elsewhere.
func (h *Handler) count(reason string) {
	h.cfg.Metrics.AntMediaRefusals.WithLabelValues(reason).Inc()
}

// serveSocket serves a client until it leaves.
func (h *Handler) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		h.count("shutting_down")
		w.Header().Set("Connection", "close")
		http.Error(w, "The server is shutting down; connect again.", http.StatusServiceUnavailable)
		return
	}
	defer h.running.Done()
	ended := make(chan struct{})
	place, err := h.door.Enter(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), func() { close(ended) })
	if err != nil {
		const message = "As many clients are connected as this server accepts; try again later."
		h.refused(r, "", "full", message)
		http.Error(w, message, http.StatusServiceUnavailable)
		return
	}
	defer place.Leave()
	// Pages of any site may use the server, as with WHEP: the token authorises, and no cookie is read.
	hijacker := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hijacker, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		h.refused(r, "", "no_websocket", err.Error()) // Accept has answered
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(maxMessage)
	s := newSocket(h, r, ws, hijacker.conn, place)
	if h.cfg.Recovery.Do(protocol, func() { s.serve(ended) }) != nil {
		h.count("panic")
	}
	_ = h.cfg.Recovery.Do(protocol, s.endSessions)
}

// A hijacker keeps the connection that is taken from the HTTP server.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, buffer, err
}

// requestFor returns the request by which a client of WHEP or WHIP would have opened the session.
func requestFor(r *http.Request, streamID, backupID, token string) *http.Request {
	out := r.Clone(r.Context())
	out.Method = http.MethodPost
	query := url.Values{}
	if backupID != "" {
		query.Set("backupStreamId", backupID)
	}
	out.URL = &url.URL{Path: "/" + r.PathValue("app") + "/websocket", RawQuery: query.Encode()}
	out.SetPathValue("streamId", streamID)
	out.Header.Del("Authorization")
	if token != "" {
		out.Header.Set("Authorization", "Bearer "+token)
	}
	return out
}
