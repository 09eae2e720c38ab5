// Package forward passes requests about a session on to the media server that has it: the
// two servers of a pair are behind one URL, and what leads there chooses either of them
// for each request.
//
// A session's id says whose it is (signalling.Origin). A request for another server's goes
// one hop, to those of the other leg, over TLS by which both prove who they are: they answer
// it themselves, whatever they know. To a server of a version before, where the operator
// allows that, it goes in clear and carries a token that tells the same. Where a new session is opened is not decided here: it
// is where its viewer asked. Start with New.
package forward

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
	"github.com/streampair/streampair/mediaserver/peers"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/tcp"
)

// Header marks a request that was forwarded in clear. Its value is the token of Config.
const Header = "Streampair-Forwarded"

const (
	// maxForwards bounds the forwards at a time, most of which are event streams: as many
	// as a server takes of its own. It leaves the relay room among the connections that a
	// peer takes.
	maxForwards = 4096
	// copyBuffer is what each of them is passed on through, in bytes: enough for an event,
	// where the default is 32 KiB.
	copyBuffer = 4 << 10
	// writeTimeout is how old the oldest part of an answer may become that waits for a client.
	writeTimeout = 5 * time.Second
)

// The results of a forward, as metrics have them.
const (
	resultOK       = "ok"        // the peer answered, whatever it was
	resultNotFound = "not_found" // there is no such session
	resultFailed   = "failed"    // the server that may have it did not answer
)

// Config configures a Forwarder.
type Config struct {
	// Own is the origin of this server's sessions. Required.
	Own signalling.Origin
	// Peers returns how the other leg's servers are reached. Default: there are none, and
	// all requests are answered here.
	Peers func() []peers.Route
	// TLS is how peers are connected to over TLS, which proves who they are and who this
	// server is. Default: any server with a certificate of the system's roots is a peer.
	TLS *tls.Config
	// Dial connects to a peer; default: by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Clear reports whether what peers forward in clear is answered; the answers end when
	// over is closed. Default: it always is.
	Clear func() (allowed bool, over <-chan struct{})
	// Token returns what is shown to peers that are reached in clear; empty: nothing is
	// forwarded to them. Required if there are Peers.
	Token func() string
	// IsToken says whether it is what a peer shows. It should take the same time wherever
	// the two differ. Default: it is not.
	IsToken func(string) bool
	// Logger; default none.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Forwarder forwards requests.
type Forwarder struct {
	cfg     Config
	log     *slog.Logger
	peers   *http.Transport // to the other leg's servers
	running atomic.Int64

	closed context.Context //nolint:containedctx // is done when Close is called, which ends what requests began
	close  context.CancelFunc
}

// New returns a Forwarder.
func New(cfg Config) *Forwarder {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Peers == nil {
		cfg.Peers = func() []peers.Route { return nil }
	}
	if cfg.Clear == nil {
		cfg.Clear = func() (bool, <-chan struct{}) { return true, nil }
	}
	if cfg.IsToken == nil {
		cfg.IsToken = func(string) bool { return false }
	}
	f := &Forwarder{cfg: cfg, log: cfg.Logger.With("component", "forward"), peers: newTransport(cfg)}
	f.closed, f.close = context.WithCancel(context.Background())
	return f
}

// Close ends what is being forwarded.
func (f *Forwarder) Close() { f.close() }

// Handler forwards requests about sessions that are not here, and has next answer all
// others.
func (f *Forwarder) Handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	eachRoute(func(pattern string, id func(*http.Request) string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, id(r), next) })
	})
	return mux
}

// RegisterPeers mounts what peers forward over TLS, which next answers. Whoever reaches mux
// must have proved to be one.
func RegisterPeers(mux *http.ServeMux, next http.Handler) {
	eachRoute(func(pattern string, _ func(*http.Request) string) { mux.Handle(pattern, next) })
}

// eachRoute names the requests about a session, and how the session's id is found.
func eachRoute(route func(pattern string, id func(*http.Request) string)) {
	for _, protocol := range []string{"whip", "whep"} {
		for _, method := range []string{http.MethodPatch, http.MethodDelete} {
			route(method+" /{app}/"+protocol+"/{streamId}/{session}", func(r *http.Request) string { return r.PathValue("session") })
		}
	}
	route("GET /{app}/events/{streamId}", func(r *http.Request) string { return r.URL.Query().Get("session") })
}

// A verdict says who answers a request.
type verdict int

const (
	here   verdict = iota // this server, if only that there is no such session
	there                 // a server of the other leg
	forged                // nobody: it says that it was forwarded, and was not
)

