package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/tcp"
)

const (
	// headerTimeout, bodyTimeout and answerTimeout bound every
	// request. Event streams set their own deadline for each event.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	maxHeader     = 16 << 10 // bytes
	// maxStreams is how many requests one HTTP/2 connection may have
	// open. It is the minimum that RFC 9113, section 5.1.2, recommends.
	maxStreams = 100
	// connectionWindow and streamWindow bound, in bytes, what an HTTP/2 client may send
	// before anybody reads it. The largest body is a manifest, and an offer is up to 64 KiB.
	connectionWindow = 1 << 20
	streamWindow     = 64 << 10
	// closeTimeout is how long running requests may take when the server stops.
	closeTimeout = 2 * time.Second
)

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           deadlines(h),
		ReadHeaderTimeout: headerTimeout,
		// This is the idle time of trusted proxies. The
		// listener's door ends all other connections earlier.
		IdleTimeout:    admission.ProxyIdle,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream:     streamWindow,
			// A deadline only ends one stream. If the client reads
			// nothing at all, the connection would stay blocked.
			WriteByteTimeout: answerTimeout,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	admission.Watch(s)
	connContext := s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return tcp.ConnContext(connContext(ctx, c), c)
	}
	return s
}

// deadlines bounds each request. http.Server's own timeouts would cut event streams.
func deadlines(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		now := time.Now()
		if r.Body != nil && r.Body != http.NoBody {
			_ = rc.SetReadDeadline(now.Add(bodyTimeout))
		}
		_ = rc.SetWriteDeadline(now.Add(answerTimeout))
		h.ServeHTTP(w, r)
	})
}

// serve runs s on l until ctx ends.
func serve(ctx context.Context, s *http.Server, l net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if s.Shutdown(closing) != nil {
			_ = s.Close() // event streams do not end by themselves
		}
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return ctx.Err()
	}
	return err
}

// loopbackOnly refuses requests for another host name than this machine's, and requests of pages.
// A web page could make a browser on this machine send such requests.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !controlroom.IsThisMachine(r.Host) {
			http.Error(w, "commands are taken on localhost only", http.StatusForbidden)
			return
		}
		if controlroom.IsForeign(r) {
			http.Error(w, "pages of other addresses are not served", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a listener is bound to loopback only. It is false for nil.
func isLoopback(l net.Listener) bool {
	if l == nil {
		return false
	}
	address, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && address.Addr().Unmap().IsLoopback()
}

// errForeignPage refuses a publisher that may be a page of another site.
var errForeignPage = errors.New("this port is for this machine alone and asks for no token, so that only encoders and pages of localhost may publish: " +
	"use the address http://localhost, or set a publish token")

// checkPublishingPage checks publishers that need no token. A port on loopback is
// meant for programs on this machine. But any web page could make a browser here
// send to that port. The page could do so from its own origin, or through a name
// that it lets resolve to this machine (DNS rebinding). Encoders send no Origin.
func (s *Server) checkPublishingPage(r *http.Request) error {
	port := s.ports.http
	if r.TLS != nil {
		port = s.ports.https
	}
	if !isLoopback(port) {
		return nil
	}
	if !controlroom.IsThisMachine(r.Host) {
		return errForeignPage
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !controlroom.IsThisMachine(u.Host) {
			return errForeignPage
		}
	}
	return nil
}
