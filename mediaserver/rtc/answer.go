package rtc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/pion/webrtc/v4"
)

// describe returns the answer to the served sections, RFC 8829 section 5.3.1, or the offer of them.
func (c *ViewerConnection) describe(reach Reach, isOffer bool) (string, error) {
	ufrag, password, err := c.agent.GetLocalUserCredentials()
	if err != nil {
		return "", fmt.Errorf("make answer: %w", err)
	}
	setup, lite := "passive", ""
	switch {
	case isOffer:
		setup, lite = "actpass", "a=ice-lite\r\n"
	case c.selection.Transport.Passive:
		setup = "active"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n%sa=msid-semantic:WMS *\r\na=fingerprint:%s\r\na=group:BUNDLE",
		rand.N(uint64(1<<62)), lite, c.certificate.fingerprint)
	for _, s := range c.selection.Served {
		b.WriteString(" " + s.Mid)
	}
	b.WriteString("\r\n")
	for i, s := range c.selection.Served {
		f := s.Format
		_, encoding, _ := strings.Cut(f.MimeType, "/")
		formats := fmt.Sprint(f.PayloadType)
		if s.RTX != 0 {
			formats += fmt.Sprintf(" %d", s.RTX)
		}
		alsoBaseline := isOffer && offersBaseline(f)
		if alsoBaseline {
			formats += fmt.Sprintf(" %d %d", BaselineType, baselineRTX)
		}
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=setup:%s\r\na=mid:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
			s.Kind, formats, setup, s.Mid, ufrag, password)
		describeFormat(&b, f, encoding, s.RTX)
		if alsoBaseline {
			f.PayloadType, f.SDPFmtpLine = BaselineType, baselineParameters
			describeFormat(&b, f, encoding, baselineRTX)
		}
		c.describeStreams(&b, s.Kind)
		if i == 0 {
			writeCandidates(&b, offeredTo(reach, c.engine.candidates(), c.engine.offered(), c.engine.Port()))
			b.WriteString("a=end-of-candidates\r\n")
		}
	}
	return b.String(), nil
}

// describeFormat writes a format, and the format of its retransmissions; rtx 0: there are none.
func describeFormat(b *strings.Builder, f webrtc.RTPCodecParameters, encoding string, rtx webrtc.PayloadType) {
	fmt.Fprintf(b, "a=rtpmap:%d %s/%d", f.PayloadType, encoding, f.ClockRate)
	if f.Channels > 0 {
		fmt.Fprintf(b, "/%d", f.Channels)
	}
	b.WriteString("\r\n")
	if f.SDPFmtpLine != "" {
		fmt.Fprintf(b, "a=fmtp:%d %s\r\n", f.PayloadType, f.SDPFmtpLine)
	}
	for _, feedback := range f.RTCPFeedback {
		fmt.Fprintf(b, "a=rtcp-fb:%d %s\r\n", f.PayloadType, strings.TrimSpace(feedback.Type+" "+feedback.Parameter))
	}
	if rtx != 0 {
		fmt.Fprintf(b, "a=rtpmap:%d rtx/%d\r\na=fmtp:%d apt=%d\r\n", rtx, f.ClockRate, rtx, f.PayloadType)
	}
}

// An offer of pictures that are not Constrained Baseline has that profile too, since not every client
// takes another one. The client chooses what it is told of, and gets the same pictures: see
// Viewer.SendAsBaseline.
const (
	// BaselineType is the payload type of Constrained Baseline in such an offer.
	BaselineType webrtc.PayloadType = 98
	baselineRTX  webrtc.PayloadType = 99

	baselineProfile    = "42e01f"
	baselineParameters = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + baselineProfile
)

// offersBaseline reports whether an offer of that format has Constrained Baseline too.
func offersBaseline(f webrtc.RTPCodecParameters) bool {
	return f.MimeType == webrtc.MimeTypeH264 && h264Profile(fmtpParameters(f.SDPFmtpLine)[profileLevelID]) != h264Profile(baselineProfile)
}

// sentStreams are the streams of one kind of media that are sent to a viewer.
type sentStreams struct{ ssrc, rtx uint32 } // rtx is 0 without retransmissions

// describeStreams writes the direction of a section, and the streams that are sent in it (RFC 5576,
// RFC 8830). FID ties the retransmissions to their stream (RFC 4588 section 8.1).
func (c *ViewerConnection) describeStreams(b *strings.Builder, kind string) {
	s, ok := c.streams[kind]
	if !ok {
		b.WriteString("a=inactive\r\n")
		return
	}
	ssrcs := []uint32{s.ssrc}
	if s.rtx != 0 {
		fmt.Fprintf(b, "a=ssrc-group:FID %d %d\r\n", s.ssrc, s.rtx)
		ssrcs = append(ssrcs, s.rtx)
	}
	for _, ssrc := range ssrcs {
		fmt.Fprintf(b, "a=ssrc:%d cname:%s\r\na=ssrc:%d msid:%s %s\r\n", ssrc, mediaStreamID, ssrc, mediaStreamID, kind)
	}
	fmt.Fprintf(b, "a=msid:%s %s\r\na=sendonly\r\n", mediaStreamID, kind)
}

// addStream returns the viewer's stream of that kind, and the stream of its retransmissions. ok is
// false if the offer has no section for it.
func (c *ViewerConnection) addStream(kind webrtc.RTPCodecType) (stream rtpStream, rtx rtxStream, ok bool) {
	for _, s := range c.selection.Served {
		if s.Kind != kind.String() {
			continue
		}
		stream = rtpStream{c.newSSRC(0), uint8(s.Format.PayloadType)}
		if s.RTX != 0 {
			rtx.rtpStream = rtpStream{c.newSSRC(stream.ssrc), uint8(s.RTX)}
			rtx.sequence = uint16(rand.N(1 << 15))
		}
		c.streams[s.Kind] = sentStreams{stream.ssrc, rtx.ssrc}
		return stream, rtx, true
	}
	return stream, rtx, false
}

// newSSRC returns a random SSRC that none of the viewer's streams has, and that is not taken.
func (c *ViewerConnection) newSSRC(taken uint32) uint32 {
	for {
		ssrc := rand.N(uint32(math.MaxUint32))
		free := ssrc != 0 && ssrc != taken
		for _, s := range c.streams {
			free = free && ssrc != s.ssrc && ssrc != s.rtx
		}
		if free {
			return ssrc
		}
	}
}

// candidates returns the addresses at which the engine listens, UDP first.
func (e *Engine) candidates() []candidate {
	var all []candidate
	for _, tcp := range []bool{false, true} {
		for _, conn := range e.udp {
			all = append(all, candidate{localAddress(conn).Addr(), e.Port(), tcp})
		}
	}
	return all
}
