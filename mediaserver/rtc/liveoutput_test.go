package rtc

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

// testLimit is how long a test waits for anything before it fails.
const testLimit = 20 * time.Second

// A liveOutput is a running Output with an Engine, for viewers over the network.
type liveOutput struct {
	t       testing.TB
	engine  *Engine
	output  *Output
	started time.Time
	// withoutRTX makes clients that take no retransmissions as a stream of their own.
	withoutRTX bool
	// alone makes each packet leave by itself, so that the kernel can lose a single one.
	alone bool
	// interceptors gives clients interceptors. Default: none.
	interceptors func(*interceptor.Registry)
}

func newLiveOutput(t *testing.T, change func(*OutputConfig)) *liveOutput {
	t.Helper()
	s := &liveOutput{t: t, engine: newTestEngine(t, EngineConfig{Logger: slog.New(slog.DiscardHandler)}), started: time.Now()}
	s.run(change)
	return s
}

// run starts the output. It stops the output when the test ends.
func (s *liveOutput) run(change func(*OutputConfig)) {
	cfg := OutputConfig{
		Name: "test", Now: s.now, Logger: slog.New(slog.DiscardHandler),
		Metrics: metrics.New(prometheus.NewRegistry()),
	}
	if change != nil {
		change(&cfg)
	}
	s.output = NewOutput(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = s.output.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		select {
		case <-stopped:
		case <-time.After(testLimit):
			s.t.Error("the output does not stop")
		}
	})
}

func (s *liveOutput) now() time.Duration { return time.Since(s.started) }

// A pionClient is a pion client that keeps what it receives.
type pionClient struct {
	pc      *webrtc.PeerConnection
	viewer  *Viewer
	answer  string
	arrived chan struct{} // receives after something was added

	mu           sync.Mutex // guards the rest
	video, audio []rtp.Packet
	reports      []*rtcp.SenderReport
	names        []string
	repaired     int           // packets that came by RTX
	longestGap   time.Duration // longest time between two video packets
	lastVideo    time.Time
}

// join connects a client. edit may change the answer before the client gets it.
func (s *liveOutput) join(settings webrtc.SettingEngine, edit func(string) string) *pionClient {
	s.t.Helper()
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		s.t.Fatal(err)
	}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	// Packets that are resent on request must arrive although nothing was lost.
	settings.DisableSRTPReplayProtection(true)
	settings.LoggerFactory = &pionLoggers{log: slog.New(slog.DiscardHandler)}
	registry := &interceptor.Registry{}
	if s.interceptors != nil {
		s.interceptors(registry)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(registry)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = pc.GracefulClose() })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			s.t.Fatal(err)
		}
	}
	p := &pionClient{pc: pc, arrived: make(chan struct{}, 1)}
	pc.OnTrack(p.track)
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		s.t.Fatal(err)
	}
	<-gathered
	sdp := pc.LocalDescription().SDP
	if s.withoutRTX {
		sdp = strings.ReplaceAll(sdp, " rtx/90000", " other/90000")
	}

	_, selection := selected(s.t, sdp, webrtc.RTPTransceiverDirectionRecvonly)
	server, err := s.engine.NewViewerConnection(selection)
	if err != nil {
		s.t.Fatal(err)
	}
	p.viewer, err = s.output.AddViewer(server, ViewerConfig{ID: fmt.Sprintf("%p", p), Protocol: "test", Video: true, Audio: true})
	if err != nil {
		s.t.Fatal(err)
	}
	server.alone = s.alone
	p.answer, err = server.Answer(Reach{})
	if err != nil {
		s.t.Fatal(err)
	}
	if edit != nil {
		p.answer = edit(p.answer)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: p.answer}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *pionClient) track(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	go p.reportsOf(receiver)
	for {
		packet, attributes, err := track.ReadRTP()
		if err != nil {
			return
		}
		p.mu.Lock()
		if attributes.Get(webrtc.AttributeRtxSsrc) != nil {
			p.repaired++
		}
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			now := time.Now()
			if !p.lastVideo.IsZero() {
				p.longestGap = max(p.longestGap, now.Sub(p.lastVideo))
			}
			p.lastVideo = now
			p.video = append(p.video, *packet)
		} else {
			p.audio = append(p.audio, *packet)
		}
		p.mu.Unlock()
		p.signal()
	}
}

func (p *pionClient) reportsOf(receiver *webrtc.RTPReceiver) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		p.mu.Lock()
		for _, packet := range packets {
			switch packet := packet.(type) {
			case *rtcp.SenderReport:
				p.reports = append(p.reports, packet)
			case *rtcp.SourceDescription:
				for _, chunk := range packet.Chunks {
					p.names = append(p.names, chunk.Items[0].Text)
				}
			}
		}
		p.mu.Unlock()
		p.signal()
	}
}

func (p *pionClient) signal() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// wait waits until a condition on the received packets holds.
func (p *pionClient) wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	limit := time.After(testLimit)
	for {
		p.mu.Lock()
		ok := condition()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.arrived:
		case <-limit:
			t.Fatalf("not within %s: %s", testLimit, what)
		}
	}
}
