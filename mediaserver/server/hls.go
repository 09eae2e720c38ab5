package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/peer"
)

// openHLS makes what serves HLS. The pods of a pair serve the same playlists.
func (s *Server) openHLS(m *metrics.Metrics) {
	if s.cfg.HLS.Off {
		return
	}
	cfg := hls.Config{
		BootID: s.bootID, Registry: s.registry, OpenPair: s.openHLSPair, PairOf: s.legacyPair, Authorize: s.access.Play,
		SettingsOf: s.hlsSettings, Origins: s.allowedOrigins,
		Budget: s.memory, Recovery: s.recovery, Logger: s.log, Metrics: m,
	}
	if s.peer.Exists() {
		cfg.Peers = &hls.Peers{
			First: failover.Role(s.cfg.Role) == failover.Primary, Names: s.peer.Names, Follow: s.peer.FollowPlaylists,
		}
	}
	s.hls = hls.NewHandler(cfg)
}

// A playlistLink reads playlists from a peer.
type playlistLink struct{ *peer.Reader }

func (l playlistLink) Name() string { return l.Base }

func (l playlistLink) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	body, err := l.Reader.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return playlistBody{body}, nil
}

type playlistBody struct{ *peer.AnswerBody }

func (b playlistBody) Close() error {
	b.AnswerBody.Close()
	return nil
}

// pullPlaylist reads a playlist from a peer until ctx ends.
func (s *Server) pullPlaylist(ctx context.Context, r *peer.Reader, key failover.PairKey) {
	s.hls.Pull(ctx, playlistLink{r}, key)
}

// registerHLS mounts the playlists, and what peers in clear ask for. A server without HLS says why
// there are no playlists.
func (s *Server) registerHLS(mux *http.ServeMux) {
	if s.hls != nil {
		s.hls.Register(mux)
		s.hls.RegisterPeers(mux, s.peer.ClearAccess().Admit)
		return
	}
	mux.HandleFunc("GET /{app}/streams/{file...}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // so that a page of another site can read why
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "HLS is off on this server (--hls): play by WebRTC", http.StatusNotFound)
	})
}

// registerHLSPeers mounts what peers ask for over TLS. Whoever reaches mux must have proved to be a
// peer.
func (s *Server) registerHLSPeers(mux *http.ServeMux) {
	if s.hls != nil {
		s.hls.RegisterPeers(mux, func(http.ResponseWriter, *http.Request) (<-chan struct{}, bool) { return nil, true })
	}
}

func (s *Server) drainHLS() {
	if s.hls != nil {
		s.hls.Drain()
	}
}

func (s *Server) closeHLS() {
	if s.hls != nil {
		s.hls.Close()
	}
}

func (s *Server) openHLSPair(from netip.Prefix, key failover.PairKey) (hls.Pair, error) {
	r, release, err := s.pairs.acquire(from, key.App, key.Primary, key.Backup)
	if err != nil {
		return hls.Pair{}, err
	}
	return hls.Pair{Pair: r.pair, Watched: r.servesHLS.Store, Release: release}, nil
}

// hlsSettings returns the settings of the pair that declares a stream, or those of the flags.
func (s *Server) hlsSettings(key failover.PairKey) hls.Settings {
	settings := hls.DefaultSettings()
	if s.cfg.HLS.Segment > 0 {
		settings = hls.Settings{Segment: s.cfg.HLS.Segment, Part: s.cfg.HLS.Part, Window: s.cfg.HLS.Window}
	}
	p := s.declaring(key.App, key.Primary)
	if p == nil || p.Spec.Playback.HLS == nil {
		return settings
	}
	h := p.Spec.Playback.HLS
	return hls.Settings{
		Mode:    hlsModes[h.Mode],
		Segment: time.Duration(h.SegmentSeconds) * time.Second, Part: time.Duration(h.PartMilliseconds) * time.Millisecond,
		Window: time.Duration(h.WindowSeconds) * time.Second,
	}
}

var hlsModes = map[v1alpha1.HLSMode]hls.Mode{
	v1alpha1.HLSOnDemand: hls.OnDemand, v1alpha1.HLSAlways: hls.Always, v1alpha1.HLSOff: hls.Off,
}

// keepHLS has the playlists of the pairs made that want that all the time.
func (s *Server) keepHLS(m config.Manifest) {
	if s.hls == nil {
		return
	}
	var keys []failover.PairKey
	for i := range m.Pairs {
		if p := &m.Pairs[i].Spec; p.Playback.HLS != nil && p.Playback.HLS.Mode == v1alpha1.HLSAlways && !p.Paused {
			keys = append(keys, keyOf(p))
		}
	}
	s.hls.Keep(keys)
}

// allowedOrigins returns the origins of the pages that may use the cookie of a viewer.
func (s *Server) allowedOrigins(app, streamID string) []string {
	if p := s.declaring(app, streamID); p != nil {
		return p.Spec.Playback.AllowedOrigins
	}
	return nil
}

func keyOf(p *v1alpha1.StreamPairSpec) failover.PairKey {
	return failover.PairKey{App: p.App, Primary: p.Primary.StreamID, Backup: p.Backup.StreamID}
}

// declaring returns the pair that declares a stream; nil: none does.
func (s *Server) declaring(app, streamID string) *config.Pair {
	pairs := s.Manifest().Pairs
	for i := range pairs {
		if p := &pairs[i].Spec; p.App == app && (p.Primary.StreamID == streamID || p.Backup.StreamID == streamID) {
			return &pairs[i]
		}
	}
	return nil
}

// legacyPair returns the pair that a player gets who names one of its streams and no backup. ok is
// false if the manifest wants such players to get the stream alone, or if no pair has the stream.
func (s *Server) legacyPair(app, streamID string) (key failover.PairKey, ok bool) {
	p := s.declaring(app, streamID)
	if p == nil {
		return failover.PairKey{}, false
	}
	return keyOf(&p.Spec), p.Spec.Playback.LegacyClients == v1alpha1.LegacyClientsPair
}
