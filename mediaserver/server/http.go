package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/tcp"
)

const (
	// headerTimeout, bodyTimeout and answerTimeout bound every request; event streams
	// set their own deadline for each event.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	maxHeader     = 16 << 10 // bytes
	// maxStreams is how many requests one HTTP/2 connection may have open, the least that
	// RFC 9113, section 5.1.2, recommends.
	maxStreams = 100
	// connectionWindow and streamWindow bound, in bytes, what an HTTP/2 client may send before
	// anybody reads it. The largest body is a manifest, and an offer has 64 KiB.
	connectionWindow = 1 << 20
	streamWindow     = 64 << 10
	// closeTimeout is how long running requests are given when the server stops.
	closeTimeout = 2 * time.Second
)

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           deadlines(h),
		ReadHeaderTimeout: headerTimeout,
		// That of trusted proxies: the listener's door ends all others earlier.
		IdleTimeout:    admission.ProxyIdle,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream:     streamWindow,
			// A deadline ends one stream, and leaves the connection blocked if its client
			// reads nothing at all.
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

// deadlines bounds each request: http.Server's own time-outs would cut event streams.
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

// loopbackOnly refuses requests that a web page could have made a browser on this
// machine send: those for another host name than this machine's.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isThisMachine(r.Host) {
			http.Error(w, "commands are taken on localhost only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isThisMachine reports whether a host, with or without a port, names this machine and
// cannot be made to name it by somebody else's DNS.
func isThisMachine(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// isLoopback reports whether a listener is bound to this machine alone; nil is not.
func isLoopback(l net.Listener) bool {
	if l == nil {
		return false
	}
	address, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && address.Addr().Unmap().IsLoopback()
}

// errForeignPage refuses a publisher that another site's page may be.
var errForeignPage = errors.New("this port is for this machine alone and asks for no token, so that only encoders and pages of localhost may publish: " +
	"use the address http://localhost, or set a publish token")

// checkPublishingPage is asked about publishers that need no token. A port that is bound to
// this machine alone is meant for this machine's programs. A web page from anywhere could
// make a browser here send to the port, by its own origin or by a name that it lets resolve
// to this machine (DNS rebinding). Encoders send no Origin.
func (s *Server) checkPublishingPage(r *http.Request) error {
	port := s.http
	if r.TLS != nil {
		port = s.https
	}
	if !isLoopback(port) {
		return nil
	}
	if !isThisMachine(r.Host) {
		return errForeignPage
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isThisMachine(u.Host) {
			return errForeignPage
		}
	}
	return nil
}
