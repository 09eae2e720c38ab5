package whip

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/stream"
)

const supported = "send at most one video track in H.264 (packetization-mode=1) and one audio track in Opus"

// An offer is a publisher's SDP, checked.
type offer struct {
	selection *sdpoffer.Selection
	ufrag     string
	codecs    []webrtc.RTPCodecParameters
	opus      *webrtc.RTPCodecParameters
	tracks    tracks
	// faults are those of the tracks that are rejected for their codecs, by stream.Kind.
	faults [2]*stream.Fault
	// surplus says that there are more tracks of a kind than one.
	surplus bool
}

// parseOffer checks what the server can take of an offer. What it cannot take is rejected
// alone, and told, if there is a track that it can. A publisher of whom nothing can be taken
// is told in words what to change.
func parseOffer(text string) (offer, *refusal) {
	parsed, err := sdpoffer.Parse(text)
	if err != nil {
		return offer{}, refuseOffer("The body is not an SDP offer", err)
	}
	var o offer
	var choices []sdpoffer.Choice
	var rejected []string
	for i := range parsed.Sections {
		section := &parsed.Sections[i]
		if !section.Used {
			continue
		}
		if reason := checkSection(section); reason != "" {
			rejected = append(rejected, reason)
			continue
		}
		if o.has(section) {
			o.surplus = true
			continue
		}
		codec, ok := rtc.AnswerFormat(section.Kind, section.Formats)
		if !ok {
			rejected = append(rejected, fmt.Sprintf("The offer's %s track cannot be taken: it has %s", section.Kind, offeredFormats(section)))
			o.faults[kindOf(section)] = faultOfCodec(section)
			continue
		}
		choice := sdpoffer.Choice{Section: i, Format: codec, Direction: webrtc.RTPTransceiverDirectionSendonly}
		o.add(section, &choice)
		choices = append(choices, choice)
	}
	ufrags := parsed.Ufrags()
	switch {
	case len(choices) == 0 && len(rejected) > 0:
		return offer{}, unsupported(rejected[0])
	case len(choices) == 0:
		return offer{}, unsupported("The offer has no track")
	case len(ufrags) == 0:
		return offer{}, refuse(http.StatusBadRequest, "MalformedOffer", "The offer has no ice-ufrag.")
	}
	o.ufrag = ufrags[0]
	if o.selection, err = parsed.Select(choices...); err != nil {
		return offer{}, refuseOffer("The offer cannot be answered", err)
	}
	return o, nil
}

// kindOf is the kind of a section of sound or pictures.
func kindOf(section *sdpoffer.Section) stream.Kind {
	if section.Kind == "audio" {
		return stream.Audio
	}
	return stream.Video
}

// has reports whether a track of the section's kind is taken already.
func (o *offer) has(section *sdpoffer.Section) bool {
	if kindOf(section) == stream.Audio {
		return o.tracks.audio
	}
	return o.tracks.video
}

// add notes that a track is taken as the choice says. Video comes first.
func (o *offer) add(section *sdpoffer.Section, choice *sdpoffer.Choice) {
	codec := choice.Format
	o.faults[kindOf(section)] = nil
	if section.Kind == "audio" {
		o.codecs = append(o.codecs, codec)
		o.opus = &codec
		o.tracks.audio, o.tracks.audioSSRCs = true, section.SSRCs()
		return
	}
	o.codecs = append([]webrtc.RTPCodecParameters{codec}, o.codecs...)
	o.tracks.video, o.tracks.videoSSRCs = true, section.SSRCs()
	o.tracks.sps, o.tracks.pps = parameterSets(codec.SDPFmtpLine)
	o.tracks.ridExtension = section.RIDExtension()
	choice.Layers = section.Layers(codec.PayloadType)
	for _, l := range choice.Layers {
		o.tracks.rids = append(o.tracks.rids, l.RID)
	}
}

// refuseOffer words an error of sdpoffer; what says what is wrong if no bound is exceeded.
func refuseOffer(what string, err error) *refusal {
	var e *sdpoffer.Error
	if errors.As(err, &e) && e.TooLarge {
		return refuse(http.StatusRequestEntityTooLarge, "OfferTooLarge", "The offer is larger than any encoder's: %v.", err)
	}
	return refuse(http.StatusBadRequest, "MalformedOffer", "%s: %v.", what, err)
}

// checkSection says why a media section that is in use is no track; "": it is one.
func checkSection(section *sdpoffer.Section) string {
	switch section.Kind {
	case "audio", "video":
	case "application":
		return "The offer has a data channel"
	default:
		return fmt.Sprintf("The offer has a %q section", section.Kind)
	}
	if !section.Sends() {
		return fmt.Sprintf("The offer's %s track is %s, but a publisher sends", section.Kind, section.Direction)
	}
	return ""
}

func unsupported(reason string) *refusal {
	return refuse(http.StatusNotAcceptable, "UnsupportedMedia", "%s: %s.", reason, supported)
}

// offeredFormats names the codecs of a section, for the message.
func offeredFormats(section *sdpoffer.Section) string {
	var names []string
	for _, f := range section.Formats {
		_, name, _ := strings.Cut(f.MimeType, "/")
		if len(name) < 32 && !slices.Contains(names, name) && name != "rtx" && name != "red" && name != "ulpfec" {
			names = append(names, name)
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
