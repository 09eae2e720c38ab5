package whip

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An encoder is a WebRTC client that sends H.264 pictures and Opus packets.
type encoder struct {
	pc       *webrtc.PeerConnection
	location string
	etag     string
	answer   string

	video, audio           *webrtc.TrackLocalStaticRTP
	payloader              codecs.H264Payloader
	videoSeq, audioSeq     uint16
	videoOrigin, audioOrig uint32

	plis  atomic.Int32
	nacks atomic.Int32
	wg    sync.WaitGroup
}

type encoderOptions struct {
	noVideo, noAudio bool
	codec            string // video, default H.264
	dataChannel      bool
	network          *lossy
	interceptor      interceptor.Factory // one more, next to the network
	offer            func(string) string // changes the offer that is sent
	start            uint16              // first sequence numbers
	origin           uint32              // offset of timestamps
}

func newEncoder(t *testing.T, o encoderOptions) *encoder {
	t.Helper()
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	ir := &interceptor.Registry{}
	if o.interceptor != nil {
		ir.Add(o.interceptor)
	}
	if o.network != nil {
		ir.Add(o.network) // the first is next to the network
	}
	if err := webrtc.RegisterDefaultInterceptors(me, ir); err != nil {
		t.Fatal(err)
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(ir), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	e := &encoder{pc: pc, videoSeq: o.start, audioSeq: o.start, videoOrigin: o.origin, audioOrig: o.origin}
	t.Cleanup(e.close)
	if !o.noVideo {
		codec := o.codec
		if codec == "" {
			codec = webrtc.MimeTypeH264
		}
		e.video = e.track(t, webrtc.RTPCodecCapability{MimeType: codec, ClockRate: 90000}, "video")
	}
	if !o.noAudio {
		e.audio = e.track(t, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "audio")
	}
	if o.dataChannel {
		if _, err := pc.CreateDataChannel("x", nil); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (e *encoder) track(t *testing.T, c webrtc.RTPCodecCapability, name string) *webrtc.TrackLocalStaticRTP {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(c, name, "stream")
	if err != nil {
		t.Fatal(err)
	}
	transceiver, err := e.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	e.wg.Go(func() {
		for {
			packets, _, err := transceiver.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				switch p.(type) {
				case *rtcp.PictureLossIndication:
					e.plis.Add(1)
				case *rtcp.TransportLayerNack:
					e.nacks.Add(1)
				}
			}
		}
	})
	return track
}

func (e *encoder) close() {
	_ = e.pc.GracefulClose()
	e.wg.Wait()
}

// offer returns the local offer, with all candidates in it.
func (e *encoder) offer(t *testing.T) string {
	t.Helper()
	offer, err := e.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(e.pc)
	if err := e.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return e.pc.LocalDescription().SDP
}

// publish connects a new encoder.
func (s *testServer) publish(t *testing.T, path string, o encoderOptions, header ...string) *encoder {
	t.Helper()
	e := newEncoder(t, o)
	offer := e.offer(t)
	if o.offer != nil {
		offer = o.offer(offer)
	}
	res, body := s.do(t, http.MethodPost, path, sdpType, offer, header...)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %s: %s", path, res.Status, body)
	}
	e.accept(t, res, body)
	eventually.True(t, "connect", func() bool { return e.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	return e
}

func (e *encoder) accept(t *testing.T, res *http.Response, answer string) {
	t.Helper()
	e.location, e.etag, e.answer = res.Header.Get("Location"), res.Header.Get("ETag"), answer
	if err := e.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
}

// writeVideo sends one picture, captured at the given time.
func (e *encoder) writeVideo(at time.Duration, nalus [][]byte) {
	var annexB []byte
	for _, nalu := range nalus {
		annexB = append(append(annexB, 0, 0, 0, 1), nalu...)
	}
	payloads := e.payloader.Payload(1188, annexB)
	for i, payload := range payloads {
		_ = e.video.WriteRTP(&rtp.Packet{Header: rtp.Header{
			Version: 2, SequenceNumber: e.videoSeq, Marker: i == len(payloads)-1,
			Timestamp: e.videoOrigin + ticks(at, 90000),
		}, Payload: payload})
		e.videoSeq++
	}
}

// writeAudio sends one Opus packet of 20 ms.
func (e *encoder) writeAudio(at time.Duration) {
	_ = e.audio.WriteRTP(&rtp.Packet{Header: rtp.Header{
		Version: 2, SequenceNumber: e.audioSeq, Timestamp: e.audioOrig + ticks(at, 48000),
	}, Payload: []byte{0xfc, byte(e.audioSeq), 1, 2, 3}})
	e.audioSeq++
}

// play sends 50 pictures a second in real time, with audio, until all are sent or stop is closed.
func (e *encoder) play(pictures [][][]byte, stop <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i, picture := range pictures {
		at := time.Duration(i) * 20 * time.Millisecond
		if e.audio != nil {
			e.writeAudio(at)
		}
		if e.video != nil {
			e.writeVideo(at, picture)
		}
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// pictures returns the access units of a file made by ffmpeg, as NAL units.
func pictures(t *testing.T, spec mediatest.Spec) [][][]byte {
	t.Helper()
	spec.Container, spec.NoAudio = "h264", true
	data, err := os.ReadFile(mediatest.File(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	var out [][][]byte
	var current [][]byte
	slices := 0
	for _, nalu := range splitAnnexB(data) {
		first := isSlice(nalu[0]) && nalu[1]&0x80 != 0 // first_mb_in_slice is 0
		if slices > 0 && (first || !isSlice(nalu[0])) {
			out, current, slices = append(out, current), nil, 0
		}
		if isSlice(nalu[0]) {
			slices++
		}
		current = append(current, nalu)
	}
	return append(out, current)
}

func splitAnnexB(data []byte) (nalus [][]byte) {
	for part := range strings.SplitSeq(string(data), "\x00\x00\x01") {
		if part = strings.TrimRight(part, "\x00"); part != "" {
			nalus = append(nalus, []byte(part))
		}
	}
	return nalus
}

// slicesOf returns the NAL units that a stream passes on: all but parameter sets.
func slicesOf(picture [][]byte) (out [][]byte) {
	for _, nalu := range picture {
		if isSlice(nalu[0]) || nalu[0]&0x1f == 6 {
			out = append(out, nalu)
		}
	}
	return out
}

// sameNALUs reports whether a and b are equal. cmp.Diff takes minutes for a few megabytes.
func sameNALUs(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
