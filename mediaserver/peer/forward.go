package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/tcp"
)

// ForwardedHeader marks a request that was forwarded in clear. Its value is the token of
// ForwarderConfig.
const ForwardedHeader = "Streampair-Forwarded"

const (
	// maxForwards bounds the forwards at a time. Most of them are event streams. It is as many as a
	// server accepts of its own, and leaves the relay room among the connections that a peer
	// accepts.
	maxForwards = 4096
	// copyBuffer is the size of the buffer of each forward, in bytes. It is enough for an event;
	// the default is 32 KiB.
	copyBuffer = 4 << 10
	// writeTimeout bounds the age of the oldest part of an answer that waits for a client.
	writeTimeout = 5 * time.Second
)

// The results of a forward. They are values in metrics.
const (
	resultOK       = "ok"        // the peer answered, whatever the answer was
	resultNotFound = "not_found" // there is no such session
	resultFailed   = "failed"    // the server that may have it did not answer
)

// ForwarderConfig configures a Forwarder.
type ForwarderConfig struct {
	// Own is the origin of this server's sessions. Required.
	Own signalling.Origin
	// Peers returns the routes to the other leg's servers. Default: there are none, and all
	// requests are answered here.
	Peers func() []Route
	// TLS configures TLS connections to peers, which prove the peer's and this server's identity.
	// Default: any server with a certificate of the system's roots is a peer.
	TLS *tls.Config
	// Dial connects to a peer. Default: it connects by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Clear says whether requests that peers forward in clear are answered. Required.
	Clear ClearAccess
	// Token returns the token that is shown to peers that are reached in clear; empty: nothing is
	// forwarded to them. Required if there are Peers.
	Token func() string
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Forwarder passes requests about a session on to the media server that has the session. The two
// servers of a pair are behind one URL, and a Service or proxy chooses one of them for each
// request.
//
// A session's id says which server has the session (signalling.Origin). A request for another
// server's session goes one hop, to the servers of the other leg. It goes over TLS, which proves
// the identity of both sides. Those servers answer it themselves, whether they know the session or
// not. If the operator allows it, the request goes in clear to a server of a version before, with a
// token that proves the same.
//
// A Forwarder does not choose where a new session is opened: a session is opened at the server that
// its viewer asked.
type Forwarder struct {
	cfg     ForwarderConfig
	log     *slog.Logger
	peers   *http.Transport // to the other leg's servers
	running atomic.Int64

	closed context.Context //nolint:containedctx // is done when Close is called, which ends what requests began
	close  context.CancelFunc
}

// NewForwarder returns a Forwarder.
func NewForwarder(cfg ForwarderConfig) *Forwarder {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Peers == nil {
		cfg.Peers = func() []Route { return nil }
	}
	f := &Forwarder{cfg: cfg, log: cfg.Logger.With("component", "forward"), peers: newTransport(cfg)}
	f.closed, f.close = context.WithCancel(context.Background())
	return f
}

// Close ends all requests that are being forwarded.
func (f *Forwarder) Close() { f.close() }

// Handler forwards requests about sessions of other servers. All other requests are answered by
// next.
func (f *Forwarder) Handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	eachRoute(func(pattern string, id func(*http.Request) string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, id(r), next) })
	})
	return mux
}

// registerForwarded mounts the requests that peers forward over TLS. They are answered by next.
// Whoever reaches mux must have proved to be a peer.
func registerForwarded(mux *http.ServeMux, next http.Handler) {
	eachRoute(func(pattern string, _ func(*http.Request) string) { mux.Handle(pattern, next) })
}

// eachRoute calls route for each kind of request about a session. id finds the session's id.
func eachRoute(route func(pattern string, id func(*http.Request) string)) {
	for _, protocol := range []string{"whip", "whep"} {
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
			route(method+" /{app}/"+protocol+"/{streamId}/{session}", sessionOf)
		}
	}
	// The events of a viewer's session, see whep.EventsConfig.
	route("POST /{app}/whep/{streamId}/{session}/sse", sessionOf)
	route("GET /{app}/whep/{streamId}/{session}/sse/{events}", sessionOf)
	route("DELETE /{app}/whep/{streamId}/{session}/sse/{events}", sessionOf)
	route("GET /{app}/events/{streamId}", func(r *http.Request) string { return r.URL.Query().Get("session") })
}

func sessionOf(r *http.Request) string { return r.PathValue("session") }

// A verdict says who answers a request.
type verdict int

const (
	here   verdict = iota // this server, even if the answer is that there is no such session
	there                 // a server of the other leg
	forged                // nobody: the request claims to be forwarded, but was not
)

// decide says who answers a request about a session. marked reports whether it has the
// ForwardedHeader. trusted reports whether the header's token is right.
func decide(own signalling.Origin, id string, marked, trusted bool) verdict {
	of, ok := signalling.OriginOf(id)
	switch {
	case marked && !trusted:
		return forged
	case marked: // one hop is enough, so no request goes in circles
		return here
	case !ok || of.BootID == own.BootID:
		return here
	case of.Role == own.Role: // the pod that was here before had the session: no server of the other leg has it
		return here
	}
	return there
}

