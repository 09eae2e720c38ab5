package mediatest

import (
	"embed"
	"fmt"
	"strings"
)

// An OfferShape gives the size of an offer in each part that a server may multiply.
type OfferShape struct {
	// Direction is the direction attribute of both sections. Default: recvonly.
	Direction string
	// Formats is the number of further formats of the audio section. They are numbered
	// from 0 on. With SameFormat, each has Opus's number.
	Formats    int
	SameFormat bool
	// Feedback is the number of rtcp-fb lines. They are for Opus, or with Wildcard for all formats.
	Feedback int
	Wildcard bool
	// The numbers of further lines of the audio section.
	Parameters, Extensions, SSRCs, RIDs, Candidates int
	// Sections is the number of further audio sections.
	Sections int
}

// Offer returns an SDP offer of H.264 video and Opus audio, as a browser makes it,
// with the additions of the shape.
func (s OfferShape) Offer() string {
	if s.Direction == "" {
		s.Direction = "recvonly"
	}
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n")
	const transport = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
		"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
	b.WriteString("m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\n" + transport + "a=mid:0\r\na=" + s.Direction + "\r\na=msid:s v\r\n" +
		"a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n" +
		"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f\r\n" +
		"a=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 transport-cc\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n" +
		"a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:1 cname:x\r\n")
	b.WriteString("m=audio 9 UDP/TLS/RTP/SAVPF 111")
	for i := range s.Formats {
		if s.SameFormat {
			i = 111
		}
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\n" + transport + "a=mid:1\r\na=" + s.Direction + "\r\na=rtpmap:111 opus/48000/2\r\na=msid:s a\r\n")
	feedback := "a=rtcp-fb:111 x\r\n"
	if s.Wildcard {
		feedback = "a=rtcp-fb:* x\r\n"
	}
	b.WriteString(strings.Repeat(feedback, s.Feedback))
	for _, lines := range []struct {
		n      int
		format string
	}{
		{s.Parameters, "a=fmtp:111 p=%d\r\n"},
		{s.Extensions, "a=extmap:%d urn:ietf:params:rtp-hdrext:sdes:mid\r\n"},
		{s.SSRCs, "a=ssrc:%d cname:x\r\n"},
		{s.RIDs, "a=rid:%d send\r\n"},
		{s.Candidates, "a=candidate:%d 1 udp 1 192.0.2.1 9 typ host\r\n"},
	} {
		for i := range lines.n {
			fmt.Fprintf(&b, lines.format, i+1)
		}
	}
	for i := range s.Sections {
		fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:m%d\r\na=rtpmap:111 opus/48000/2\r\na=%s\r\n", i, s.Direction)
	}
	return b.String()
}

// HostileOffers returns shapes of offers that multiply something. Without bounds they
// would cost a server very much.
func HostileOffers() []OfferShape {
	return []OfferShape{
		{SameFormat: true, Formats: 500, Feedback: 200},
		{SameFormat: true, Formats: 2000, Feedback: 500},
		{SameFormat: true, Formats: 6000, Feedback: 1500},
		{SameFormat: true, Formats: 14000, Feedback: 1000},
		{SameFormat: true, Formats: 480, Feedback: 32},
		{Formats: 128, Feedback: 2000, Wildcard: true},
		{Formats: 60, Feedback: 32, Wildcard: true},
		{Parameters: 2000},
		{Extensions: 1000},
		{SSRCs: 2000},
		{SSRCs: 60},
		{RIDs: 3000},
		{Candidates: 1000},
		{Candidates: 128},
		{Sections: 500},
		{Sections: 14, Candidates: 100, SSRCs: 60, Extensions: 60, Feedback: 30, Formats: 60},
	}
}

// RecordedOffer returns the offer of testdata/offers/NAME.sdp, which a real client has made. The
// offers gstreamer-… are of webrtcbin 1.22.0, with what whipsink, whipclientsink (retransmissions,
// error correction and transport-wide feedback) and whepsrc tell it.
func RecordedOffer(tb TB, name string) string {
	tb.Helper()
	text, err := recordedOffers.ReadFile("testdata/offers/" + name + ".sdp")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\n", "\r\n")
}

//go:embed testdata/offers
var recordedOffers embed.FS
