package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/antmedia"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/events"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/player"
	"github.com/streampair/streampair/mediaserver/qoe"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/relay"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/rtmp"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/srt"
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
	// OnToken is called with each token that the server generated because nobody
	// configured one. The token must be shown once, and not in the log. what is
	// the token's purpose, publish or play. Default: nobody learns the token.
	OnToken func(pair, what, token string)
	Logger  *slog.Logger

	// memoryLimit is Go's memory limit in bytes, see runtime/debug.SetMemoryLimit.
	// Default: that of the process, which $GOMEMLIMIT sets.
	memoryLimit int64
	// containerLimit is the memory limit of all processes of the server, in bytes. Default: that of
	// the control group.
	containerLimit int64
	limits         *limits                                                              // default: defaultLimits
	lookup         func(ctx context.Context, host string) ([]netip.Addr, error)         // of the peer's name; default: the system's
	dial           func(ctx context.Context, network, address string) (net.Conn, error) // to the peers; default: the system's
	// keySetTLS is how URLs of key sets are called. It is for tests. Default: with the system's authorities.
	keySetTLS *tls.Config
	// reduced replaces whep.Handler.Reduced. It is for tests.
	reduced func(sessionID string) (reduced bool, changed <-chan struct{})
	// onChange is called when a stream changes, with the
	// stream's lock held. It is for tests. Default: nothing.
	onChange func()
}

// A Server is one media server.
type Server struct {
	cfg       Config
	log       *slog.Logger
	bootID    string
	started   time.Time
	changes   changes
	recovery  *recovery.Recovery
	metrics   *prometheus.Registry
	counters  *metrics.Metrics // registered in metrics
	proxies   admission.Proxies
	memory    *budget.Budget // of all caches and histories
	children  *budget.Children
	registry  *stream.Registry
	access    *access.Policy
	keySets   *jwks.Directory
	engine    *rtc.Engine
	pairs     *pairs
	baseURLs  baseURLs
	rtmp      *rtmp.Server // nil: both RTMP and RTMPS are off
	srt       *srt.Server  // nil: SRT is off
	whip      *whip.Handler
	whep      *whep.Handler
	antmedia  *antmedia.Handler
	relay     *relay.Handler
	hls       *hls.Handler // nil: HLS is off
	measuring *measuring
	room      *controlroom.Room // nil: there is none
	peer      *peer.Peer
	ports     ports
	config    configuration
	draining  chan struct{} // closed when a drain begins
}

// New opens the ports. Run must be called, and closes the ports.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Logger, bootID: signalling.NewBootID(), started: time.Now(), metrics: prometheus.NewRegistry()}
	s.draining = make(chan struct{})
	s.config = configuration{
		files: cfg.Files, keepsStreams: cfg.Role != "", sources: configSources{inForce: cfg.Sources, file: cfg.Sources}, log: s.log,
		apply: s.apply, renew: func(m config.Manifest) { s.access.Replace(s.accessPairs(m)) }, changed: s.changes.notify,
	}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := metrics.New(s.metrics)
	s.counters = m
	if cfg.limits == nil {
		s.cfg.limits = defaultLimits()
	}
	s.proxies.Trust(cfg.TrustedProxies)
	s.recovery = recovery.New(recovery.Config{Logger: s.log, Panics: m.Panics})
	s.openMemory()
	s.registry = stream.NewRegistry(stream.Config{OnChange: s.streamChanged, Budget: s.memory, Logger: s.log, Metrics: m})
	s.openKeySets()
	if cfg.Role == "" {
		s.access = access.New(s.accessPairs(cfg.Manifest))
	} else {
		s.access = access.NewDeclaredOnly(s.accessPairs(cfg.Manifest))
	}
	s.pairs = &pairs{
		registry: s.registry, memory: s.memory, packetBytes: s.cfg.WebRTCPacketBytes, hasPeer: s.cfg.Peer != "",
		views: transcode.NewViews(transcode.ViewsConfig{
			MaxTranscodes: cfg.MaxTranscodes, FFmpegPath: cfg.FFmpegPath, Logger: s.log, Metrics: m, Recovery: s.recovery,
		}),
		egress: rtc.NewEgress(int64(cfg.MaxEgressMegabits) * 1_000_000), policy: defaultPolicy(), onChange: s.changes.notify, log: s.log, heldUp: failover.NewHeldUpLog(s.log), metrics: m, recovery: s.recovery,
		door: admission.NewDoor(admission.DoorConfig{
			Name: "pairs_on_demand", Limits: admission.Limits{Max: s.cfg.limits.onDemand}, Metrics: m,
		}),
		open: make(map[failover.PairKey]*runningPair), ending: make(map[string]<-chan struct{}),
	}
	s.measuring = s.openMeasuring()
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

