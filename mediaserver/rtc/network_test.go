package rtc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
)

func TestViewerOverTheNetwork(t *testing.T) {
	// One packet each, so that even all of them fit into the client's socket while it
	// is not given the processor.
	const size = 300
	start := startNumbers{videoSequence: 0xfff0, audioSequence: 0xfffe, videoTimestamp: 0xffff_fff0, audioTimestamp: 0xffff_fff0}
	s := newStage(t, func(cfg *OutputConfig) { cfg.start = &start })
	// 40 pictures of which the IDR was first, before anybody watches.
	for i := range 40 {
		s.output.WriteVideo(s.now(), testPicture(i == 0, size), false)
		time.Sleep(time.Millisecond)
	}
	p := s.join(webrtc.SettingEngine{}, nil)
	p.wait(t, "the pictures since the IDR", func() bool { return len(p.video) >= 41 })
	t.Logf("from connected to the first picture sent: %s", p.viewer.Stats().JoinDuration)
	for range 20 {
		now := s.now()
		s.output.WriteVideo(now, testPicture(false, size), false)
		s.output.WriteOpus(now, 20*time.Millisecond, []byte{0xfc, 1, 2})
		time.Sleep(5 * time.Millisecond)
	}
	p.wait(t, "live packets", func() bool { return len(p.video) == 61 && len(p.audio) == 20 })
	p.mu.Lock()
	video := p.video
	p.video = nil
	p.mu.Unlock()
	follows(t, video)

	// NACK over RTCP, of packets sent squeezed and live, across the wrap.
	nack := &rtcp.TransportLayerNack{MediaSSRC: video[0].SSRC, Nacks: []rtcp.NackPair{
		{PacketID: video[3].SequenceNumber}, {PacketID: video[40].SequenceNumber, LostPackets: 1}, {PacketID: video[50].SequenceNumber},
	}}
	if err := p.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
		t.Fatal(err)
	}
	p.wait(t, "packets asked for again", func() bool { return len(p.video) == 4 })
	again := []rtp.Packet{video[3], video[40], video[41], video[50]}
	ignoreTransport := cmp.FilterPath(func(path cmp.Path) bool {
		return path.Last().String() == ".Raw" || strings.Contains(path.String(), "PaddingSize") || path.Last().String() == ".PayloadOffset"
	}, cmp.Ignore())
	if diff := cmp.Diff(again, p.video, ignoreTransport); diff != "" {
		t.Error(diff)
	}

	// Both tracks' reports map the same clock.
	p.wait(t, "sender reports of both tracks", func() bool {
		ssrcs := map[uint32]bool{}
		for _, r := range p.reports {
			ssrcs[r.SSRC] = true
		}
		return len(ssrcs) == 2
	})
	for _, r := range p.reports {
		rate, base := int64(audioClockRate), start.audioTimestamp
		if r.SSRC == video[0].SSRC {
			rate, base = videoClockRate, start.videoTimestamp
		}
		seconds := int64(r.NTPTime>>32) - 2_208_988_800
		sent := time.Unix(seconds, int64(r.NTPTime&0xffff_ffff*1e9>>32))
		want := base + uint32(ticks(sent.Sub(s.output.ntpZero), rate))
		if off := int32(r.RTPTime - want); off < -2 || off > 2 {
			t.Errorf("a report of SSRC %d is %d ticks off the media clock", r.SSRC, off)
		}
	}
	for _, name := range p.names {
		if name != mediaStreamID {
			t.Errorf("CNAME %q", name)
		}
	}
	if err := p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: video[0].SSRC}}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(testLimit)
	for p.viewer.Stats().PLIs == 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	s.output.WriteVideo(s.now(), testPicture(false, size), false)
	p.wait(t, "the pictures since the IDR again", func() bool { return len(p.video) >= 4+1+61 })
}

func TestViewerWhoNeverConnectsIsDropped(t *testing.T) {
	s := newStage(t, func(cfg *OutputConfig) { cfg.ConnectTimeout = 50 * time.Millisecond })
	me, err := NewMediaEngine(webrtc.RTPCodecParameters{
		PayloadType:        96,
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: videoClockRate},
	})
	if err != nil {
		t.Fatal(err)
	}
	pc, err := s.engine.NewViewerConnection(me)
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 2)
	v, err := s.output.AddViewer(pc, ViewerConfig{ID: "v", Protocol: "test", Video: true, OnClosed: func(reason string) { reasons <- reason }})
	if err != nil {
		t.Fatal(err)
	}
	<-s.output.ViewersChanged()
	select {
	case <-v.Done():
	case <-time.After(testLimit):
		t.Fatal("still there")
	}
	if reason := <-reasons; reason != ClosedNeverCame {
		t.Errorf("reason %q", reason)
	}
	if n := s.output.ViewerCount(); n != 0 {
		t.Errorf("%d viewers left", n)
	}
	v.Close()
	if len(reasons) != 0 {
		t.Error("closed twice")
	}
}

