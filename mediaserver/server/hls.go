package server

import (
	"net/http"
	"net/netip"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls"
	"github.com/streampair/streampair/mediaserver/metrics"
)

// openHLS makes what serves HLS. A pod of a pair serves none: the two pods of a pair do not agree
// on one list of segments yet, so a player whose requests go to either pod would get two playlists.
func (s *Server) openHLS(m *metrics.Metrics) {
	if s.cfg.HLS.Off || s.cfg.Role != "" {
		return
	}
	s.hls = hls.NewHandler(hls.Config{
		BootID: s.bootID, Registry: s.registry, OpenPair: s.openHLSPair, PairOf: s.legacyPair, Authorize: s.access.Play,
		Settings: hls.Settings{Segment: s.cfg.HLS.Segment, Part: s.cfg.HLS.Part, Window: s.cfg.HLS.Window},
		Budget:   s.memory, Recovery: s.recovery, Logger: s.log, Metrics: m,
	})
}

// registerHLS mounts the playlists. A server without HLS says why there are none.
func (s *Server) registerHLS(mux *http.ServeMux) {
	if s.hls != nil {
		s.hls.Register(mux)
		return
	}
	why := "HLS is off on this server (--hls): play by WebRTC"
	if s.cfg.Role != "" {
		why = "the media pods of a pair do not serve HLS: play by WebRTC"
	}
	mux.HandleFunc("GET /{app}/streams/{file...}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // so that a page of another site can read why
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, why, http.StatusNotFound)
	})
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