// decide says who answers a request about a session. marked says that it has the Header,
// trusted that this is right.
func decide(own signalling.Origin, id string, marked, trusted bool) verdict {
	of, ok := signalling.OriginOf(id)
	switch {
	case marked && !trusted:
		return forged
	case marked: // one hop is enough, so nothing goes round in circles
		return here
	case !ok || of.BootID == own.BootID:
		return here
	case of.Role == own.Role: // of the pod that was here before: none of the other leg's has it
		return here
	}
	return there
}

func (f *Forwarder) serve(w http.ResponseWriter, r *http.Request, id string, next http.Handler) {
	marks := r.Header.Values(Header)
	switch decide(f.cfg.Own, id, len(marks) > 0, len(marks) == 1 && f.cfg.IsToken(marks[0])) {
	case forged:
		w.Header().Set("WWW-Authenticate", Header)
		f.refuse(w, "unauthorized", http.StatusUnauthorized, "the header "+Header+" is for the other leg's media server alone")
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

// answerPeer has next answer what a peer forwards in clear, as long as that is allowed.
func (f *Forwarder) answerPeer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	allowed, over := f.cfg.Clear()
	if !allowed {
		f.refuse(w, "peer_in_clear", http.StatusForbidden, peers.RefusedInClear)
		return
	}
	ctx, stop := peers.While(r.Context(), over)
	defer stop(nil)
	next.ServeHTTP(w, r.WithContext(ctx))
}

// routes are those by which something may be forwarded.
func (f *Forwarder) routes() []peers.Route {
	routes := f.cfg.Peers()
	if f.cfg.Token() == "" {
		routes = slices.DeleteFunc(slices.Clone(routes), func(r peers.Route) bool { return r.Clear })
	}
	return routes
}

func (f *Forwarder) refuse(w http.ResponseWriter, reason string, code int, text string) {
	f.cfg.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	explain(w, code, text)
}

// explain says why a request has no answer, to a page of any origin.
func explain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	http.Error(w, text, code)
}

// forward has one of the peers answer a request.
func (f *Forwarder) forward(w http.ResponseWriter, r *http.Request, routes []peers.Route) {
	defer f.running.Add(-1)
	if f.running.Add(1) > maxForwards {
		w.Header().Set("Retry-After", "5")
		f.refuse(w, "too_many_forwards", http.StatusServiceUnavailable, "the server forwards as many requests as it can; try again in a few seconds")
		return
	}
	// Several peers may be asked, and the largest body is that of a PATCH.
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
		Rewrite:       func(*httputil.ProxyRequest) {}, // question does
		Transport:     &question{peers: f.peers, routes: routes, token: f.cfg.Token(), body: body},
		FlushInterval: -1, // events are of the moment
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
			if r.Context().Err() == nil { // else it is the client who has gone
				count(resultFailed)
				f.log.Debug("session not forwarded", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			explain(w, http.StatusBadGateway, "the media server of this session does not answer; open a new one")
		},
	}
	r = r.WithContext(ctx)
	r.Body, r.ContentLength = http.NoBody, 0 // question has it
	conn := tcp.FromContext(r.Context())
	patient := &patientWriter{ResponseWriter: w, rc: http.NewResponseController(w), backlog: tcp.NewBacklog(conn), began: time.Now()}
	defer func() {
		if patient.stalled {
			f.cfg.Metrics.ReadersStalled.WithLabelValues("forward").Inc()
			if r.ProtoMajor == 1 {
				conn.Abort()
			}
		}
	}()
	proxy.ServeHTTP(patient, r)
}

// copyBuffers makes those of copyBuffer bytes; few answers end, so none is kept.
type copyBuffers struct{}

func (copyBuffers) Get() []byte { return make([]byte, copyBuffer) }
func (copyBuffers) Put([]byte)  {}

// A patientWriter gives each part of an answer its own deadline: that of the whole would
// cut event streams. It ends the answer of a client that does not read.
type patientWriter struct {
	http.ResponseWriter
	rc      *http.ResponseController
	backlog *tcp.Backlog
	began   time.Time
	stalled bool
}

var errStalled = errors.New("the client does not read its answer")

func (p *patientWriter) Write(b []byte) (int, error) {
	now := time.Since(p.began)
	limit := p.backlog.Due(now) + writeTimeout
	if now > limit {
		p.stalled = true
		return 0, errStalled
	}
	_ = p.rc.SetWriteDeadline(p.began.Add(limit)) // not all writers can
	n, err := p.ResponseWriter.Write(b)
	p.stalled = err != nil && time.Since(p.began) >= limit
	p.backlog.Mark(now)
	return n, err
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// reader is a new reader of a body.
func reader(body []byte) io.ReadCloser {
	if len(body) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(body))
}
