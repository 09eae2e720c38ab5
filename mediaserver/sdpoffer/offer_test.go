package sdpoffer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
)

const (
	recvonly = webrtc.RTPTransceiverDirectionRecvonly
	sendonly = webrtc.RTPTransceiverDirectionSendonly
)

// session begins an offer with a transport for all sections.
const session = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic:WMS *\r\n" + transport

const transport = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA:BB\r\n"

// video and audio are sections as Chromium writes them, with only the lines that are needed here.
const (
	video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 102 096 300\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n" +
		"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
		"a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=64001f\r\na=fmtp:102 second=1\r\n" +
		"a=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 transport-cc\r\na=rtcp-fb:* ccm fir\r\n" +
		"a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:2 urn:ietf:params:rtp-hdrext:toffset\r\n" +
		"a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
		"a=msid:s v\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=rid:hi send\r\na=simulcast:send hi\r\n" +
		"a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=candidate:2 1 udp 2130706431 name.local 5000 typ host\r\n" +
		"a=candidate:3 1 udp 2130706431 attacker.invalid 5000 typ host\r\na=candidate:4 1 udp 2130706431 name.example.org 5000 typ host\r\n"
	audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n"
	data  = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n"
)

func parsed(t *testing.T, text string) *Offer {
	t.Helper()
	o, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// choose returns choices of the last format of each of the given sections.
func choose(o *Offer, d webrtc.RTPTransceiverDirection, sections ...int) []Choice {
	var choices []Choice
	for _, i := range sections {
		formats := o.Sections[i].Formats
		choices = append(choices, Choice{Section: i, Format: formats[len(formats)-1], Direction: d})
	}
	return choices
}

func TestParse(t *testing.T) {
	o := parsed(t, session+video+strings.Replace(audio, "a=mid:1", "a=mid:1\r\na=recvonly", 1)+"m=audio 0 RTP/AVP 111\r\na=inactive\r\n"+"m=video 0 RTP/AVP 111\r\na=bundle-only\r\n")
	type section struct {
		Kind            string
		Used            bool
		Sends, Receives bool
		Formats         []string
	}
	var got []section
	for _, s := range o.Sections {
		one := section{s.Kind, s.Used, s.Sends(), s.Receives(), nil}
		for _, f := range s.Formats {
			one.Formats = append(one.Formats, fmt.Sprintf("%d %s/%d/%d %s", f.PayloadType, f.MimeType, f.ClockRate, f.Channels, f.SDPFmtpLine))
		}
		got = append(got, one)
	}
	want := []section{
		{"video", true, true, true, []string{
			"96 video/VP8/90000/0 ", "97 video/rtx/90000/0 apt=96", "102 video/H264/90000/0 packetization-mode=1;profile-level-id=64001f",
		}},
		{"audio", true, false, true, []string{"111 audio/opus/48000/2 useinbandfec=1"}},
		{"audio", false, false, false, nil},
		{"video", true, true, true, nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"abcd"}, o.Ufrags()); diff != "" {
		t.Error(diff)
	}
}

func TestDirectionOfTheSessionIsInherited(t *testing.T) {
	o := parsed(t, session+"a=recvonly\r\n"+audio)
	if o.Sections[0].Direction != recvonly {
		t.Errorf("direction %v", o.Sections[0].Direction)
	}
}

func TestPionIsGivenOnlyWhatWasSelected(t *testing.T) {
	o := parsed(t, session+video+audio+data)
	s, err := o.Select(choose(o, sendonly, 0, 1)...)
	if err != nil {
		t.Fatal(err)
	}
	want := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n" + transport +
		"m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\na=setup:active\r\n" +
		"a=fmtp:102 packetization-mode=1;profile-level-id=64001f\r\na=fmtp:102 second=1\r\n" +
		"a=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 transport-cc\r\na=rtcp-fb:* ccm fir\r\n" +
		"a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
		"a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=setup:active\r\na=fmtp:111 useinbandfec=1\r\n"
	if diff := cmp.Diff(want, s.SDP()); diff != "" {
		t.Error(diff)
	}
}

func TestTransport(t *testing.T) {
	const bare = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
	credentials := func(ufrag string) string { return strings.Replace(transport, "abcd", ufrag, 1) }
	for _, test := range []struct {
		name, offer string
		sections    []int
		want        string // the ufrag, or the error
	}{
		{"of the section", bare + "a=group:BUNDLE 0\r\n" + audio + credentials("sect"), []int{0}, "a=ice-ufrag:sect"},
		{"of the section before that of the session", bare + credentials("sess") + audio + credentials("sect"), []int{0}, "a=ice-ufrag:sect"},
		{"of the group's first section", bare + "a=group:BUNDLE 1 0\r\n" + video + credentials("zero") + audio + credentials("oooo"), []int{0, 1}, "a=ice-ufrag:oooo"},
		{"of the group's first section, although it is rejected", bare + "a=group:BUNDLE 2 1\r\n" + data + credentials("data") + audio, []int{1}, "a=ice-ufrag:data"},
		{"one section without a group", bare + audio + credentials("sect"), []int{0}, "a=ice-ufrag:sect"},
		{"two sections without a group", bare + transport + video + audio, []int{0, 1}, "BUNDLE"},
		{"no mid", session + strings.Replace(audio, "a=mid:1\r\n", "", 1), []int{0}, "a=mid"},
		{"a mid twice", session + audio + audio, []int{0}, "a=mid"},
		{"a mid with a blank", session + strings.Replace(audio, "a=mid:1", "a=mid:1 2", 1), []int{0}, "a=mid"},
		{"no ufrag", strings.Replace(session, "ice-ufrag", "x", 1) + audio, []int{0}, "ice-ufrag"},
		{"no password", strings.Replace(session, "ice-pwd", "x", 1) + audio, []int{0}, "ice-pwd"},
		{"no fingerprint", strings.Replace(session, "fingerprint", "x", 1) + audio, []int{0}, "fingerprint"},
		{"a long ufrag", bare + credentials(strings.Repeat("x", 257)) + audio, []int{0}, "ice-ufrag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := parsed(t, test.offer)
			s, err := o.Select(choose(o, recvonly, test.sections...)...)
			switch {
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("error %q, want %q in it", err, test.want)
			case err == nil && !strings.Contains(s.SDP(), test.want+"\r\n"):
				t.Errorf("got %s, want %q in it", s.SDP(), test.want)
			}
		})
	}
}

