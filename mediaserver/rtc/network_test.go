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
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

func TestViewerOverTheNetwork(t *testing.T) {
	// Each picture is one packet, so that all of them fit into the client's socket
	// while the client does not run.
	const size = 300
	start := startNumbers{videoSequence: 0xfff0, audioSequence: 0xfffe, videoTimestamp: 0xffff_fff0, audioTimestamp: 0xffff_fff0}
	s := newLiveOutput(t, func(cfg *OutputConfig) { cfg.start = &start })
	s.withoutRTX = true
	// 40 pictures, the first of them an IDR, come before any viewer.
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

	// The viewer sends a NACK for squeezed and live packets, across the wrap of sequence numbers.
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
	s := newLiveOutput(t, func(cfg *OutputConfig) { cfg.ConnectTimeout = 50 * time.Millisecond })
	pc, err := s.engine.NewViewerConnection(videoSelection(t))
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

// videoSelection returns the selection of an offer to receive a picture.
func videoSelection(t *testing.T) *sdpoffer.Selection {
	const offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:user\r\na=ice-pwd:passwordpasswordpassword\r\na=fingerprint:sha-256 AA\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 H264/90000\r\n" +
		"a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n"
	_, selection := selected(t, offer, webrtc.RTPTransceiverDirectionRecvonly)
	return selection
}

func TestOutputThatStoppedTakesNoViewers(t *testing.T) {
	s := &liveOutput{t: t, engine: newTestEngine(t, EngineConfig{Logger: slog.New(slog.DiscardHandler)}), started: time.Now()}
	o := NewOutput(OutputConfig{Now: s.now, Metrics: metrics.New(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Run(ctx); err != context.Canceled {
		t.Errorf("Run: %v", err)
	}
	pc, err := s.engine.NewViewerConnection(videoSelection(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := o.AddViewer(pc, ViewerConfig{Protocol: "test"}); err != ErrOutputClosed {
		t.Errorf("AddViewer: %v", err)
	}
}

// A throttle is a TCP proxy to the engine that can stop reading from the engine, like
// a viewer that no longer reads.
type throttle struct {
	listener net.Listener
	stopped  atomic.Bool
	rate     int // bytes per second; 0: no limit
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
			// The small window, set before the connection, lets the engine notice soon.
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
						return // without closing: the connection stays open and unread
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

// joinThrough connects a client over TCP through a throttle.
func (s *liveOutput) joinThrough(p *throttle) *pionClient {
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

// A viewer over TCP whose line takes half of the stream gets a part of each group of
// pictures, from the IDR on. It stays connected.
func TestAViewerOverASlowTCPLineSeesWhatTheLineTakes(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	s := newLiveOutput(t, nil)
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

// A viewer on ICE-TCP that stops reading changes nothing for other viewers.
func TestStalledTCPViewerChangesNothingForOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	const stall = 5 * time.Second
	s := newLiveOutput(t, func(cfg *OutputConfig) { cfg.StallTimeout = stall })
	proxy := newThrottle(t, s.engine.Addr().String(), 0)
	stalling := s.joinThrough(proxy)
	others := []*pionClient{s.join(webrtc.SettingEngine{}, nil), s.join(webrtc.SettingEngine{}, nil)}
	everybody := append([]*pionClient{stalling}, others...)

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
	if during > stall-time.Second { // a viewer that blocked others would block them until it is dropped
		t.Errorf("the others' video stood still for %s", during)
	}
	for i, p := range others {
		// Two things are not the server's fault on a busy machine: what the clients' sockets
		// lose, and a skip to an IDR after the server did not run for long.
		if dropped := p.viewer.Stats().Video.Dropped; dropped != 0 {
			t.Errorf("viewer %d: %d packets dropped", i, dropped)
		}
	}
}
