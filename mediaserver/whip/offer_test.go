package whip

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// chromiumOffer is the offer of Chromium 156 for a camera and a microphone, with only
// the formats that are needed here.
const chromiumOffer = `v=0
o=- 4611686018427387904 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS stream
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Ab+/
a=ice-pwd:0123456789012345678901
a=ice-options:trickle
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:0
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:stream audio
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=ssrc:1001 cname:x
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 39 40
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Ab+/
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF
a=setup:actpass
a=mid:1
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=sendonly
a=msid:stream video
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:103 H264/90000
a=rtcp-fb:103 nack
a=rtcp-fb:103 nack pli
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;sprop-parameter-sets=Z0LAH9oBQBbpqCgoKCA=,aM48gA==
a=rtpmap:104 rtx/90000
a=fmtp:104 apt=103
a=rtpmap:107 H264/90000
a=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=64001f
a=rid:hi send
a=rid:lo send
a=simulcast:send hi;lo
`

func TestParseOffer(t *testing.T) {
	o, r := parseOffer(strings.ReplaceAll(chromiumOffer, "\n", "\r\n"))
	if r != nil {
		t.Fatal(r.Message)
	}
	if !slices.Equal(o.ufrags, []string{"Ab+/"}) || o.opus == nil || o.opus.PayloadType != 111 || len(o.codecs) != 2 || o.codecs[0].PayloadType != 103 {
		t.Errorf("got %+v", o)
	}
	if sps, pps := o.tracks.sps, o.tracks.pps; len(sps) == 0 || sps[0] != 0x67 || len(pps) == 0 || pps[0] != 0x68 {
		t.Errorf("parameter sets %x %x", sps, pps)
	}
	if diff := cmp.Diff([]string{"hi", "lo"}, o.tracks.rids); diff != "" || o.tracks.ridExtension != 10 {
		t.Errorf("layers by extension %d: %s", o.tracks.ridExtension, diff)
	}
	if diff := cmp.Diff([]uint32{1001}, o.tracks.audioSSRCs); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(o.selection.SDP(), "simulcast") || strings.Contains(o.selection.SDP(), "a=rid") {
		t.Error("simulcast was left in")
	}
}

func TestStereoIsAskedForOnce(t *testing.T) {
	opus := &webrtc.RTPCodecParameters{PayloadType: 111}
	for in, want := range map[string]string{
		"a=fmtp:111 minptime=10\r\n":                         "a=fmtp:111 minptime=10;stereo=1\r\n",
		"a=fmtp:111 minptime=10;stereo=0;sprop-stereo=1\r\n": "a=fmtp:111 minptime=10;stereo=0;sprop-stereo=1\r\n",
		"a=fmtp:111 sprop-stereo=1\r\n":                      "a=fmtp:111 sprop-stereo=1;stereo=1\r\n",
		"a=fmtp:96 x=1\r\n":                                  "a=fmtp:96 x=1\r\n",
	} {
		if diff := cmp.Diff(want, withStereo(in, opus)); diff != "" {
			t.Error(diff)
		}
	}
}

// No offer may make the parser fail. A refusal is one sentence.
func FuzzOffer(f *testing.F) {
	f.Add(chromiumOffer)
	f.Add(strings.ReplaceAll(chromiumOffer, "\n", "\r\n"))
	f.Add("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 X 96\r\na=rtpmap:96 H264\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		o, r := parseOffer(body)
		if r == nil && (len(o.codecs) == 0 || len(o.ufrags) == 0 || o.ufrags[0] == "") {
			t.Fatalf("accepted as %+v", o)
		}
		if r != nil && (r.Message == "" || r.Reason == "" || r.Status < 400) {
			t.Fatalf("refused as %+v", r)
		}
	})
}

// With B-frames, RTP gives presentation times only, in decoding order.
func TestDecodingTimesIncrease(t *testing.T) {
	var d decodeOrder
	last := time.Duration(-1)
	for _, frame := range []int{0, 3, 1, 2, 6, 4, 5, 9, 7, 8} {
		pts := time.Second + time.Duration(frame)*40*ms
		dts := d.dts(pts, unit{nalus: [][]byte{{0x41, 0x9a}}})
		if dts <= last {
			t.Fatalf("%v after %v", dts, last)
		}
		last = dts
	}
}

// By RFC 6184 such a format means packetization-mode 0, whose packets are a subset of
// those of mode 1.
func TestH264WithoutParametersIsTaken(t *testing.T) {
	offer := strings.ReplaceAll(mediatest.OfferShape{Direction: "sendonly"}.Offer(), "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f\r\n", "")
	negotiate, _ := negotiating(t)
	e := negotiate(t, offer, "")
	if e.refused != 0 {
		t.Fatal(e.message)
	}
	if !strings.Contains(e.answer, "m=video 9 UDP/TLS/RTP/SAVPF 102\r\n") || strings.Contains(e.answer, "a=fmtp:102") {
		t.Errorf("the answer is\n%s", e.answer)
	}
}
