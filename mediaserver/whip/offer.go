package whip

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const supported = "send at most one video track in H.264 (packetization-mode=1) and one audio track in Opus"

// An offer is a publisher's SDP after it has been checked.
type offer struct {
	selection *sdpoffer.Selection
	ufrags    []string
	codecs    []webrtc.RTPCodecParameters
	opus      *webrtc.RTPCodecParameters
	tracks    tracks
	// faults of tracks that are rejected for their codecs, by stream.Kind
	faults [2]*stream.Fault
}

// parseOffer checks which tracks of an offer the server can take. If it can take at least
// one, it rejects the others alone, and the publication tells of them. If it can take
// none, the refusal tells the publisher in words what to change. An offer with two tracks
// of a kind is refused, RFC 9725 section 4.4.2.
func parseOffer(text string) (offer, *signalling.Refusal) {
	parsed, err := sdpoffer.Parse(text)
	if err != nil {
		return offer{}, signalling.RefuseOffer("The body is not an SDP offer", err)
	}
	var o offer
	var choices []sdpoffer.Choice
	var rejected []string
	var offered [2]bool // by stream.Kind
	for i := range parsed.Sections {
		section := &parsed.Sections[i]
		if !section.Used {
			continue
		}
		if reason := checkSection(section); reason != "" {
			rejected = append(rejected, reason)
			continue
		}
		kind := kindOf(section)
		if offered[kind] {
			return offer{}, unsupported(fmt.Sprintf("The offer has more than one %s track", section.Kind))
		}
		offered[kind] = true
		codec, ok := rtc.AnswerFormat(section.Kind, section.Formats)
		if !ok {
			rejected = append(rejected, fmt.Sprintf("The offer's %s track cannot be taken: it has %s", section.Kind, offeredFormats(section)))
			o.faults[kind] = faultOfCodec(section)
			continue
		}
		choice := sdpoffer.Choice{Section: i, Format: codec, Direction: webrtc.RTPTransceiverDirectionSendonly}
		o.add(section, &choice)
		choices = append(choices, choice)
	}
	o.ufrags = parsed.Ufrags()
	switch {
	case len(choices) == 0 && len(rejected) > 0:
		return offer{}, unsupported(rejected[0])
	case len(choices) == 0:
		return offer{}, unsupported("The offer has no track")
	case len(o.ufrags) == 0:
		return offer{}, signalling.Refuse(http.StatusBadRequest, signalling.ReasonMalformedOffer, "The offer has no ice-ufrag.")
	}
	if o.selection, err = parsed.Select(choices...); err != nil {
		return offer{}, signalling.RefuseOffer("The offer cannot be answered", err)
	}
	return o, nil
}

// kindOf returns the kind of a section of sound or pictures.
func kindOf(section *sdpoffer.Section) stream.Kind {
	if section.Kind == "audio" {
		return stream.Audio
	}
	return stream.Video
}

// add records that a track is taken with that choice. Video comes first.
func (o *offer) add(section *sdpoffer.Section, choice *sdpoffer.Choice) {
	codec := choice.Format
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

// checkSection returns why a media section in use can't be a track; "" means that it can be one.
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

func unsupported(reason string) *signalling.Refusal {
	return signalling.Refuse(http.StatusUnprocessableEntity, signalling.ReasonUnsupportedMedia, "%s: %s.", reason, supported)
}

// offeredFormats returns the names of a section's codecs, for the message.
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

// parameterSets returns the SPS and PPS of sprop-parameter-sets, RFC 6184 section 8.1.
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

// withStereo asks for both channels. Browsers send Opus in mono unless the answer says
// that stereo is welcome (RFC 7587 section 7.1).
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
