package whep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/whep"
)

// A server with one output, and a client that watches it by WHEP: one POST with an offer, one answer.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := newPlayback(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.close()
	packet, err := watch(ctx, server.url+"/live/whep/primary?backupStreamId=backup")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the first packet is of", packet)
	// Output: the first packet is of video/H264
}

// watch opens a WHEP session and returns the codec of the first packet that arrives.
func watch(ctx context.Context, url string) (string, error) {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	defer func() { _ = pc.GracefulClose() }()
	arrived := make(chan string, 1)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if _, _, err := track.ReadRTP(); err == nil {
			arrived <- track.Codec().MimeType
		}
	})
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		return "", err
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return "", err
	}
	<-gathered
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/sdp")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("refused: %s: %s", response.Status, answer)
	}
	// The client ends its session by DELETE of the URL in Location.
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}); err != nil {
		return "", err
	}
	select {
	case codec := <-arrived:
		return codec, nil
	case <-ctx.Done():
		return "", errors.New("no media came")
	}
}

// A playback serves one output by WHEP.
type playback struct {
	url   string
	close func()
}

// newPlayback serves an output that gets a picture every 20 ms until ctx ends.
func newPlayback(ctx context.Context) (*playback, error) {
	m, started := metrics.New(prometheus.NewRegistry()), time.Now()
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: "127.0.0.1:0", Metrics: m})
	if err != nil {
		return nil, err
	}
	now := func() time.Duration { return time.Since(started) }
	output := rtc.NewOutput(rtc.OutputConfig{Name: "example", Now: now, Metrics: m})
	running, stop := context.WithCancel(ctx)
	var media sync.WaitGroup
	media.Go(func() { _ = output.Run(running) })
	media.Go(func() { write(running, output, now) })
	handler := whep.NewHandler(whep.Config{
		Engine:  engine,
		Metrics: m,
		Open: func(netip.Prefix, string, string, string) (*rtc.Output, func(), error) {
			return output, func() {}, nil
		},
	})
	mux := http.NewServeMux()
	handler.Register(mux)
	server := httptest.NewServer(mux)
	return &playback{url: server.URL, close: func() {
		_ = handler.Shutdown(ctx)
		server.Close()
		stop()
		media.Wait()
		engine.Close()
	}}, nil
}

// write writes pictures into the output. They may come from failover.Pair or a stream;
// the output need not know.
func write(ctx context.Context, output *rtc.Output, now func() time.Duration) {
	format := &stream.Format{Codec: stream.H264, SPS: []byte{0x67, 0x64, 0, 0x1f, 1, 2, 3}, PPS: []byte{0x68, 1, 2}}
	for i := 0; ; i++ {
		const nonIDR, idr = 0x41, 0x65 // nal_unit_type 1 and 5, H.264 section 7.4.1
		picture := make([]byte, 2000)
		picture[0] = nonIDR
		if i%50 == 0 {
			picture[0] = idr
		}
		output.WriteVideo(now(), &stream.AccessUnit{Format: format, IDR: i%50 == 0, NALUs: [][]byte{picture}}, false)
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
