package server

import (
	"slices"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

var _ control.Backend = (*Server)(nil)

// defaultPolicy returns the policy of pairs made from a play URL: the manifest's defaults.
func defaultPolicy() failover.Policy {
	var p v1alpha1.StreamPair
	p.Default()
	return policyOf(p.Spec.Failover)
}

func policyOf(f v1alpha1.Failover) failover.Policy {
	p := failover.Policy{
		Mode:      failover.Mode(f.Mode),
		InputLoss: time.Duration(f.InputLossMilliseconds) * time.Millisecond,
		MaxJitter: v1alpha1.DefaultMaxJitterMilliseconds * time.Millisecond,
	}
	if f.MaxJitterMilliseconds != nil {
		p.MaxJitter = time.Duration(*f.MaxJitterMilliseconds) * time.Millisecond
	}
	if f.RecoverySeconds != nil {
		p.Recovery = time.Duration(*f.RecoverySeconds) * time.Second
	}
	p.ContentFailover = f.Content != nil && f.Content.Policy == v1alpha1.ContentFailover
	if f.Select != v1alpha1.SelectAuto {
		p.Select = failover.Role(f.Select)
	}
	return p
}

// Select implements control.Backend.
func (s *Server) Select(pair, selection string) error {
	r := s.pairs.declaredPair(pair)
	if r == nil {
		return control.ErrUnknownPair
	}
	if err := r.selectLeg(selection); err != nil {
		return err
	}
	s.log.Info("leg selected", "pair", pair, "select", selection)
	return nil
}

// Changed implements control.Backend.
func (s *Server) Changed() <-chan struct{} { return s.changes.next() }

// Status implements control.Backend.
func (s *Server) Status() api.Status {
	st := api.Status{
		Version: s.cfg.Version, BootID: s.bootID, StartTime: s.started.UTC(),
		Role: string(s.cfg.Role), PodName: s.cfg.Pod.Name, NodeName: s.cfg.Pod.Node,
		Draining: s.isDraining(), Advertised: s.advertised(), BaseURLs: s.baseURLs.all(), Memory: s.memoryStatus(), Addresses: s.Addresses(), Streams: []api.Stream{}, Pairs: []api.Pair{},
	}
	if s.ports.certs != nil {
		st.TLS = s.ports.certs.status()
	}
	st.PeerRelay = s.peer.Status(s.ports.relay != nil)
	manifest := s.Manifest()
	version := manifest.Version()
	st.ConfigGeneration, st.ConfigUID, st.ConfigMistakes = version.Generation, string(version.UID), append(s.config.mistakes(), s.keySetMistakes()...)
	st.UnknownFields = append([]string{}, manifest.UnknownFields...)
	for _, mistake := range st.ConfigMistakes {
		st.ConfigErrors = append(st.ConfigErrors, mistake.Message) // for an operator before version 0.2.0
	}
	for _, one := range s.registry.Streams() {
		st.Streams = append(st.Streams, s.streamStatus(one))
	}
	st.Viewers = s.relay.PlayerCount()
	for _, r := range s.pairs.all() {
		p := s.pairStatus(r)
		st.Viewers += p.Viewers
		st.Pairs = append(st.Pairs, p)
	}
	return st
}

func (s *Server) wallClock(t time.Duration) *time.Time {
	w := s.registry.Epoch().Add(t).UTC()
	return &w
}

func (s *Server) streamStatus(one *stream.Stream) api.Stream {
	snap := one.Snapshot()
	st := api.Stream{
		App: one.Key().App, StreamID: one.Key().ID, EntryPoint: snap.EntryPoint, Undeclared: snap.Undeclared,
		Warnings: warnings(snap.Warnings),
		Video:    track(snap.Video, s.registry.Now()), Audio: track(snap.Audio, s.registry.Now()),
	}
	if p := snap.Publication; p != nil {
		st.Publishing, st.Protocol, st.Remote, st.BitrateBPS = true, p.Protocol, p.Remote, p.BitrateBPS
		st.Relayed = p.Relayed
		st.StartTime = s.wallClock(p.Since)
		if !p.TokenExpires.IsZero() {
			expires := p.TokenExpires.UTC()
			st.TokenExpires = &expires
		}
		st.SRT = s.srtLink(one.Key())
	}
	return st
}

// srtLink returns how the packets of a stream's publisher arrive; nil: not by SRT.
func (s *Server) srtLink(key stream.Key) *api.SRTLink {
	if s.srt == nil {
		return nil
	}
	stats, ok := s.srt.Stats(key)
	if !ok {
		return nil
	}
	return &api.SRTLink{
		RoundTripMilliseconds: stats.RoundTrip.Milliseconds(), LatencyMilliseconds: stats.Latency.Milliseconds(),
		BufferMilliseconds: stats.Buffered.Milliseconds(),
		PacketsReceived:    stats.Received, PacketsRetransmitted: stats.Retransmitted, PacketsLost: stats.Lost,
	}
}

func track(t stream.TrackSnapshot, now time.Duration) *api.Track {
	if !t.Announced || t.Format == nil {
		return nil
	}
	out := &api.Track{
		Codec: t.Format.Codec.String(), Width: t.Format.Width, Height: t.Format.Height,
		SampleRateHz: t.Format.SampleRate, Channels: t.Format.Channels,
		SilentMilliseconds: (now - t.LastArrival).Milliseconds(),
	}
	if t.Format.Codec == stream.H264 && t.Interval > 0 {
		out.FrameRate = float64(time.Second) / float64(t.Interval)
	}
	return out
}

func warnings(in []stream.Warning) []api.Warning {
	var out []api.Warning
	for _, w := range in {
		out = append(out, api.Warning{Code: w.Code, Message: w.Message})
	}
	return out
}

func (s *Server) pairStatus(r *runningPair) api.Pair {
	st := r.pair.Status()
	p := api.Pair{
		Name: r.name, Declared: r.declared.Load(), App: r.key.App, PrimaryID: r.key.Primary, BackupID: r.key.Backup,
		Active: string(st.Active), ActiveStreamID: st.ActiveStreamID, OnAir: st.OnAir,
		SwitchingTo: string(st.SwitchingTo), Reason: string(st.Reason), Switches: st.Switches, Viewers: r.output.ViewerCount(), Select: "Auto",
	}
	if pin := r.pair.Policy().Select; pin != "" {
		p.Select = string(pin)
	}
	if st.Active != "" {
		p.Since = s.wallClock(st.Since)
	}
	if last := st.LastSwitch; last.To != "" {
		p.LastSwitch = &api.Switch{
			From: string(last.From), To: string(last.To), Reason: string(last.Reason), Time: *s.wallClock(last.At),
		}
	}
	if p.Declared { // strangers can make pairs, but no histories that grow the status
		p.History = s.historyStatus(st.History)
	}
	p.Peer = s.peerStatus(r)
	for _, l := range st.Legs {
		p.Legs = append(p.Legs, s.legStatus(r.key.App, l))
	}
	s.measuring.describe(r.key, &p)
	return p
}

// historyStatus returns a pair's history, the newest entry first.
func (s *Server) historyStatus(entries []failover.Entry) []api.HistoryEntry {
	out := make([]api.HistoryEntry, 0, len(entries))
	for _, e := range entries {
		out = append(out, api.HistoryEntry{
			Kind: string(e.Kind), Time: *s.wallClock(e.At), Leg: string(e.Leg), Reason: string(e.Reason),
			GapMilliseconds: e.Gap.Milliseconds(),
		})
	}
	slices.SortStableFunc(out, func(a, b api.HistoryEntry) int { return a.Time.Compare(b.Time) })
	slices.Reverse(out)
	return out
}

func (s *Server) legStatus(app string, l failover.LegStatus) api.Leg {
	snap := s.registry.Stream(stream.Key{App: app, ID: l.StreamID}).Snapshot()
	leg := api.Leg{
		Role: string(l.Role), StreamID: l.StreamID, Live: l.Live, Rank: l.Rank.String(),
		EntryPoint: l.EntryPoint, Warnings: warnings(l.Warnings),
		Local:      s.cfg.Role == "" || string(s.cfg.Role) == string(l.Role),
		Publishing: snap.Publication != nil, Conflict: snap.Conflict,
	}
	switch {
	case l.Live:
	case leg.Publishing:
		leg.LossReason = api.LossSilent
	case snap.Published:
		leg.LossReason = api.LossDisconnected
	default:
		leg.LossReason = api.LossNotPublished
	}
	return leg
}