func TestOutputThatStoppedTakesNoViewers(t *testing.T) {
	s := &stage{t: t, engine: newTestEngine(t, EngineConfig{Logger: slog.New(slog.DiscardHandler)}), started: time.Now()}
	o := NewOutput(OutputConfig{Now: s.now, Metrics: metrics.New(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Run(ctx); err != context.Canceled {
		t.Errorf("Run: %v", err)
	}
	pc, err := s.engine.NewViewerConnection(&webrtc.MediaEngine{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	if _, err := o.AddViewer(pc, ViewerConfig{Protocol: "test"}); err != ErrOutputClosed {
		t.Errorf("AddViewer: %v", err)
	}
}

// A throttle is a TCP proxy to the engine that can stop taking what the engine sends,
// as a viewer does that no longer reads.
type throttle struct {
	listener net.Listener
	stopped  atomic.Bool
	rate     int // bytes per second; 0: as fast as it goes
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newThrottle(t *testing.T, target string, rate int) *throttle {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &throttle{listener: l, rate: rate}
	p.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			// A small window, set before connecting, so that the engine notices soon.
			dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) {
					_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 32<<10)
				})
			}}
			server, err := dialer.Dial("tcp4", target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			p.wait.Go(func() { _, _ = io.Copy(server, client) })
			p.wait.Go(func() {
				buf := make([]byte, 4096)
				for {
					n, err := server.Read(buf)
					if err != nil {
						return
					}
					if _, err := client.Write(buf[:n]); err != nil || p.stopped.Load() {
						return // without closing: the connection stays up, unread
					}
					if p.rate > 0 {
						time.Sleep(time.Duration(n) * time.Second / time.Duration(p.rate))
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wait.Wait()
	})
	return p
}

// joinThrough connects a spectator over TCP by way of a throttle.
func (s *stage) joinThrough(p *throttle) *spectator {
	var overTCP webrtc.SettingEngine
	overTCP.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	return s.join(overTCP, func(answer string) string {
		var lines []string
		for line := range strings.Lines(answer) {
			if strings.HasPrefix(line, "a=candidate:") {
				if strings.Contains(line, " udp ") {
					continue
				}
				line = strings.ReplaceAll(line, fmt.Sprintf(" %d ", s.engine.Port()), fmt.Sprintf(" %d ", p.listener.Addr().(*net.TCPAddr).Port))
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "")
	})
}

// A viewer over TCP whose line takes half of the stream is sent a part of each group of
// pictures, from the IDR on, and stays.
func TestAViewerOverASlowTCPLineSeesWhatTheLineTakes(t *testing.T) {
	s := newStage(t, nil)
	proxy := newThrottle(t, s.engine.Addr().String(), 375_000) // 3 Mbit/s
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			now := s.now()
			s.output.WriteVideo(now, testPicture(i%50 == 0, 15_000), false) // 6 Mbit/s
			s.output.WriteOpus(now, 20*time.Millisecond, []byte{0xfc, 1, 2})
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	p := s.joinThrough(proxy)
	p.wait(t, "eight IDRs", func() bool {
		idrs := 0
		for _, packet := range p.video {
			if startsPicture(packet) {
				idrs++
			}
		}
		return idrs >= 8
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	follows(t, p.video)
	stats := p.viewer.Stats()
	t.Logf("%d packets of video, %d left out; %d of sound", len(p.video), stats.Video.Skipped, len(p.audio))
	if stats.Video.Dropped+stats.Audio.Dropped > 0 || stats.Video.Skipped == 0 {
		t.Errorf("%d packets dropped, %d left out", stats.Video.Dropped+stats.Audio.Dropped, stats.Video.Skipped)
	}
	select {
	case <-p.viewer.Done():
		t.Error("the viewer was ended")
	default:
	}
}

// Must show 10 of the issue: a viewer on ICE-TCP that stops reading changes nothing
// for others.
func TestStalledTCPViewerChangesNothingForOthers(t *testing.T) {
	const stall = 5 * time.Second
	s := newStage(t, func(cfg *OutputConfig) { cfg.StallTimeout = stall })
	proxy := newThrottle(t, s.engine.Addr().String(), 0)
	stalling := s.joinThrough(proxy)
	others := []*spectator{s.join(webrtc.SettingEngine{}, nil), s.join(webrtc.SettingEngine{}, nil)}
	everybody := append([]*spectator{stalling}, others...)

	// 12 Mbit/s, 50 pictures a second, an IDR each second.
	stop, stopped := make(chan struct{}), make(chan struct{})
	var longestWrite time.Duration
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			now := s.now()
			s.output.WriteVideo(now, testPicture(i%50 == 0, 30_000), false)
			s.output.WriteOpus(now, 20*time.Millisecond, []byte{0xfc, 1, 2})
			longestWrite = max(longestWrite, s.now()-now)
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	end := sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
	defer end()
	for _, p := range everybody {
		p.wait(t, "video and audio", func() bool { return len(p.video) > 200 && len(p.audio) > 10 })
	}
	gaps := func() (longest time.Duration) {
		for _, p := range others {
			p.mu.Lock()
			longest = max(longest, p.longestGap)
			p.longestGap = 0
			p.mu.Unlock()
		}
		return longest
	}
	time.Sleep(time.Second)
	before := gaps()
	proxy.stopped.Store(true)
	select {
	case <-stalling.viewer.Done():
	case <-time.After(2 * testLimit):
		t.Fatalf("the stalled viewer is still there: %+v", stalling.viewer.Stats())
	}
	during := gaps()
	end()
	stats := stalling.viewer.Stats()
	t.Logf("longest gap of the others' video: %s before, %s with one stalled; %d packets dropped and %d skipped for that one; longest write %s",
		before, during, stats.Video.Dropped+stats.Audio.Dropped, stats.Video.Skipped, longestWrite)
	if stats.Video.Skipped == 0 {
		t.Error("no picture was left out for the stalled viewer")
	}
	if during > stall-time.Second { // one who blocked the others would do so until it is dropped
		t.Errorf("the others' video stood still for %s", during)
	}
	for i, p := range others {
		// What the clients' sockets lose on a busy machine is none of the server's, nor
		// that it skips to an IDR when it was not given the processor for long.
		if dropped := p.viewer.Stats().Video.Dropped; dropped != 0 {
			t.Errorf("viewer %d: %d packets dropped", i, dropped)
		}
	}
}
