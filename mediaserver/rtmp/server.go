package rtmp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	gortmp "github.com/yutopp/go-rtmp"
	rtmpmessage "github.com/yutopp/go-rtmp/message"
	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Config configures a Server.
type Config struct {
	// Address is where to listen for RTMP, e.g. ":1935"; empty: no RTMP.
	Address string
	// TLSAddress is where to listen for RTMPS, e.g. ":1936"; empty: no RTMPS.
	// TLSConfig has its certificate.
	TLSAddress string
	TLSConfig  *tls.Config
	// Registry takes the publications. Required.
	Registry *stream.Registry
	// Authorize returns nil if a client with this token, which may be "", may publish the stream.
	// authenticated reports whether the token proved who the client is. An error is one sentence
	// for the client. Authorize must not block. Nil lets everybody publish.
	Authorize func(key stream.Key, token string) (authenticated bool, err error)
	// Proxies are the proxies that may name a client by the PROXY protocol. Default: none.
	Proxies *admission.Proxies
	// Recovery confines a panic to its connection. Default: one that counts nothing.
	Recovery *recovery.Recovery
	// Logger; default none.
	Logger *slog.Logger
	// Metrics counts refusals. Required.
	Metrics *metrics.Metrics
	// Limits bounds what clients may cost.
	Limits Limits
}

// A Server accepts RTMP and RTMPS publishers.
type Server struct {
	cfg         Config
	log         *slog.Logger
	refusals    refusalLog
	connections *connections
	plain       net.Listener // nil: no RTMP
	secure      net.Listener // the TCP listener under RTMPS; nil: no RTMPS
	open        sync.WaitGroup
}

// NewServer opens the listeners. Run serves them.
func NewServer(cfg Config) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Recovery == nil {
		cfg.Recovery = recovery.New(recovery.Config{Logger: cfg.Logger})
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(stream.Key, string) (bool, error) { return false, nil }
	}
	s := &Server{cfg: cfg, log: cfg.Logger, refusals: refusalLog{logger: cfg.Logger}, connections: newConnections(cfg.Limits, cfg.Metrics)}
	if cfg.Address == "" && cfg.TLSAddress == "" {
		return nil, errors.New("no address to listen on for RTMP or RTMPS")
	}
	if cfg.TLSAddress != "" && cfg.TLSConfig == nil {
		return nil, errors.New("RTMPS needs a certificate")
	}
	var err error
	if cfg.Address != "" {
		if s.plain, err = s.listen("rtmp", cfg.Address); err != nil {
			return nil, fmt.Errorf("listen for RTMP: %w", err)
		}
	}
	if cfg.TLSAddress != "" {
		if s.secure, err = s.listen("rtmps", cfg.TLSAddress); err != nil {
			s.closeListeners()
			return nil, fmt.Errorf("listen for RTMPS: %w", err)
		}
	}
	return s, nil
}

// listen opens a port. Its connections have the client's address, even behind a proxy.
func (s *Server) listen(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return admission.NewListener(l, admission.ListenerConfig{
		Name: name, Proxies: s.cfg.Proxies, MaxProxyConnections: s.cfg.Limits.MaxConnections, Metrics: s.cfg.Metrics,
	}), nil
}

// Addr returns the address of the RTMP listener, or nil if there is none.
func (s *Server) Addr() net.Addr { return addr(s.plain) }

