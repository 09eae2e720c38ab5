package rtc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/pion/webrtc/v4"
)

// describe returns the answer to the served sections, RFC 8829 section 5.3.1.
func (c *ViewerConnection) describe(reach Reach) (string, error) {
	ufrag, password, err := c.agent.GetLocalUserCredentials()
	if err != nil {
		return "", fmt.Errorf("make answer: %w", err)
	}
	setup := "passive"
	if c.selection.Transport.Passive {
		setup = "active"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=msid-semantic:WMS *\r\na=fingerprint:%s\r\na=group:BUNDLE",
		rand.N(uint64(1<<62)), c.certificate.fingerprint)
	for _, s := range c.selection.Served {
		b.WriteString(" " + s.Mid)
	}
	b.WriteString("\r\n")
	for i, s := range c.selection.Served {
		f := s.Format
		_, encoding, _ := strings.Cut(f.MimeType, "/")
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF %d\r\nc=IN IP4 0.0.0.0\r\na=setup:%s\r\na=mid:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
			s.Kind, f.PayloadType, setup, s.Mid, ufrag, password)
		fmt.Fprintf(&b, "a=rtpmap:%d %s/%d", f.PayloadType, encoding, f.ClockRate)
		if f.Channels > 0 {
			fmt.Fprintf(&b, "/%d", f.Channels)
		}
		b.WriteString("\r\n")
		if f.SDPFmtpLine != "" {
			fmt.Fprintf(&b, "a=fmtp:%d %s\r\n", f.PayloadType, f.SDPFmtpLine)
		}
		for _, feedback := range f.RTCPFeedback {
			fmt.Fprintf(&b, "a=rtcp-fb:%d %s\r\n", f.PayloadType, strings.TrimSpace(feedback.Type+" "+feedback.Parameter))
		}
		c.describeStream(&b, s.Kind)
		if i == 0 {
			writeCandidates(&b, offeredTo(reach, c.engine.candidates(), c.engine.offered(), c.engine.Port()))
			b.WriteString("a=end-of-candidates\r\n")
		}
	}
	return b.String(), nil
}

// describeStream writes the direction of a section, and the stream that is sent in it (RFC 5576,
// RFC 8830).
func (c *ViewerConnection) describeStream(b *strings.Builder, kind string) {
	ssrc, ok := c.ssrcs[kind]
	if !ok {
		b.WriteString("a=inactive\r\n")
		return
	}
	fmt.Fprintf(b, "a=ssrc:%d cname:%s\r\na=ssrc:%d msid:%s %s\r\na=msid:%s %s\r\na=sendonly\r\n",
		ssrc, mediaStreamID, ssrc, mediaStreamID, kind, mediaStreamID, kind)
}

// addStream returns the SSRC and the payload type of the viewer's stream of that kind. ok is false
// if the offer has no section for it.
func (c *ViewerConnection) addStream(kind webrtc.RTPCodecType) (ssrc uint32, payloadType uint8, ok bool) {
	for _, s := range c.selection.Served {
		if s.Kind != kind.String() {
			continue
		}
		for ssrc == 0 || ssrc == c.ssrcs["video"] || ssrc == c.ssrcs["audio"] {
			ssrc = rand.N(uint32(math.MaxUint32))
		}
		c.ssrcs[s.Kind] = ssrc
		return ssrc, uint8(s.Format.PayloadType), true
	}
	return 0, 0, false
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