func TestTwoCodecsWithOnePayloadTypeAreRefused(t *testing.T) {
	same := strings.NewReplacer("SAVPF 111 0", "SAVPF 102", ":111 ", ":102 ").Replace(audio)
	o := parsed(t, session+video+same)
	if _, err := o.Select(choose(o, sendonly, 0, 1)...); err == nil || !strings.Contains(err.Error(), "video/H264 and audio/opus both have payload type 102") {
		t.Errorf("of a publisher: error %v", err)
	}
	if _, err := o.Select(choose(o, sendonly, 1)...); err != nil {
		t.Errorf("one of them alone: %v", err)
	}
	if _, err := o.Select(choose(o, recvonly, 0, 1)...); err != nil {
		t.Errorf("of a viewer: %v", err)
	}
}

func TestAnswerHasTheOffersSectionsInItsOrder(t *testing.T) {
	const head, answered = "v=0\r\ns=-\r\na=ice-lite\r\na=group:BUNDLE 1\r\n", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"
	for name, test := range map[string]struct{ before, after, wantHead, wantBefore, wantAfter string }{
		"nothing is rejected": {wantHead: head},
		"a data channel before, a picture after": {
			before: data, after: video, wantHead: head,
			wantBefore: "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n",
			wantAfter:  "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=inactive\r\n",
		},
		"a section of an unknown kind without a mid": {
			after: "m=text 9 RTP/AVP 98\r\n", wantHead: head,
			wantAfter: "m=text 0 RTP/AVP 98\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := parsed(t, session+test.before+audio+test.after)
			index := strings.Count(test.before, "m=")
			s, err := o.Select(choose(o, recvonly, index)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.wantHead+test.wantBefore+answered+test.wantAfter, s.Complete(head+answered)); diff != "" {
				t.Error(diff)
			}
		})
	}
	// GStreamer refuses an answer in which a section lacks these.
	const transported = answered + "a=setup:active\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA\r\n"
	two := parsed(t, session+audio+video)
	selection, err := two.Select(choose(two, recvonly, 0)...)
	if err != nil {
		t.Fatal(err)
	}
	complete := selection.Complete(head + transported)
	if rejected := complete[strings.Index(complete, "m=video 0"):]; !strings.HasSuffix(rejected, strings.TrimPrefix(transported, answered)) {
		t.Errorf("the rejected section lacks the transport:\n%s", rejected)
	}
	o := parsed(t, strings.Replace(session, "a=group:BUNDLE 0 1\r\n", "", 1)+audio)
	s, err := o.Select(choose(o, recvonly, 0)...)
	if err != nil {
		t.Fatal(err)
	}
	if answer := s.Complete(head + answered); strings.Contains(answer, "BUNDLE") {
		t.Errorf("an offer without a group is answered with one: %s", answer)
	}
}