// TLSAddr returns the address of the RTMPS listener, or nil if there is none.
func (s *Server) TLSAddr() net.Addr { return addr(s.secure) }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Run serves until ctx ends or a listener fails. Then it closes the listeners and all
// connections, ends the publications, and waits for them. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	admitted := newAdmittedListener()
	library := gortmp.NewServer(&gortmp.ServerConfig{OnConnect: onConnect(s.log)})
	group.Go(func() error {
		if err := library.Serve(admitted); !errors.Is(err, gortmp.ErrClosed) {
			return err
		}
		return nil
	})
	if s.plain != nil {
		group.Go(func() error { return s.accept(ctx, s.plain, admitted, nil) })
	}
	if s.secure != nil {
		group.Go(func() error { return s.accept(ctx, s.secure, admitted, s.cfg.TLSConfig) })
	}
	group.Go(func() error {
		<-ctx.Done()
		s.closeListeners()
		// The library closes first. Otherwise it would spin on the closed listener.
		_ = library.Close()
		_ = admitted.Close()
		for _, c := range s.connections.close() {
			c.stop(ended(stream.ErrShuttingDown))
		}
		return nil
	})
	err := group.Wait()
	// A client that does not read may block its connection's goroutine in a write.
	forced := time.AfterFunc(shutdownGrace, func() {
		for _, c := range s.connections.close() {
			closeNow(c.conn)
		}
	})
	defer forced.Stop()
	s.open.Wait()
	return err
}

// shutdownGrace is how long connections may take to close at shutdown.
const shutdownGrace = time.Second

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// acceptPause is how long to wait after a failed accept. When the process is out of file
// descriptors, an immediate retry would only take a whole processor.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept(ctx context.Context, l net.Listener, to *admittedListener, secure *tls.Config) error {
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		case err != nil:
			s.refusals.log(slog.LevelError, "cannot accept RTMP connections", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		if secure != nil {
			conn = tls.Server(conn, secure)
		}
		if s.cfg.Recovery.Do("rtmp", func() { s.admit(conn, to) }) != nil {
			closeNow(conn)
		}
	}
}

func (s *Server) admit(conn net.Conn, to *admittedListener) {
	c := s.newConnection(conn)
	if !s.connections.enter(c) {
		c.report(refuse(ReasonTooManyConnections, "more than %d connections", s.cfg.Limits.MaxConnections))
		closeNow(conn)
		return
	}
	s.open.Add(1)
	if !to.put(conn, c) {
		closeNow(conn)
		s.closed(c)
	}
}

// closeNow closes the socket without a TLS alert. tls.Conn's Close would write one,
// and wait for the handshake before that.
func closeNow(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}

// closed is called when c's socket is closed and its goroutine is about to end.
func (s *Server) closed(c *connection) {
	s.connections.remove(c)
	s.open.Done()
}

// onConnect returns the function that gives go-rtmp the guard and the Handler for a socket.
func onConnect(log *slog.Logger) func(net.Conn) (io.ReadWriteCloser, *gortmp.ConnConfig) {
	library := logrus.New()
	library.Out = io.Discard
	library.Level = logrus.ErrorLevel
	library.AddHook(logHook{log})
	preset := gortmp.NewDefaultResponsePreset()
	// Some encoders want a version that they know.
	preset.ServerConnectResultProperties.FMSVer = "FMS/3,0,1,123"
	preset.ServerConnectResultData = map[string]any{"type": "streampair"}
	return func(conn net.Conn) (io.ReadWriteCloser, *gortmp.ConnConfig) {
		c := conn.(handedOver).connection
		return c, &gortmp.ConnConfig{
			Handler: c,
			// Some encoders echo the random bytes of the handshake wrongly.
			SkipHandshakeVerification: true,
			Logger:                    library,
			RPreset:                   preset,
			ControlState: gortmp.StreamControlStateConfig{
				DefaultBandwidthWindowSize: 5_000_000,
				DefaultAckWindowSize:       defaultAckWindow,
				DefaultBandwidthLimitType:  rtmpmessage.LimitTypeDynamic,
				MaxChunkStreams:            chunkStreamOwn + 1,
				MaxMessageStreams:          maxMessageStreams,
				MaxMessageSize:             maxChunkSize,
			},
		}
	}
}

// A logHook logs go-rtmp's messages at debug level.
type logHook struct{ log *slog.Logger }

func (h logHook) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (h logHook) Fire(e *logrus.Entry) error {
	h.log.Debug("go-rtmp", "message", e.Message)
	return nil
}
