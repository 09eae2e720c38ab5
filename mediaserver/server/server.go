package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/forward"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/pairtls"
	"github.com/streampair/streampair/mediaserver/peers"
	"github.com/streampair/streampair/mediaserver/player"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/relay"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/rtmp"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode"
	"github.com/streampair/streampair/mediaserver/whep"
	"github.com/streampair/streampair/mediaserver/whip"
)

// Config configures a Server.
type Config struct {
	config.Config
	// Version is shown in status.
	Version string
	// FFmpegPath is the ffmpeg that re-encodes streams with B-frames; empty: none.
	FFmpegPath string
	// OnToken is called with each token that was made up, because nobody chose one: it
	// is to be shown once, and not in the log. What it is for is publish or play.
	// Default: nobody learns it.
	OnToken func(pair, what, token string)
	Logger  *slog.Logger

	// memoryLimit is Go's, in bytes, see runtime/debug.SetMemoryLimit; default: that of the
	// process, which $GOMEMLIMIT sets.
	memoryLimit int64
	limits      *limits                                                              // default: defaultLimits
	lookup      func(ctx context.Context, host string) ([]netip.Addr, error)         // of the peer's name; default: the system's
	dial        func(ctx context.Context, network, address string) (net.Conn, error) // to the peers; default: the system's
	// onChange is called where a stream changes, with its lock held: for tests. Default: nothing.
	onChange func()
}

// A Server is one media server.
type Server struct {
	cfg      Config
	log      *slog.Logger
	bootID   string
	started  time.Time
	changes  changes
	recovery *recovery.Recovery
	metrics  *prometheus.Registry
	counters *metrics.Metrics // in metrics
	limits   limits
	proxies  admission.Proxies
	memory   *budget.Budget // of all caches and histories
	registry *stream.Registry
	access   *access.Policy
	engine   *rtc.Engine
	pairs    *pairs
	baseURLs baseURLs
	rtmp     *rtmp.Server // nil: neither RTMP nor RTMPS
	whip     *whip.Handler
	whep     *whep.Handler
	forward  *forward.Forwarder

	// Listeners; nil: that port is off.
	http, https, probe, health, control, relayPort net.Listener

	certs        *certificates // of HTTPS and RTMPS; nil: neither is on
	controlCerts *certificates // of the command port; nil: it is for this machine alone
	clusterToken tokenFile     // of the command port and of the other leg's pod
	identity     *pairtls.Identity

	relay *relay.Handler
	peers *peers.Directory // nil: there are none
	peer  *relay.Client    // nil: there is none

	draining chan struct{} // closed when the server is told to end, if it then waits

	configuring recovery.Mutex // is held while a manifest is taken; guards sources; before mu
	sources     configSources

	mu         recovery.Mutex // guards the next two
	manifest   config.Manifest
	complaints complaints
}

// New opens the ports. Run must be called, and closes them.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Logger, bootID: signalling.NewBootID(), started: time.Now(), metrics: prometheus.NewRegistry()}
	s.draining, s.identity = make(chan struct{}), pairtls.NewIdentity()
	s.sources = configSources{inForce: cfg.Sources, file: cfg.Sources}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := metrics.New(s.metrics)
	s.counters = m
	s.limits = defaultLimits()
	if cfg.limits != nil {
		s.limits = *cfg.limits
	}
	s.proxies.Trust(cfg.TrustedProxies)
	s.recovery = recovery.New(recovery.Config{Logger: s.log, Panics: m.Panics})
	s.openMemory()
	s.registry = stream.NewRegistry(stream.Config{OnChange: s.streamChanged, Budget: s.memory, Logger: s.log, Metrics: m})
	if cfg.Role == "" {
		s.access = access.New(cfg.Manifest.Access())
	} else {
		s.access = access.NewDeclaredOnly(cfg.Manifest.Access())
	}
	s.pairs = &pairs{
		registry: s.registry, memory: s.memory, hasPeer: s.cfg.Peer != "",
		views: transcode.NewViews(transcode.ViewsConfig{
			MaxTranscodes: cfg.MaxTranscodes, FFmpegPath: cfg.FFmpegPath, Logger: s.log, Metrics: m, Recovery: s.recovery,
		}),
		egress: rtc.NewEgress(0), policy: defaultPolicy(), onChange: s.changes.notify, log: s.log, metrics: m, recovery: s.recovery,
		door: admission.NewDoor(admission.DoorConfig{
			Name: "pairs_on_demand", Limits: admission.Limits{Max: s.limits.onDemand}, Metrics: m,
		}),
		open: make(map[pairKey]*runningPair), ending: make(map[string]<-chan struct{}),
	}
	if err := s.open(m); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// streamChanged is called with the stream's lock held.
