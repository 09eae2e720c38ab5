package rtc

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/stream"
)

const frameInterval = time.Second / 30

// testFormat is the format of testPicture's pictures. Its parameter sets fill a packet together, so
// that no picture is in that packet.
var testFormat = &stream.Format{Codec: stream.H264, SPS: nalu(0x67, defaultPacketSize-rtpHeaderSize-10), PPS: nalu(0x68, 5)}

// testPicture returns a picture of that many bytes.
func testPicture(idr bool, size int) *stream.AccessUnit {
	header := byte(0x41)
	if idr {
		header = 0x65
	}
	return &stream.AccessUnit{Kind: stream.Video, Format: testFormat, IDR: idr, NALUs: [][]byte{nalu(header, size)}}
}

// A fakePeer is the far end of a viewer without a network. It is the viewer's
// peer.
type fakePeer struct {
	mu      sync.Mutex
	packets []rtp.Packet
	reports []rtcp.Packet
	closed  int
	written bool // since the last Flush
	lost    int  // what the next Flush returns if something was written
	// fail returns the result of writing a packet, if it is not nil.
	fail func(h *rtp.Header) (int, error)
}

func (w *fakePeer) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		if n, err := w.fail(h); n == 0 {
			return n, err
		}
	}
	w.written = true
	w.packets = append(w.packets, rtp.Packet{Header: *h, Payload: slices.Clone(payload)})
	return len(payload), nil
}

// Flush implements peer. A fakePeer keeps nothing back.
func (w *fakePeer) Flush() (lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written {
		lost, w.lost, w.written = w.lost, 0, false
	}
	return lost
}

func (w *fakePeer) WriteRTCP(packets []rtcp.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, packets...)
	return nil
}

func (w *fakePeer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
	return nil
}

// take returns what has arrived on a track since the last call.
func (w *fakePeer) take(ssrc uint32) []rtp.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	var taken []rtp.Packet
	w.packets = slices.DeleteFunc(w.packets, func(p rtp.Packet) bool {
		if p.SSRC == ssrc {
			taken = append(taken, p)
		}
		return p.SSRC == ssrc
	})
	return taken
}

const (
	videoSSRC, audioSSRC = 1001, 1002
	videoPT, audioPT     = 96, 111
)

// An outputTest is an Output on a clock that the test moves.
type outputTest struct {
	t   *testing.T
	o   *Output
	now time.Duration
	// at is the next picture's time.
	at    time.Duration
	asked int
	// askable reports whether the source obeys RequestIDR.
	askable bool
	// silent reports whether viewers send nothing.
	silent bool
}

func newOutputTest(t *testing.T, change func(*OutputConfig)) *outputTest {
	b := &outputTest{t: t}
	cfg := OutputConfig{
		Name:       "test",
		Now:        func() time.Duration { return b.now },
		RequestIDR: func() bool { b.asked++; return b.askable },
		Metrics:    metrics.New(prometheus.NewRegistry()),
		Logger:     slog.New(slog.DiscardHandler),
		start:      &startNumbers{},
	}
	if change != nil {
		change(&cfg)
	}
	b.o = NewOutput(cfg)
	return b
}

// write writes n pictures of one size at 30 per second. idr makes the first one an IDR.
func (b *outputTest) write(n int, idr bool, size int) {
	for i := range n {
		b.at += frameInterval
		b.now = max(b.now, b.at)
		b.o.WriteVideo(b.at, testPicture(idr && i == 0, size), false)
	}
}

// viewer adds a connected viewer.
func (b *outputTest) viewer() (*Viewer, *fakePeer) {
	b.t.Helper()
	w := &fakePeer{}
	v := &Viewer{output: b.o, cfg: ViewerConfig{ID: "v", Protocol: "test"}, log: b.o.log, peer: w, path: newPath(overUDP), since: time.Now(), done: make(chan struct{})}
	v.path.now = b.o.cfg.Now
	v.connectTimer = time.AfterFunc(time.Hour, func() {})
	v.video, v.audio = b.o.newTrack(v, webrtc.RTPCodecTypeVideo), b.o.newTrack(v, webrtc.RTPCodecTypeAudio)
	v.video.ssrc, v.video.payloadType = videoSSRC, videoPT
	v.audio.ssrc, v.audio.payloadType = audioSSRC, audioPT
	if err := b.o.attach(v); err != nil {
		b.t.Fatal(err)
	}
	v.connect()
	return v, w
}

// serve serves a viewer once, without waiting.
func (b *outputTest) serve(v *Viewer) time.Duration {
	if !b.silent {
		v.path.heardAt.Store(int64(b.now))
	}
	return v.serve(b.now, make([]packet, 32))
}

// drain serves a viewer until pacing no longer holds anything back. It returns how long that took.
func (b *outputTest) drain(v *Viewer) time.Duration {
	from := b.now
	for range 10_000 {
		if b.serve(v) > pacingInterval {
			return b.now - from
		}
		b.now += pacingInterval
	}
	b.t.Fatal("a viewer is paced for ever")
	return 0
}

// follows checks that packets continue each other. Sequence numbers have no gap.
// Timestamps change only after a marker and never decrease.
func follows(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		a, b := packets[i-1].Header, packets[i].Header
		if b.SequenceNumber != a.SequenceNumber+1 {
			t.Errorf("packet %d: sequence number %d follows %d", i, b.SequenceNumber, a.SequenceNumber)
		}
		step := int32(b.Timestamp - a.Timestamp)
		if a.Marker && step < 1 || !a.Marker && step != 0 {
			t.Errorf("packet %d: timestamp %d follows %d, marker %v", i, b.Timestamp, a.Timestamp, a.Marker)
		}
		if b.SSRC != a.SSRC || b.PayloadType != a.PayloadType {
			t.Errorf("packet %d: another SSRC or payload type", i)
		}
	}
}

// startsPicture reports whether a decoder can begin with the packet.
func startsPicture(p rtp.Packet) bool {
	return len(p.Payload) > 0 && p.Payload[0]&naluTypeMask == naluTypeSTAPA
}

// selected reads the offer of a client that sends or receives. It returns the offered
// formats, and the selection for Engine.Answer.
func selected(t testing.TB, text string, client webrtc.RTPTransceiverDirection) ([]webrtc.RTPCodecParameters, *sdpoffer.Selection) {
	t.Helper()
	offer, err := sdpoffer.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var codecs []webrtc.RTPCodecParameters
	var choices []sdpoffer.Choice
	for i, section := range offer.Sections {
		if codec, ok := AnswerFormat(section.Kind, section.Formats); ok {
			codecs = append(codecs, codec)
			choice, _ := ViewerChoice(i, section.Kind, section.Formats)
			if client != webrtc.RTPTransceiverDirectionRecvonly {
				choice = sdpoffer.Choice{Section: i, Format: codec, Direction: client}
			}
			choices = append(choices, choice)
		}
	}
	selection, err := offer.Select(choices...)
	if err != nil {
		t.Fatal(err)
	}
	return codecs, selection
}

// overUDP finds no connection, because every viewer of an outputTest is on UDP.
func overUDP(netip.AddrPort) connection { return nil }
