package whip

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A layerSender sends one layer of a simulcast.
type layerSender struct {
	rid       string
	track     *webrtc.TrackLocalStaticRTP
	pictures  [][][]byte
	payloader codecs.H264Payloader
	seq       uint16
	origin    uint32
	// named is how many of the next packets name the layer and the section.
	named  int
	paused atomic.Bool
}

// A simulcast is an encoder that sends the picture in several layers.
type simulcast struct {
	*encoder
	layers     []*layerSender
	mid, ridID uint8 // ids of the header extensions
}

// layerPictures returns the pictures of a layer, with an IDR each second.
func layerPictures(t *testing.T, width, height int) [][][]byte {
	spec := testPictures
	spec.Width, spec.Height = width, height
	return pictures(t, spec)
}

// newSimulcast returns an encoder that offers layers of these sizes, in their order.
// The first named packets of each layer name it.
func newSimulcast(t *testing.T, named int, sizes ...[2]int) *simulcast {
	t.Helper()
	s := &simulcast{encoder: newEncoder(t, encoderOptions{noVideo: true})}
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}
	var sender *webrtc.RTPSender
	for i, size := range sizes {
		rid := fmt.Sprint("r", size[0])
		track, err := webrtc.NewTrackLocalStaticRTP(capability, "video", "stream", webrtc.WithRTPStreamID(rid))
		if err != nil {
			t.Fatal(err)
		}
		if sender == nil {
			transceiver, err := s.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err != nil {
				t.Fatal(err)
			}
			sender = transceiver.Sender()
		} else if err := sender.AddEncoding(track); err != nil {
			t.Fatal(err)
		}
		s.layers = append(s.layers, &layerSender{
			rid: rid, track: track, pictures: layerPictures(t, size[0], size[1]), named: named, seq: uint16(1000 * i), origin: uint32(i) * 1 << 30,
		})
	}
	return s
}