func TestNothingKeptRefersToTheOffer(t *testing.T) {
	text := []byte(session + video + audio)
	o := parsed(t, string(text))
	s, err := o.Select(choose(o, recvonly, 0, 1)...)
	if err != nil {
		t.Fatal(err)
	}
	// What is kept can't refer to the large text as long as it is smaller.
	if len(s.SDP()) >= len(text) {
		t.Errorf("%d bytes are kept of %d", len(s.SDP()), len(text))
	}
}

func TestBounds(t *testing.T) {
	lines := func(n int, line string) string { return strings.Repeat(line+"\r\n", n) }
	each := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, test := range []struct {
		name  string
		limit int
		offer func(n int) string
		want  string // part of the error for one more than the limit
	}{
		{"lines", maxLines, func(n int) string {
			base := session + audio
			return base + lines(n-strings.Count(base, "\n"), "b=AS:1")
		}, "lines"},
		{"bytes in a line", maxLineLength, func(n int) string { return session + audio + "a=" + strings.Repeat("x", n-2) + "\r\n" }, "bytes in a line"},
		{"media sections", maxSections, func(n int) string { return session + each(n, "m=audio 9 RTP/AVP 0\r\na=mid:m%d\r\n") }, "media sections"},
		{"formats", maxFormats, func(n int) string { return session + "m=audio 9 RTP/AVP" + each(n, " %d") + "\r\n" }, "formats"},
		{"attributes", maxAttributes, func(n int) string { return session + "m=audio 9 RTP/AVP 0\r\n" + lines(n, "a=x") }, "attribute lines"},
		{"lines of a format", maxFormatLines, func(n int) string { return session + "m=audio 9 RTP/AVP 1\r\n" + lines(n, "a=rtcp-fb:1 x") }, "for one format"},
		{"lines of all formats", maxFormatLines, func(n int) string { return session + "m=audio 9 RTP/AVP 1\r\n" + lines(n, "a=rtcp-fb:* x") }, "for one format"},
		{"ssrc lines", maxSSRCLines, func(n int) string { return session + audio + each(n, "a=ssrc:%d cname:x\r\n") }, "ssrc lines"},
		{"rid lines", maxRIDs, func(n int) string { return session + audio + each(n, "a=rid:%d send\r\n") }, "rid lines"},
		{"extmap lines", maxExtensions, func(n int) string { return session + audio + each(n, "a=extmap:%d urn:x\r\n") }, "extmap lines"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse(test.offer(test.limit)); err != nil {
				t.Errorf("%d: %v", test.limit, err)
			}
			for _, n := range []int{test.limit + 1, test.limit + 100} {
				_, err := Parse(test.offer(n))
				var e *Error
				if !errors.As(err, &e) || !e.TooLarge || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%d: error %v, want a bound of %s", n, err, test.want)
				}
			}
		})
	}
	if _, err := Parse(strings.Repeat("a", MaxBytes+1)); err == nil || !strings.Contains(err.Error(), "65536 bytes") {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Parse(strings.ReplaceAll(session+each(maxSections+1, "m=audio 9 RTP/AVP 0\r\na=mid:m%d\r\n"), "\r\n", "\r")); err == nil {
		t.Error("lone carriage returns hide sections from the bounds")
	}
}

func TestCandidatesBeyondTheBoundAreIgnored(t *testing.T) {
	var b strings.Builder
	for i := range 600 {
		fmt.Fprintf(&b, "a=candidate:1 1 udp 1 192.0.2.1 %d typ host\r\n", 1+i)
	}
	o := parsed(t, session+audio+b.String())
	s, err := o.Select(choose(o, recvonly, 0)...)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.SDP(), "a=candidate:"); n != keptCandidates {
		t.Errorf("%d candidates are kept, want %d", n, keptCandidates)
	}
}

func TestDuplicateFormatsAreOne(t *testing.T) {
	o := parsed(t, session+"m=audio 9 RTP/AVP"+strings.Repeat(" 1", 500)+"\r\na=rtpmap:1 opus/48000/2\r\na=mid:0\r\n")
	if n := len(o.Sections[0].Formats); n != 1 {
		t.Errorf("%d formats", n)
	}
}
