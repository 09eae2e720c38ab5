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
	// Address to listen on for RTMP, e.g. ":1935"; empty: no RTMP.
	Address string
	// TLSAddress to listen on for RTMPS, e.g. ":1936", and its certificate; empty: no
	// RTMPS.
	TLSAddress string
	TLSConfig  *tls.Config
	// Registry takes the publications. Required.
	Registry *stream.Registry
	// Authorize says whether somebody with this token (maybe "") may publish the
	// stream, and whether the token proved who it is. Its error is one sentence for the
	// client. It must not block. Nil lets everybody publish.
	Authorize func(key stream.Key, token string) (authenticated bool, err error)
	// Proxies may tell by the PROXY protocol whom they speak for. Default: nobody.
	Proxies *admission.Proxies
	// Recovery keeps a panic to its connection. Default: one that counts nothing.
	Recovery *recovery.Recovery
	// Logger, default none.
	Logger *slog.Logger
	// Metrics count refusals. Required.
	Metrics *metrics.Metrics
	// Limits on what clients may cost.
	Limits Limits
}

// A Server takes in RTMP and RTMPS publishers.
type Server struct {
	cfg      Config
	log      *slog.Logger
	refusals refusalLog
	guests   *guests
	plain    net.Listener // nil: none
	secure   net.Listener // TCP under the RTMPS listener, nil: none
	open     sync.WaitGroup
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
	s := &Server{cfg: cfg, log: cfg.Logger, refusals: refusalLog{logger: cfg.Logger}, guests: newGuests(cfg.Limits, cfg.Metrics)}
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

// listen opens a port whose connections have the client's address also behind a proxy.
func (s *Server) listen(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return admission.NewListener(l, admission.ListenerConfig{
		Name: name, Proxies: s.cfg.Proxies, MaxProxyConnections: s.cfg.Limits.MaxConnections, Metrics: s.cfg.Metrics,
	}), nil
}

// Addr is where RTMP is listened for; nil if it is not.
func (s *Server) Addr() net.Addr { return addr(s.plain) }

// TLSAddr is where RTMPS is listened for; nil if it is not.
func (s *Server) TLSAddr() net.Addr { return addr(s.secure) }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Run serves until ctx ends or a listener fails; then it closes the listeners and all
// connections, ends their publications, and waits for them. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	handover := newHandover()
	library := gortmp.NewServer(&gortmp.ServerConfig{OnConnect: onConnect(s.log)})
	group.Go(func() error {
		if err := library.Serve(handover); !errors.Is(err, gortmp.ErrClosed) {
			return err
		}
		return nil
	})
	if s.plain != nil {
		group.Go(func() error { return s.accept(ctx, s.plain, handover, nil) })
	}
	if s.secure != nil {
		group.Go(func() error { return s.accept(ctx, s.secure, handover, s.cfg.TLSConfig) })
	}
	group.Go(func() error {
		<-ctx.Done()
		s.closeListeners()
		// The library first, or it spins on the closed listener.
		_ = library.Close()
		_ = handover.Close()
		for _, c := range s.guests.close() {
			c.stop(ended(stream.ErrShuttingDown))
		}
		return nil
	})
	err := group.Wait()
	// A client that does not read may hold its connection's goroutine in a write.
	forced := time.AfterFunc(shutdownGrace, func() {
		for _, c := range s.guests.close() {
			closeNow(c.conn)
		}
	})
	defer forced.Stop()
	s.open.Wait()
	return err
}

// shutdownGrace is how long connections may take to say goodbye.
const shutdownGrace = time.Second

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// acceptPause is how long to wait after a failed accept: when the process is out of
// file descriptors, trying again at once only burns a core.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept(ctx context.Context, l net.Listener, to *handover, secure *tls.Config) error {
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

func (s *Server) admit(conn net.Conn, to *handover) {
	c := s.newConnection(conn)
	if !s.guests.enter(c) {
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

// closeNow closes the socket without a goodbye: tls.Conn's Close would write one, and
// wait for the handshake to do so.
func closeNow(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}

// closed is called when c's socket is closed, and its goroutine all but done.
func (s *Server) closed(c *connection) {
	s.guests.left(c)
	s.open.Done()
}

// onConnect gives go-rtmp the connection's guard and Handler for its socket.
func onConnect(log *slog.Logger) func(net.Conn) (io.ReadWriteCloser, *gortmp.ConnConfig) {
	library := logrus.New()
	library.Out = io.Discard
	library.Level = logrus.ErrorLevel
	library.AddHook(logHook{log})
	preset := gortmp.NewDefaultResponsePreset()
	// Some encoders look for a version they know.
	preset.ServerConnectResultProperties.FMSVer = "FMS/3,0,1,123"
	preset.ServerConnectResultData = map[string]any{"type": "streampair"}
	return func(conn net.Conn) (io.ReadWriteCloser, *gortmp.ConnConfig) {
		c := conn.(handedOver).connection
		return c, &gortmp.ConnConfig{
			Handler: c,
			// Encoders are known to echo the handshake's random bytes wrongly.
			SkipHandshakeVerification: true,
			Logger:                    library,
			RPreset:                   preset,
			ControlState: gortmp.StreamControlStateConfig{
				DefaultBandwidthWindowSize: 5_000_000,
				DefaultAckWindowSize:       5_000_000,
				DefaultBandwidthLimitType:  rtmpmessage.LimitTypeDynamic,
				MaxChunkStreams:            chunkStreamVideo + 1,
				MaxMessageStreams:          maxMessageStreams,
				MaxMessageSize:             maxChunkSize,
			},
		}
	}
}

// logHook shows at debug level what go-rtmp has to say.
type logHook struct{ log *slog.Logger }

func (h logHook) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (h logHook) Fire(e *logrus.Entry) error {
	h.log.Debug("go-rtmp", "message", e.Message)
	return nil
}