func (s *Server) streamChanged() {
	s.changes.notify()
	if s.cfg.onChange != nil {
		s.cfg.onChange()
	}
}

// open opens the ports and makes what serves them.
func (s *Server) open(m *metrics.Metrics) error {
	tlsConfig, err := s.tls()
	if err != nil {
		return err
	}
	if err := s.loadControlFiles(); err != nil {
		return err
	}
	s.engine, err = rtc.NewEngine(rtc.EngineConfig{
		Address: s.cfg.WebRTCAddress, AdvertiseAddresses: advertised(s.cfg.AdvertiseAddresses), OwnAddress: s.cfg.Pod.IP,
		Proxies: &s.proxies, Logger: s.log, Metrics: m,
	})
	if err != nil {
		return err
	}
	if err := s.openRelay(m); err != nil {
		return err
	}
	s.openForward(m)
	s.whip = whip.NewHandler(whip.Config{
		Engine: s.engine, Registry: s.registry, Authorize: s.mayPublish, CheckOpen: s.checkPublishingPage,
		ICEServers: func(key stream.Key) []webrtc.ICEServer { return s.iceServers(key.App, key.ID, "") },
		Origin:     s.origin(), Alternate: s.alternate,
		Logger: s.log, Metrics: m, Recovery: s.recovery,
	})
	s.whep = whep.NewHandler(whep.Config{
		Engine: s.engine, Open: s.openOutput, Authorize: s.mayWatch, Revoked: s.access.Revoked, Origin: s.origin(), Alternate: s.alternate,
		MaxViewers: s.cfg.MaxViewers, ICEServers: s.iceServers,
		Logger: s.log, Metrics: m, Recovery: s.recovery,
	})
	for _, l := range []struct {
		name    string
		address string
		proxies *admission.Proxies
		to      *net.Listener
	}{
		{"http", s.cfg.HTTPAddress, &s.proxies, &s.http},
		{"https", s.cfg.HTTPSAddress, &s.proxies, &s.https},
		{"probe", s.cfg.ProbeAddress, nil, &s.probe},
		{"control", s.cfg.ControlAddress, nil, &s.control},
	} {
		if l.address == "" {
			continue
		}
		if *l.to, err = s.listen(l.name, l.address, l.proxies); err != nil {
			return err
		}
	}
	if s.cfg.RelayAddress != "" {
		l, err := net.Listen("tcp", s.cfg.RelayAddress)
		if err != nil {
			return fmt.Errorf("open the relay port: %w", err)
		}
		s.relayPort = s.openRelayPort(l)
	}
	if err := s.openHealth(); err != nil {
		return err
	}
	if s.https != nil {
		https := tlsConfig.Clone()
		https.NextProtos = []string{"h2", "http/1.1"}
		s.https = tls.NewListener(s.https, https)
	}
	if s.control != nil && s.controlCerts != nil {
		s.control = tls.NewListener(s.control, &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: s.controlCerts.get, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	// The last, because only its Run closes it.
	if s.cfg.RTMPAddress != "" || s.cfg.RTMPSAddress != "" {
		s.rtmp, err = rtmp.NewServer(rtmp.Config{
			Address: s.cfg.RTMPAddress, TLSAddress: s.cfg.RTMPSAddress, TLSConfig: tlsConfig,
			Registry: s.registry, Authorize: s.mayPublish, Proxies: &s.proxies, Logger: s.log, Metrics: m,
			Recovery: s.recovery,
		})
		if err != nil {
			return err
		}
	}
	s.log.Info("listening", "addresses", s.Addresses())
	return nil
}

func (s *Server) mayPublish(key stream.Key, token string) (bool, error) {
	return s.access.Publish(key.App, key.ID, token)
}

func (s *Server) mayWatch(app, streamID, backupID, token string) error {
	err := s.access.Play(app, streamID, backupID, token)
	if errors.Is(err, access.ErrUnknownStream) {
		return fmt.Errorf("%w: %w", whep.ErrUnknownStream, err)
	}
	return err
}

func (s *Server) openOutput(from netip.Prefix, app, streamID, backupID string) (*rtc.Output, func(), error) {
	r, release, err := s.pairs.acquire(from, app, streamID, backupID)
	if isImpossible(err) {
		err = fmt.Errorf("%w: %w", whep.ErrUnknownStream, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return r.output, release, nil
}

// isImpossible says whether no later attempt at the same play URL can succeed.
func isImpossible(err error) bool {
	return errors.Is(err, stream.ErrInvalidStreamID) || errors.Is(err, errSameStream)
}

func (s *Server) openPair(from netip.Prefix, app, streamID, backupID string) (*failover.Pair, func(), error) {
	r, release, err := s.pairs.acquire(from, app, streamID, backupID)
	if isImpossible(err) {
		err = fmt.Errorf("%w: %w", access.ErrUnknownStream, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return r.pair, release, nil
}

// run serves until ctx ends, and returns why it stopped.
func (s *Server) run(ctx context.Context) error {
	defer s.close()
	// Pairs outlive the ports that lead to them by a moment: publishers and viewers are
	// told that the server ends, and then there is nothing left to play.
	pairsCtx, stopPairs := context.WithCancel(context.WithoutCancel(ctx))
	pairsDone := make(chan struct{})
	go func() {
		defer close(pairsDone)
		_ = s.pairs.run(pairsCtx)
	}()
	defer func() {
		stopPairs()
		<-pairsDone
	}()
	s.configure(s.cfg.Manifest)
	s.complain(&s.complaints.secrets, s.cfg.Manifest.SecretErrors)

	ending := ctx
	g, ctx := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error { return s.drainSafely(ending, ctx) })
	g.Go(func() error { return watch(ctx, s.watched()) })
	g.Go(func() error { return s.runPeer(ctx) })
	g.Go(func() error { return s.endRevoked(ctx) })
	if s.rtmp != nil {
		g.Go(func() error { return s.rtmp.Run(ctx) })
	}
	sessions := s.sessionsHandler()
	media := s.proxies.Handler(s.recovery.Handler("http", s.forward.Handler(sessions)))
	if s.relayPort != nil {
		g.Go(func() error {
			return serve(ctx, newHTTPServer(s.recovery.Handler("peer", s.peerHandler(sessions)), s.log), s.relayPort)
		})
	}
	for _, l := range []net.Listener{s.http, s.https} {
		if l != nil {
			g.Go(func() error { return serve(ctx, newHTTPServer(media, s.log), l) })
		}
	}
	ready := func() error { return nil }
	if s.probe != nil {
		h := s.recovery.Handler("probe", control.NewProbe(s.metrics, ready))
		g.Go(func() error { return serve(ctx, newHTTPServer(h, s.log), s.probe) })
	}
	if s.health != nil {
		g.Go(func() error { return serve(ctx, newHTTPServer(control.NewHealth(ready), s.log), s.health) })
	}
	if s.control != nil {
		g.Go(func() error {
			return serve(ctx, newHTTPServer(s.recovery.Handler("control", s.controlHandler()), s.log), s.control)
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		s.registry.Close()
		s.relay.Close()
		s.forward.Close()
		s.whip.Close()
		return s.whep.Shutdown(closing)
	})
	return g.Wait()
}

// close closes what New opened.
func (s *Server) close() {
	for _, l := range []net.Listener{s.http, s.https, s.probe, s.health, s.control, s.relayPort} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.engine != nil {
		s.engine.Close()
	}
}

// peerHandler serves what the other leg's servers ask for: the relay, and requests about
// sessions, which sessions answers.
func (s *Server) peerHandler(sessions http.Handler) http.Handler {
	mux := http.NewServeMux()
	s.relay.RegisterPeers(mux)
	forward.RegisterPeers(mux, sessions)
	return mux
}

// sessionsHandler serves what publishers and viewers use, as far as it is here.
func (s *Server) sessionsHandler() http.Handler {
	mux := http.NewServeMux()
	player.Register(mux)
	s.whip.Register(mux)
	s.whep.Register(mux)
	s.relay.Register(mux)
	control.NewEvents(control.EventsConfig{
		Open: s.openPair, Authorize: s.access.Play, Revoked: s.access.Revoked, Session: s.whep.Session,
		BaseURLs: s.baseURLs.watch, Alternate: s.alternate, Role: failover.Role(s.cfg.Role),
		MaxListeners: s.limits.eventStreams, Epoch: s.registry.Epoch(), Draining: s.draining, Metrics: s.pairs.metrics,
	}).Register(mux)
	return mux
}