// publish connects the encoder.
func (s *simulcast) publish(t *testing.T, server *testServer, change func(offer string) string) {
	t.Helper()
	offer := s.offer(t)
	if change != nil {
		offer = change(offer)
	}
	video := offer[strings.Index(offer, "m=video"):]
	for line := range strings.Lines(video) {
		value, ok := strings.CutPrefix(line, "a=extmap:")
		if !ok {
			continue
		}
		id, uri, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseUint(id, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		switch uri {
		case "urn:ietf:params:rtp-hdrext:sdes:mid":
			s.mid = uint8(n)
		case "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id":
			s.ridID = uint8(n)
		}
	}
	res, answer := server.do(t, http.MethodPost, "/live/whip/primary", sdpType, offer)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s\n%s", res.Status, answer, offer)
	}
	s.accept(t, res, answer)
	eventually.True(t, "connect", func() bool { return s.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

// play sends all layers that are not paused, 50 pictures a second, and sound, until stop is closed.
func (s *simulcast) play(stop <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		at := time.Duration(i) * 20 * time.Millisecond
		s.writeAudio(at)
		for _, l := range s.layers {
			if !l.paused.Load() {
				s.writeLayer(l, at, l.pictures[i%len(l.pictures)])
			}
		}
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

func (s *simulcast) writeLayer(l *layerSender, at time.Duration, nalus [][]byte) {
	var annexB []byte
	for _, nalu := range nalus {
		annexB = append(append(annexB, 0, 0, 0, 1), nalu...)
	}
	payloads := l.payloader.Payload(1100, annexB)
	for i, payload := range payloads {
		p := &rtp.Packet{Header: rtp.Header{
			Version: 2, SequenceNumber: l.seq, Marker: i == len(payloads)-1, Timestamp: l.origin + ticks(at, 90000),
		}, Payload: payload}
		if l.named > 0 { // browsers name it until the server has received it
			l.named--
			_ = p.SetExtension(s.mid, []byte("1"))
			_ = p.SetExtension(s.ridID, []byte(l.rid))
		}
		_ = l.track.WriteRTP(p)
		l.seq++
	}
}

// start plays until the test ends.
func (s *simulcast) start(t *testing.T) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.play(stop)
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// widths returns the widths of the published pictures. Equal widths in a row count once.
func widths(units []*stream.AccessUnit) (all []int) {
	for _, u := range units {
		if n := len(all); n == 0 || all[n-1] != u.Format.Width {
			all = append(all, u.Format.Width)
		}
	}
	return all
}

func TestAllLayersAreTakenAndTheHighestIsShown(t *testing.T) {
	const named = 30 // packets of each layer that name it
	for name, test := range map[string]struct {
		sizes   [][2]int
		offer   func(string) string
		unnamed bool
	}{
		"no packet names its layer":        {sizes: [][2]int{{160, 90}, {640, 360}}, unnamed: true},
		"the highest first, as OBS offers": {sizes: [][2]int{{640, 360}, {320, 180}, {160, 90}}},
		"the lowest first":                 {sizes: [][2]int{{160, 90}, {320, 180}, {640, 360}}},
		"without SSRCs, as browsers offer": {sizes: [][2]int{{160, 90}, {320, 180}, {640, 360}}, offer: withoutLines("a=ssrc")},
		"with one SSRC":                    {sizes: [][2]int{{640, 360}, {160, 90}}, offer: withOneSSRC},
	} {
		t.Run(name, func(t *testing.T) {
			server := newTestServer(t, nil)
			got := collect(t, server.registry.Stream(primary))
			s := newSimulcast(t, named, test.sizes...)
			for _, l := range s.layers {
				if test.unnamed {
					l.named = 0
				}
			}
			s.publish(t, server, test.offer)
			var rids []string
			for _, l := range s.layers {
				rids = append(rids, l.rid)
				if !strings.Contains(s.answer, "a=rid:"+l.rid+" recv\r\n") {
					t.Errorf("the answer does not take %s", l.rid)
				}
			}
			if !strings.Contains(s.answer, "a=simulcast:recv "+strings.Join(rids, ";")+"\r\n") {
				t.Errorf("the answer does not take all layers:\n%s", s.answer)
			}
			s.start(t)
			eventually.True(t, "pictures", func() bool { return len(got.of(stream.Video)) > 150 })
			if w := widths(got.of(stream.Video)); !slices.Equal(w, []int{640}) {
				t.Errorf("pictures are %v wide, want 640 alone", w)
			}
			if len(got.of(stream.Audio)) == 0 {
				t.Error("no sound")
			}
		})
	}
}

func TestTheNextLayerStandsInForOneThatStops(t *testing.T) {
	server := newTestServer(t, nil)
	got := collect(t, server.registry.Stream(primary))
	s := newSimulcast(t, 30, [2]int{640, 360}, [2]int{320, 180}, [2]int{160, 90})
	s.publish(t, server, nil)
	s.start(t)
	isShown := func(width int) func() bool {
		return func() bool {
			v := got.of(stream.Video)
			return len(v) > 0 && v[len(v)-1].Format.Width == width
		}
	}
	eventually.True(t, "the highest layer", isShown(640))
	s.layers[0].paused.Store(true)
	eventually.True(t, "the next layer", isShown(320))
	s.layers[0].paused.Store(false)
	back := server.registry.Now()
	eventually.True(t, "the highest layer again", isShown(640))
	if took := server.registry.Now() - back; took < layerTrial {
		t.Errorf("it is shown again after %v, want %v of flow", took, layerTrial)
	}
	video := got.of(stream.Video)
	if w := widths(video); !slices.Equal(w, []int{640, 320, 640}) {
		t.Errorf("pictures are %v wide, want 640, 320, 640", w)
	}
	for i := 1; i < len(video); i++ {
		if video[i].Format.Width != video[i-1].Format.Width && !video[i].IDR {
			t.Error("a layer does not begin with an IDR")
		}
		if video[i].PTS <= video[i-1].PTS {
			t.Errorf("a picture of %v after one of %v", video[i].PTS, video[i-1].PTS)
		}
	}
}

// withoutLines removes the lines of an offer that begin with any of the prefixes.
func withoutLines(prefixes ...string) func(string) string {
	return func(offer string) string {
		var b strings.Builder
		for line := range strings.Lines(offer) {
			if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
}

// withOneSSRC names only the first layer's SSRC, as OBS does.
func withOneSSRC(offer string) string {
	offer = withoutLines("a=ssrc")(offer)
	return strings.Replace(offer, "a=rid:", "a=ssrc:1002 cname:x\r\na=rid:", 1)
}

// An offer need not name the SSRCs of its packets. It may even name wrong ones.
func TestTracksArriveWhateverTheOfferSaysOfSSRCs(t *testing.T) {
	all := pictures(t, testPictures)[:60]
	for name, change := range map[string]func(string) string{
		"as they are":                   nil,
		"none":                          withoutLines("a=ssrc"),
		"none, and no MID":              withoutLines("a=ssrc", "a=extmap:"),
		"none, and no extension at all": withoutLines("a=ssrc", "a=extmap", "a=msid"),
		"others than those that come": func(offer string) string {
			var b strings.Builder
			for line := range strings.Lines(offer) {
				if strings.HasPrefix(line, "a=ssrc:") {
					line = "a=ssrc:4242 cname:x\r\n"
				}
				b.WriteString(line)
			}
			return b.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, nil)
			got := collect(t, s.registry.Stream(primary))
			e := s.publish(t, "/live/whip/primary", encoderOptions{offer: change})
			e.play(all, nil)
			eventually.True(t, "pictures and sound", func() bool {
				return len(got.of(stream.Video)) >= len(all) && len(got.of(stream.Audio)) >= len(all)
			})
			checkPictures(t, all, got.of(stream.Video), 20*time.Millisecond)
		})
	}
}

// FFmpeg 8 is the DTLS server unless told otherwise. It offers a BUNDLE of two
// sections even when it has one.
func TestPublisherMayBeTheDTLSServer(t *testing.T) {
	all := pictures(t, testPictures)[:60]
	for name, o := range map[string]encoderOptions{
		"in each section": {offer: func(offer string) string { return strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:passive") }},
		"for the session": {offer: func(offer string) string {
			offer = withoutLines("a=setup:")(offer)
			return strings.Replace(offer, "t=0 0\r\n", "t=0 0\r\na=setup:passive\r\n", 1)
		}},
		"video alone, in a BUNDLE of two": {noAudio: true, offer: func(offer string) string {
			offer = strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:passive")
			return strings.Replace(offer, "a=group:BUNDLE 0\r\n", "a=group:BUNDLE 7 0\r\n", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, nil)
			got := collect(t, s.registry.Stream(primary))
			e := s.publish(t, "/live/whip/primary", o)
			if !strings.Contains(e.answer, "a=setup:active\r\n") || strings.Contains(e.answer, "a=setup:passive") {
				t.Errorf("the answer does not take the other part:\n%s", e.answer)
			}
			e.play(all, nil)
			eventually.True(t, "pictures", func() bool { return len(got.of(stream.Video)) >= len(all) })
		})
	}
}
