package whip

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/rtc"
)

const supported = "send at most one video track in H.264 (packetization-mode=1) and one audio track in Opus"

// An offer is a publisher's SDP, checked.
type offer struct {
	sdp    string
	ufrag  string
	codecs []webrtc.RTPCodecParameters
	opus   *webrtc.RTPCodecParameters
	// sps and pps are sprop-parameter-sets, if the offer has them.
	sps, pps []byte
}

// parseOffer checks that the server can take what is offered, so that a publisher is
// told in words what to change, rather than finding a track rejected.
func parseOffer(body string) (offer, *refusal) {
	var description sdp.SessionDescription
	if err := description.UnmarshalString(body); err != nil {
		return offer{}, refuse(http.StatusBadRequest, "MalformedOffer", "The body is not an SDP offer: %v.", err)
	}
	o := offer{sdp: withoutSimulcast(body)}
	o.ufrag, _ = description.Attribute("ice-ufrag")
	counts := map[string]int{}
	for _, media := range description.MediaDescriptions {
		_, bundled := media.Attribute("bundle-only")
		if media.MediaName.Port.Value == 0 && !bundled {
			continue // a section that is not in use
		}
		if r := checkSection(media); r != nil {
			return offer{}, r
		}
		counts[media.MediaName.Media]++
		if ufrag, ok := media.Attribute("ice-ufrag"); ok && o.ufrag == "" {
			o.ufrag = ufrag
		}
	}
	switch {
	case counts["audio"] > 1 || counts["video"] > 1:
		return offer{}, unsupported("The offer has %d video and %d audio tracks", counts["video"], counts["audio"])
	case counts["audio"]+counts["video"] == 0:
		return offer{}, unsupported("The offer has no track")
	case o.ufrag == "":
		return offer{}, refuse(http.StatusBadRequest, "MalformedOffer", "The offer has no ice-ufrag.")
	}
	if counts["video"] > 0 {
		codec, ok := rtc.HighestH264(body)
		if !ok {
			return offer{}, unsupported("The offer's video track cannot be taken: it has %s", offeredFormats(&description, "video"))
		}
		o.codecs = append(o.codecs, codec)
		o.sps, o.pps = parameterSets(codec.SDPFmtpLine)
	}
	if counts["audio"] > 0 {
		codec, ok := rtc.OfferedOpus(body)
		if !ok {
			return offer{}, unsupported("The offer's audio track cannot be taken: it has %s", offeredFormats(&description, "audio"))
		}
		o.codecs = append(o.codecs, codec)
		o.opus = &codec
	}
	return o, nil
}

// checkSection checks one media section that is in use.
func checkSection(media *sdp.MediaDescription) *refusal {
	switch media.MediaName.Media {
	case "audio", "video":
	case "application":
		return unsupported("The offer has a data channel")
	default:
		return unsupported("The offer has a %q section", media.MediaName.Media)
	}
	for _, direction := range []string{"recvonly", "inactive"} {
		if _, ok := media.Attribute(direction); ok {
			return unsupported("The offer's %s track is %s, but a publisher sends", media.MediaName.Media, direction)
		}
	}
	// The server answers as the DTLS server, RFC 9725 section 4.3.
	if setup, ok := media.Attribute("setup"); ok && setup == "passive" {
		return refuse(http.StatusUnprocessableEntity, "UnsupportedOffer",
			"The offer has a=setup:passive; offer actpass or active.")
	}
	return nil
}

func unsupported(format string, args ...any) *refusal {
	return refuse(http.StatusNotAcceptable, "UnsupportedMedia", "%s: %s.", fmt.Sprintf(format, args...), supported)
}

// offeredFormats names the codecs of a section, for the message.
func offeredFormats(description *sdp.SessionDescription, kind string) string {
	var names []string
	for _, media := range description.MediaDescriptions {
		if media.MediaName.Media != kind {
			continue
		}
		for _, a := range media.Attributes {
			if a.Key != "rtpmap" {
				continue
			}
			_, name, _ := strings.Cut(a.Value, " ")
			name, _, _ = strings.Cut(name, "/")
			if len(name) > 0 && len(name) < 32 && !slices.Contains(names, name) && name != "rtx" && name != "red" && name != "ulpfec" {
				names = append(names, name)
			}
		}
	}
	switch {
	case len(names) == 0:
		return "no format"
	case slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "H264") }):
		return "H.264 in other modes or profiles only"
	}
	return strings.Join(names[:min(len(names), 8)], ", ")
}

// withoutSimulcast leaves out the layers of a simulcast offer: the publisher then
// sends one of them, as RFC 8853 section 5.3.2 has it.
func withoutSimulcast(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "a=simulcast:") && !strings.HasPrefix(line, "a=rid:") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// parameterSets reads sprop-parameter-sets, RFC 6184 section 8.1.
func parameterSets(fmtp string) (sps, pps []byte) {
	for p := range strings.SplitSeq(fmtp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if name != "sprop-parameter-sets" {
			continue
		}
		for set := range strings.SplitSeq(value, ",") {
			nalu, err := base64.StdEncoding.DecodeString(set)
			if err != nil || len(nalu) < 2 {
				return nil, nil
			}
			switch nalu[0] & 0x1f {
			case naluTypeSPS:
				sps = nalu
			case naluTypePPS:
				pps = nalu
			}
		}
	}
	if sps == nil || pps == nil {
		return nil, nil
	}
	return sps, pps
}

// withStereo asks for both channels: browsers send Opus in mono unless the answer
// says that stereo is welcome (RFC 7587 section 7.1).
func withStereo(answer string, opus *webrtc.RTPCodecParameters) string {
	if opus == nil {
		return answer
	}
	prefix := fmt.Sprintf("a=fmtp:%d ", opus.PayloadType)
	var b strings.Builder
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, prefix) && !strings.Contains(line, " stereo=") && !strings.Contains(line, ";stereo=") {
			line = strings.TrimRight(line, "\r\n") + ";stereo=1\r\n"
		}
		b.WriteString(line)
	}
	return b.String()
}
