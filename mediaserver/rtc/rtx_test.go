package rtc

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
)

const (
	rtxSSRC = 2001
	rtxPT   = 97
)

// takesRTX makes a viewer one that takes retransmissions, whose numbers soon wrap.
func takesRTX(v *Viewer) {
	v.video.rtx = rtxStream{rtpStream{rtxSSRC, rtxPT}, 0xfffe}
}

// original returns the packet that a retransmission repeats.
func original(p rtp.Packet) rtp.Packet {
	p.SSRC, p.PayloadType, p.SequenceNumber = videoSSRC, videoPT, binary.BigEndian.Uint16(p.Payload)
	p.Payload = p.Payload[osnSize:]
	return p
}

func TestNACKIsAnsweredByRTX(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(40, true, 900)
	v, w := b.viewer()
	takesRTX(v)
	b.serve(v)
	b.write(5, false, 900)
	b.serve(v)
	packets, counted := w.take(videoSSRC), v.Stats().Video.Packets
	for n, i := range []int{0, 1, 20, 40, 45} { // squeezed and live packets
		v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: packets[i].SequenceNumber}}})
		again := w.take(rtxSSRC)
		if len(again) != 1 || again[0].PayloadType != rtxPT || again[0].SequenceNumber != uint16(0xfffe+n) {
			t.Fatalf("packet %d: sent again as %v", i, again)
		}
		if diff := cmp.Diff(packets[i], original(again[0])); diff != "" {
			t.Errorf("packet %d: %s", i, diff)
		}
	}
	// Nobody asks for a retransmission by its own number (RFC 4588 section 6.3).
	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: rtxSSRC, Nacks: []rtcp.NackPair{{PacketID: 0xfffe}}})
	if again := append(w.take(rtxSSRC), w.take(videoSSRC)...); len(again) != 0 {
		t.Errorf("%d packets more", len(again))
	}
	if s := v.Stats().Video; s.Resent != 5 || s.Packets != counted {
		t.Errorf("%d sent again, and %d counted in the stream; want 5 and %d", s.Resent, s.Packets, counted)
	}
}

func TestRetransmissionsAreLimited(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(400, true, 1000)
	v, w := b.viewer()
	takesRTX(v)
	b.drain(v)
	for _, p := range w.take(videoSSRC) {
		v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: p.SequenceNumber}}})
	}
	bytes := 0
	for _, p := range w.take(rtxSSRC) {
		bytes += len(p.Payload)
	}
	if bytes < nackBurst/2 || bytes > nackBurst+2000 {
		t.Errorf("%d bytes sent again at once, limit %d", bytes, nackBurst)
	}
}

func TestPicturesThatWereSentTwiceAreRepairedByRTX(t *testing.T) {
	b := newOutputTest(t, nil)
	b.write(20, true, 100)
	v, w := b.viewer()
	takesRTX(v)
	b.serve(v)
	packets := w.take(videoSSRC)
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC})
	b.write(1, false, 100)
	b.serve(v)
	again := w.take(videoSSRC)
	if len(again) != 22 {
		t.Fatalf("%d packets, want parameter sets and 21 pictures", len(again))
	}
	v.feedbackOn(v.video, &rtcp.PictureLossIndication{MediaSSRC: videoSSRC}) // too soon
	v.feedbackOn(v.video, &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{
		{PacketID: packets[5].SequenceNumber}, {PacketID: again[5].SequenceNumber},
	}})
	repaired := w.take(rtxSSRC)
	if len(repaired) != 2 {
		t.Fatalf("%d packets, want 2", len(repaired))
	}
	if diff := cmp.Diff([]rtp.Packet{packets[5], again[5]}, []rtp.Packet{original(repaired[0]), original(repaired[1])}); diff != "" {
		t.Error(diff)
	}
	b.write(1, false, 100)
	b.serve(v)
	if got := w.take(videoSSRC); len(got) != 1 {
		t.Errorf("%d packets, want the live one only", len(got))
	}
}

func TestOfferedRTX(t *testing.T) {
	format := func(payloadType webrtc.PayloadType, name string, rate uint32, parameters string) webrtc.RTPCodecParameters {
		return webrtc.RTPCodecParameters{PayloadType: payloadType, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/" + name, ClockRate: rate, SDPFmtpLine: parameters}}
	}
	h264 := format(102, "H264", videoClockRate, "packetization-mode=1")
	for _, test := range []struct {
		name    string
		formats []webrtc.RTPCodecParameters
		want    webrtc.PayloadType
	}{
		{"none", []webrtc.RTPCodecParameters{h264}, 0},
		{"of another format", []webrtc.RTPCodecParameters{h264, format(97, "rtx", videoClockRate, "apt=96")}, 0},
		{"of this format", []webrtc.RTPCodecParameters{format(97, "rtx", videoClockRate, "apt=96"), format(103, "RTX", videoClockRate, "rtx-time=200; APT=102"), h264}, 103},
		{"of another rate", []webrtc.RTPCodecParameters{h264, format(103, "rtx", 8000, "apt=102")}, 0},
		{"two of them", []webrtc.RTPCodecParameters{format(103, "rtx", videoClockRate, "apt=102"), format(104, "rtx", videoClockRate, "apt=102")}, 103},
	} {
		if got, ok := offeredRTX(test.formats, h264); got != test.want || ok != (test.want != 0) {
			t.Errorf("%s: payload type %d, %v; want %d", test.name, got, ok, test.want)
		}
	}
}

// TestPionTakesRetransmissions shows that a client finds the retransmissions by the answer.
func TestPionTakesRetransmissions(t *testing.T) {
	s := newLiveOutput(t, nil)
	p := s.join(webrtc.SettingEngine{}, nil)
	for _, want := range []string{" rtx/90000\r\n", "a=ssrc-group:FID "} {
		if !strings.Contains(p.answer, want) {
			t.Errorf("no %q in the answer", want)
		}
	}
	s.output.WriteVideo(s.now(), testPicture(true, 3000), false)
	p.wait(t, "a picture", func() bool { return len(p.video) == 4 })
	lost := p.video[2]
	if err := p.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: lost.SSRC, Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber}}}}); err != nil {
		t.Fatal(err)
	}
	// pion gives a retransmission out when the next packet has come.
	var again rtp.Packet
	eventually.True(t, "the packet comes by RTX", func() bool {
		s.output.WriteVideo(s.now(), testPicture(false, 100), false)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, packet := range p.video[4:] {
			if packet.SequenceNumber == lost.SequenceNumber {
				again = packet
			}
		}
		return p.repaired == 1
	})
	if again.SequenceNumber != lost.SequenceNumber || again.SSRC != lost.SSRC || string(again.Payload) != string(lost.Payload) {
		t.Errorf("%v is not %v", again.Header, lost.Header)
	}
}
