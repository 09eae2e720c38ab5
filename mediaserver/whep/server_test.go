package whep

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/stream"
)

// limit is how long a test waits for anything before it fails.
const limit = 20 * time.Second

// A server is a Handler over HTTP with one running Output.
type server struct {
	t        *testing.T
	handler  *Handler
	output   *rtc.Output
	http     *httptest.Server
	released atomic.Int32
	started  time.Time
}

func (s *server) now() time.Duration { return time.Since(s.started) }

func newServer(t *testing.T, change func(*Config)) *server {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.DiscardHandler)
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: "127.0.0.1:0", Logger: log, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, started: time.Now()}
	s.output = rtc.NewOutput(rtc.OutputConfig{Name: "test", Now: s.now, Logger: log, Metrics: m})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = s.output.Run(ctx)
	}()
	cfg := Config{
		Engine: engine,
		Open: func(netip.Prefix, string, string, string) (*rtc.Output, func(), error) {
			return s.output, func() { s.released.Add(1) }, nil
		},
		Logger:  log,
		Metrics: m,
	}
	if change != nil {
		change(&cfg)
	}
	s.handler = NewHandler(cfg)
	mux := http.NewServeMux()
	s.handler.Register(mux)
	s.http = httptest.NewServer(mux)
	t.Cleanup(func() {
		limited, stop := context.WithTimeout(context.Background(), limit)
		defer stop()
		if err := s.handler.Shutdown(limited); err != nil {
			t.Errorf("shut down: %v", err)
		}
		cancel()
		<-stopped
		s.http.Close()
		engine.Close()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	return s
}

// do makes a request and returns the response with its body read.
func (s *server) do(method, path, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = s.http.URL + path
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(b)
}

const sdpType = "application/sdp"

// post opens a session.
func (s *server) post(path, offer string, header ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do("POST", path, offer, append([]string{"Content-Type", sdpType}, header...)...)
}

// newClient returns a client that offers to receive the given kinds, like a browser.
func newClient(t *testing.T, kinds ...webrtc.RTPCodecType) (*webrtc.PeerConnection, string) {
	t.Helper()
	pc := newAnswerer(t, nil)
	for _, kind := range kinds {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc, pc.LocalDescription().SDP
}

// newAnswerer returns a client that has not offered anything. me has its formats; nil: all that pion has.
func newAnswerer(t *testing.T, me *webrtc.MediaEngine) *webrtc.PeerConnection {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.LoggerFactory = nil
	if me == nil {
		me = &webrtc.MediaEngine{}
		if err := me.RegisterDefaultCodecs(); err != nil {
			t.Fatal(err)
		}
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

const (
	video = webrtc.RTPCodecTypeVideo
	audio = webrtc.RTPCodecTypeAudio
)

// An arrival is a packet of one of the client's tracks.
type arrival struct {
	kind     webrtc.RTPCodecType
	streamID string
	packet   *rtp.Packet
}

// arrivalsOf returns the packets of the client's tracks.
func arrivalsOf(pc *webrtc.PeerConnection) <-chan arrival {
	arrivals := make(chan arrival, 1000)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case arrivals <- arrival{track.Kind(), track.StreamID(), p}:
			default:
			}
		}
	})
	return arrivals
}

// receive makes the client connect and returns the packets that arrive.
func receive(t *testing.T, pc *webrtc.PeerConnection, answer string) <-chan arrival {
	t.Helper()
	arrivals := arrivalsOf(pc)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	return arrivals
}

// play writes 30 pictures and 50 audio frames a second until the test ends.
func (s *server) play() {
	format := &stream.Format{Codec: stream.H264, SPS: []byte{0x67, 0x64, 0, 0x1f, 1, 2, 3}, PPS: []byte{0x68, 1, 2}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			now := s.now()
			header := byte(0x41)
			if i%50 == 0 {
				header = 0x65
			}
			picture := make([]byte, 2000)
			picture[0] = header
			s.output.WriteVideo(now, &stream.AccessUnit{Format: format, IDR: i%50 == 0, NALUs: [][]byte{picture}}, false)
			s.output.WriteOpus(now, 20*time.Millisecond, []byte{0xfc, 1, 2})
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	s.t.Cleanup(func() {
		close(stop)
		<-stopped
	})
}

// await returns the first arrival of each kind.
func await(t *testing.T, arrivals <-chan arrival, kinds ...webrtc.RTPCodecType) map[webrtc.RTPCodecType]arrival {
	t.Helper()
	got := map[webrtc.RTPCodecType]arrival{}
	timeout := time.After(limit)
	for len(got) < len(kinds) {
		select {
		case a := <-arrivals:
			if _, ok := got[a.kind]; !ok {
				got[a.kind] = a
			}
		case <-timeout:
			t.Fatalf("only %d of %d tracks have packets after %s", len(got), len(kinds), limit)
		}
	}
	return got
}
