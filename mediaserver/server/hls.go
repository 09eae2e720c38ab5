package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"

	"github.com/streampair/streampair/api/v1alpha1"
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
		Settings: hls.Settings{Segment: s.cfg.HLS.Segment, Part: s.cfg.HLS.Part, Window: s.cfg.HLS.Window},
		Budget:   s.memory, Recovery: s.recovery, Logger: s.log, Metrics: m,
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

// legacyPair returns the pair that a player gets who names one of its streams and no backup. ok is
// false if the manifest wants such players to get the stream alone, or if no pair has the stream.
func (s *Server) legacyPair(app, streamID string) (key failover.PairKey, ok bool) {
	for _, p := range s.Manifest().Pairs {
		key = failover.PairKey{App: p.Spec.App, Primary: p.Spec.Primary.StreamID, Backup: p.Spec.Backup.StreamID}
		if key.App != app || streamID != key.Primary && streamID != key.Backup {
			continue
		}
		return key, p.Spec.Playback.LegacyClients == v1alpha1.LegacyClientsPair
	}
	return failover.PairKey{}, false
}