func (f *Forwarder) serve(w http.ResponseWriter, r *http.Request, id string, next http.Handler) {
	marks := r.Header.Values(ForwardedHeader)
	switch decide(f.cfg.Own, id, len(marks) > 0, len(marks) == 1 && f.cfg.Clear.IsToken(marks[0])) {
	case forged:
		w.Header().Set("WWW-Authenticate", ForwardedHeader)
		f.refuse(w, "unauthorized", http.StatusUnauthorized, "the header "+ForwardedHeader+" is for the other leg's media server alone")
		return
	case there:
		if routes := f.routes(); len(routes) > 0 {
			f.forward(w, r, routes)
			return
		}
	case here:
		if len(marks) > 0 {
			f.answerPeer(w, r, next)
			return
		}
	}
	next.ServeHTTP(w, r)
}

// answerPeer lets next answer a request that a peer forwards in clear, as long as that is allowed.
func (f *Forwarder) answerPeer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	allowed, over := f.cfg.Clear.allowed()
	if !allowed {
		f.refuse(w, "peer_in_clear", http.StatusForbidden, RefusedInClear)
		return
	}
	ctx, stop := While(r.Context(), over)
	defer stop(nil)
	next.ServeHTTP(w, r.WithContext(ctx))
}

// routes returns the routes by which a request may be forwarded.
func (f *Forwarder) routes() []Route {
	routes := f.cfg.Peers()
	if f.cfg.Token() == "" {
		routes = slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.Clear })
	}
	return routes
}

func (f *Forwarder) refuse(w http.ResponseWriter, reason string, code int, text string) {
	f.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	explain(w, code, text)
}

// explain answers with the reason of an error, readable by a page of any origin.
func explain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	http.Error(w, text, code)
}

// forward forwards a request to the peers, and passes the answer on.
func (f *Forwarder) forward(w http.ResponseWriter, r *http.Request, routes []Route) {
	defer f.running.Add(-1)
	if f.running.Add(1) > maxForwards {
		w.Header().Set("Retry-After", "5")
		f.refuse(w, "too_many_forwards", http.StatusServiceUnavailable, "the server forwards as many requests as it can; try again in a few seconds")
		return
	}
	// The body is read first, because several peers may be asked. The largest body is that of a
	// PATCH.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sdpfrag.MaxSize))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		f.refuse(w, "body_too_large", http.StatusRequestEntityTooLarge, "the body is too large")
		return
	case err != nil:
		f.refuse(w, "body", http.StatusBadRequest, "the body did not arrive")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.closed, cancel)()
	count := func(result string) { f.cfg.Metrics.SessionForwards.WithLabelValues(result).Inc() }
	proxy := httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {}, // fanout rewrites the request
		Transport:     &fanout{peers: f.peers, routes: routes, token: f.cfg.Token(), body: body},
		FlushInterval: -1, // events must not be delayed
		BufferPool:    copyBuffers{},
		ErrorLog:      slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode == http.StatusNotFound {
				count(resultNotFound)
			} else {
				count(resultOK)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if r.Context().Err() == nil { // otherwise the client has gone
				count(resultFailed)
				f.log.Debug("session not forwarded", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			explain(w, http.StatusBadGateway, "the media server of this session does not answer; open a new one")
		},
	}
	r = r.WithContext(ctx)
	r.Body, r.ContentLength = http.NoBody, 0 // fanout has the body
	conn := tcp.FromContext(r.Context())
	writer := &deadlineWriter{ResponseWriter: w, rc: http.NewResponseController(w), backlog: tcp.NewBacklog(conn), began: time.Now()}
	defer func() {
		if writer.stalled {
			f.cfg.Metrics.ReadersStalled.WithLabelValues("forward").Inc()
			if r.ProtoMajor == 1 {
				conn.Abort()
			}
		}
	}()
	proxy.ServeHTTP(writer, r)
}

// copyBuffers makes buffers of copyBuffer bytes. Few answers end, so no buffer is kept.
type copyBuffers struct{}

func (copyBuffers) Get() []byte { return make([]byte, copyBuffer) }
func (copyBuffers) Put([]byte)  {}

// A deadlineWriter gives each part of an answer its own deadline: one deadline for the whole answer
// would cut event streams. It ends the answer of a client that does not read.
type deadlineWriter struct {
	http.ResponseWriter
	rc      *http.ResponseController
	backlog *tcp.Backlog
	began   time.Time
	stalled bool
}

var errStalled = errors.New("the client does not read its answer")

func (d *deadlineWriter) Write(b []byte) (int, error) {
	now := time.Since(d.began)
	limit := d.backlog.Due(now) + writeTimeout
	if now > limit {
		d.stalled = true
		return 0, errStalled
	}
	_ = d.rc.SetWriteDeadline(d.began.Add(limit)) // not all writers have deadlines
	n, err := d.ResponseWriter.Write(b)
	d.stalled = err != nil && time.Since(d.began) >= limit
	d.backlog.Mark(now)
	return n, err
}

// Unwrap is for http.ResponseController.
func (d *deadlineWriter) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// reader returns a new reader of a body.
func reader(body []byte) io.ReadCloser {
	if len(body) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(body))
}