// open opens the ports and makes their handlers.
func (s *Server) open(m *metrics.Metrics) error {
	tlsConfig, err := s.tls()
	if err != nil {
		return err
	}
	if s.peer, err = peer.New(s.peerConfig()); err != nil {
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
	s.openRelay(m)
	s.openHLS(m)
	s.whip = whip.NewHandler(whip.Config{
		Engine: s.engine, Registry: s.registry, Authorize: s.mayPublish, CheckOpen: s.checkPublishingPage,
		ICEServers: func(key stream.Key) []webrtc.ICEServer { return s.iceServers(key.App, key.ID, "") },
		Origin:     s.origin(), Alternate: s.alternate,
		Logger: s.log, Metrics: m, Recovery: s.recovery,
	})
	s.whep = whep.NewHandler(whep.Config{
		Engine: s.engine, Open: s.openOutput, Authorize: s.mayWatch, Validity: s.access.Validity, Origin: s.origin(), Alternate: s.alternate,
		MaxViewers: s.cfg.MaxViewers, ICEServers: s.iceServers,
		Events: &whep.EventsConfig{OnAir: s.pairs.onAir, Draining: s.draining, MaxStreams: s.cfg.limits.eventStreams},
		Logger: s.log, Metrics: m, Recovery: s.recovery,
	})
	s.openAntMedia(m)
	if err := s.openPorts(tlsConfig); err != nil {
		return err
	}
	s.openRoom()
	// RTMP and SRT come last, because only their Run closes their listeners.
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
	if s.cfg.SRTAddress != "" {
		s.srt, err = srt.NewServer(srt.Config{
			Address: s.cfg.SRTAddress, Registry: s.registry, Authorize: s.mayPublish, Passphrases: s.passphrases,
			Logger: s.log, Metrics: m, Recovery: s.recovery,
		})
		if err != nil {
			return err
		}
	}
	s.log.Info("listening", "addresses", s.Addresses())
	return nil
}

// passphrases returns the passphrases of a stream for SRT, and whether its publishers need one.
func (s *Server) passphrases(key stream.Key) (passphrases []string, required bool) {
	for _, p := range s.Manifest().Pairs {
		isOf := p.Spec.App == key.App && (p.Spec.Primary.StreamID == key.ID || p.Spec.Backup.StreamID == key.ID)
		if !isOf || p.Spec.Publish.SRTPassphraseSecretRef == nil {
			continue
		}
		required = true
		if p.Keys.SRTPassphrase != "" {
			passphrases = append(passphrases, p.Keys.SRTPassphrase)
		}
	}
	return passphrases, required
}

func (s *Server) mayPublish(key stream.Key, token string) (bool, error) {
	return s.access.Publish(key.App, key.ID, token)
}

func (s *Server) mayWatch(app, streamID, backupID, token string) error {
	return s.access.Play(app, streamID, backupID, token)
}

func (s *Server) openOutput(from netip.Prefix, app, streamID, backupID string) (*rtc.Output, func(), error) {
	r, release, err := s.pairs.acquire(from, app, streamID, backupID)
	if err != nil {
		return nil, nil, err
	}
	return r.output, release, nil
}

// reportedPair returns the name of a running pair, and its leg on air.
func (s *Server) reportedPair(app, streamID, backupID string) (name, leg string, ok bool) {
	r := s.pairs.opened(failover.PairKey{App: app, Primary: streamID, Backup: backupID})
	if r == nil {
		return "", "", false
	}
	return r.name, string(r.pair.Status().Active), true
}

func (s *Server) openPair(from netip.Prefix, app, streamID, backupID string) (*failover.Pair, func(), error) {
	r, release, err := s.pairs.acquire(from, app, streamID, backupID)
	if err != nil {
		return nil, nil, err
	}
	return r.pair, release, nil
}

// run serves until ctx ends, and returns why it stopped.
func (s *Server) run(ctx context.Context) error {
	defer s.close()
	// Pairs end a moment after the ports that lead to them. Publishers and viewers
	// are told first that the server ends. After that nothing is left to play.
	pairsCtx, stopPairs := context.WithCancel(context.WithoutCancel(ctx))
	pairsDone := make(chan struct{})
	go func() {
		defer close(pairsDone)
		_ = s.pairs.run(pairsCtx)
	}()
	defer func() {
		s.measuring.close()
		stopPairs()
		<-pairsDone
	}()
	s.config.begin(s.cfg.Manifest)

	ending := ctx
	g, ctx := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error { return s.drainSafely(ending, ctx) })
	g.Go(func() error { return watch(ctx, s.watched()) })
	g.Go(func() error { return s.peer.Run(ctx) })
	g.Go(func() error { return s.keySets.Run(ctx) })
	g.Go(func() error { return s.endRevoked(ctx) })
	if s.rtmp != nil {
		g.Go(func() error { return s.rtmp.Run(ctx) })
	}
	if s.srt != nil {
		g.Go(func() error { return s.srt.Run(ctx) })
	}
	sessions := s.sessionsHandler()
	media := s.proxies.Handler(s.recovery.Handler("http", s.peer.Forwarding(sessions)))
	if s.ports.relay != nil {
		g.Go(func() error {
			return serve(ctx, newHTTPServer(s.recovery.Handler("peer", s.peerHandler(sessions)), s.log), s.ports.relay)
		})
	}
	for _, l := range []net.Listener{s.ports.http, s.ports.https} {
		if l != nil {
			g.Go(func() error { return serve(ctx, newHTTPServer(media, s.log), l) })
		}
	}
	ready := func() error { return nil }
	if s.ports.probe != nil {
		h := s.recovery.Handler("probe", control.NewProbe(s.metrics, ready))
		g.Go(func() error { return serve(ctx, newHTTPServer(h, s.log), s.ports.probe) })
	}
	if s.ports.health != nil {
		g.Go(func() error { return serve(ctx, newHTTPServer(control.NewHealth(ready), s.log), s.ports.health) })
	}
	if s.ports.monitor != nil {
		h := s.recovery.Handler("monitor", s.monitorHandler())
		g.Go(func() error { return serve(ctx, newHTTPServer(h, s.log), s.ports.monitor) })
	}
	if s.ports.control != nil {
		g.Go(func() error {
			return serve(ctx, newHTTPServer(s.recovery.Handler("control", s.controlHandler()), s.log), s.ports.control)
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		s.registry.Close()
		s.relay.Close()
		s.peer.Close()
		s.measuring.reports.Close()
		s.closeHLS()
		s.whip.Close()
		err := s.whep.Shutdown(closing)
		s.antmedia.Close()
		return err
	})
	return g.Wait()
}

// close closes what New opened.
func (s *Server) close() {
	s.ports.close()
	s.closeHLS()
	if s.engine != nil {
		s.engine.Close()
	}
	s.pairs.heldUp.Close()
}

// peerHandler serves the requests of the other leg's servers: the
// relay, and requests about sessions, which sessions answers.
func (s *Server) peerHandler(sessions http.Handler) http.Handler {
	mux := http.NewServeMux()
	s.relay.RegisterPeers(mux)
	s.registerHLSPeers(mux)
	s.measuring.register(mux, func(http.ResponseWriter, *http.Request) (<-chan struct{}, bool) { return nil, true })
	s.peer.RegisterPeers(mux, sessions)
	mux.HandleFunc("GET "+keySetsPath, s.serveKeySets)
	return mux
}

// sessionsHandler serves publishers and viewers whose sessions are on this server.
func (s *Server) sessionsHandler() http.Handler {
	mux := http.NewServeMux()
	player.Register(mux)
	s.whip.Register(mux)
	s.whep.Register(mux)
	s.antmedia.Register(mux)
	s.relay.Register(mux)
	s.registerHLS(mux)
	s.measuring.register(mux, s.peer.ClearAccess().Admit)
	s.peer.Register(mux)
	reduced := s.whep.Reduced
	if s.cfg.reduced != nil {
		reduced = s.cfg.reduced
	}
	reportShare := func() float64 { return 0 }
	if !s.cfg.NoViewerReports {
		qoe.NewHandler(qoe.Config{Authorize: s.access.Play, Pair: s.reportedPair, Metrics: s.counters}).Register(mux)
		reportShare = func() float64 { return qoe.Share(s.whep.ViewerCount()) }
	}
	events.NewHandler(events.Config{
		ReportShare: reportShare,
		Open:        s.openPair, Authorize: s.access.Play, Validity: s.access.Validity, Session: s.whep.Session, Reduced: reduced,
		BaseURLs: s.baseURLs.watch, Alternate: s.alternate, Role: failover.Role(s.cfg.Role),
		MaxListeners: s.cfg.limits.eventStreams, Epoch: s.registry.Epoch(), Draining: s.draining, Metrics: s.pairs.metrics,
	}).Register(mux)
	return mux
}
