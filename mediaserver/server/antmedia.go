package server

import (
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/antmedia"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

// openAntMedia makes what clients of Ant Media Server speak to.
func (s *Server) openAntMedia(m *metrics.Metrics) {
	s.antmedia = antmedia.NewHandler(antmedia.Config{
		Play: s.whep.Offer, Publish: s.whip.Publish, MayPlay: s.mayWatch, MayPublish: s.whip.Check,
		PairOf: s.legacyPair, OnAir: s.pairs.onAir, Broadcasts: s.broadcasts, ICEServers: s.appsICEServers,
		Draining: s.draining, MaxSockets: s.cfg.limits.eventStreams, Recovery: s.recovery, Logger: s.log, Metrics: m,
	})
}

// appsICEServers returns the ICE servers of a pair of an app that one of the tokens opens. If there is
// no such pair, it returns the STUN servers of any pair: they have no secrets.
func (s *Server) appsICEServers(app string, tokens []string) []webrtc.ICEServer {
	var open []webrtc.ICEServer
	for _, p := range s.Manifest().Pairs {
		if p.Spec.App != app || len(p.ICEServers) == 0 {
			continue
		}
		all := s.iceServers(app, p.Spec.Primary.StreamID, "")
		for _, id := range []string{p.Spec.Primary.StreamID, p.Spec.Backup.StreamID} {
			if slices.ContainsFunc(tokens, func(token string) bool {
				_, err := s.mayPublish(stream.Key{App: app, ID: id}, token)
				return err == nil || s.mayWatch(app, id, "", token) == nil
			}) {
				return all
			}
		}
		if open == nil {
			open = slices.DeleteFunc(all, func(server webrtc.ICEServer) bool { return server.Username != "" })
		}
	}
	return open
}

// publishTypes are the protocols of publishers in the words of Ant Media Server.
var publishTypes = map[string]string{"rtmp": "RTMP", "whip": "WebRTC", "srt": "SRT", "relay": "Pull"}

// broadcasts returns the streams of an app, by id: those that somebody publishes, and those of its pairs.
func (s *Server) broadcasts(app string) []antmedia.Broadcast {
	known := map[string]antmedia.Broadcast{}
	now := time.Now()
	for _, one := range s.registry.Streams() {
		st := s.streamStatus(one)
		if st.App != app || !st.Publishing {
			continue
		}
		b := antmedia.Broadcast{
			StreamID: st.StreamID, Name: st.StreamID, Type: "liveStream", Status: antmedia.StatusBroadcasting,
			PublishType: publishTypes[st.Protocol], Bitrate: st.BitrateBPS, Speed: 1, UpdateTime: now.UnixMilli(),
		}
		if st.StartTime != nil {
			b.StartTime = st.StartTime.UnixMilli()
		}
		if st.Video != nil {
			b.Width, b.Height = st.Video.Width, st.Video.Height
		}
		known[b.StreamID] = b
	}
	viewers := map[string]int{}
	for _, r := range s.pairs.all() {
		if r.key.App == app {
			viewers[r.key.Primary] += r.output.ViewerCount()
		}
	}
	for _, p := range s.Manifest().Pairs {
		for _, id := range []string{p.Spec.Primary.StreamID, p.Spec.Backup.StreamID} {
			if _, ok := known[id]; !ok && p.Spec.App == app {
				known[id] = antmedia.Broadcast{StreamID: id, Name: id, Type: "liveStream", Status: antmedia.StatusCreated}
			}
		}
	}
	all := make([]antmedia.Broadcast, 0, len(known))
	for id, b := range known {
		b.Viewers = viewers[id]
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b antmedia.Broadcast) int { return strings.Compare(a.StreamID, b.StreamID) })
	return all
}
