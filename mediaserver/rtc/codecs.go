package rtc

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

// AnswerFormat returns the format with which to answer a section of an offer. For a "video"
// section that is HighestH264 or else UnspecifiedH264; for an "audio" section, OfferedOpus. ok is
// false when the section offers no usable format, and for sections of other kinds.
func AnswerFormat(kind string, formats []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, ok bool) {
	switch kind {
	case "video":
		if codec, ok = HighestH264(formats); !ok {
			codec, ok = UnspecifiedH264(formats)
		}
		return codec, ok
	case "audio":
		return OfferedOpus(formats)
	}
	return webrtc.RTPCodecParameters{}, false
}

// ViewerChoice returns how a viewer's section of an offer is served: in its AnswerFormat, with RTX if
// that is offered. The viewer is asked for its estimates of what the way to it takes (REMB). ok is
// false when the section offers no usable format.
func ViewerChoice(section int, kind string, formats []webrtc.RTPCodecParameters) (choice sdpoffer.Choice, ok bool) {
	format, ok := AnswerFormat(kind, formats)
	if !ok {
		return choice, false
	}
	if kind == "video" {
		format.RTCPFeedback = append(format.RTCPFeedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBGoogREMB})
	}
	rtx, _ := offeredRTX(formats, format)
	return sdpoffer.Choice{Section: section, Format: format, RTX: rtx, Direction: webrtc.RTPTransceiverDirectionRecvonly}, true
}

// HighestH264 returns the offered H.264 format with which to answer. That is the highest
// profile with packetization-mode 1 whose pictures every browser plays (8 bit, 4:2:0).
// Among equal profiles it is the highest level. A higher profile matters: Safari shows
// black for a High profile stream when the answer said Baseline. The format's RTCP
// feedback is NACK and PLI. ok is false when no format can be used.
func HighestH264(formats []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, ok bool) {
	best := -1
	for _, c := range formats {
		if !strings.EqualFold(c.MimeType, webrtc.MimeTypeH264) {
			continue
		}
		if rank := h264Rank(c.SDPFmtpLine); rank > best {
			best, codec = rank, c
		}
	}
	if best < 0 {
		return webrtc.RTPCodecParameters{}, false
	}
	return answeredH264(codec), true
}

func answeredH264(codec webrtc.RTPCodecParameters) webrtc.RTPCodecParameters {
	codec.MimeType = webrtc.MimeTypeH264
	codec.RTCPFeedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}, {Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"}}
	return codec
}

// UnspecifiedH264 returns the first offered H.264 format that omits its
// packetization-mode or its profile-level-id. The format must rule out neither mode 1 nor
// pictures of 8 bit and 4:2:0. By RFC 6184 section 8.1 the omission means mode 0 and
// Baseline level 1. Whoever writes such an offer means "any H.264": GStreamer's whepsrc
// makes it from the caps in its documentation. See CompleteH264.
func UnspecifiedH264(formats []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, ok bool) {
	for _, c := range formats {
		if IsUnspecifiedH264(c) {
			return answeredH264(c), true
		}
	}
	return webrtc.RTPCodecParameters{}, false
}

// IsUnspecifiedH264 reports whether UnspecifiedH264 could return the format.
func IsUnspecifiedH264(codec webrtc.RTPCodecParameters) bool {
	return strings.EqualFold(codec.MimeType, webrtc.MimeTypeH264) && isUnspecified(codec.SDPFmtpLine)
}

func isUnspecified(fmtp string) bool {
	parameters := fmtpParameters(fmtp)
	mode, hasMode := parameters[packetizationMode]
	profile, hasProfile := parameters[profileLevelID]
	switch {
	case hasMode && hasProfile:
		return false // HighestH264 has judged it already
	case hasMode:
		return mode == "1"
	case hasProfile:
		return h264Profile(profile) >= 0
	}
	return true
}

// CompleteH264 returns the parameters with which to answer a format of
// UnspecifiedH264: packetization-mode 1, and the profile and level of the pictures
// that are sent. sps is the sequence parameter set of those pictures. While it is
// unknown, the profile is Constrained Baseline.
func CompleteH264(fmtp string, sps []byte) string {
	parameters := fmtpParameters(fmtp)
	profile, ok := parameters[profileLevelID]
	if !ok {
		profile = baselineProfile
		if len(sps) > 3 {
			// Rec. H.264 section 7.3.2.1.1. Pictures that browsers do not play are re-encoded.
			if own := hex.EncodeToString(sps[1:4]); h264Profile(own) >= 0 {
				profile = own
			}
		}
	}
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile
}

// OfferedOpus returns the first Opus format; ok is false when there is none.
func OfferedOpus(formats []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, ok bool) {
	for _, c := range formats {
		if strings.EqualFold(c.MimeType, webrtc.MimeTypeOpus) {
			c.MimeType = webrtc.MimeTypeOpus
			return c, true
		}
	}
	return webrtc.RTPCodecParameters{}, false
}

// NewMediaEngine returns a MediaEngine that negotiates exactly the given formats. The
// payload types are those of the offer from which the formats were taken.
func NewMediaEngine(codecs ...webrtc.RTPCodecParameters) (*webrtc.MediaEngine, error) {
	me := &webrtc.MediaEngine{}
	for _, c := range codecs {
		kind := webrtc.RTPCodecTypeVideo
		if strings.HasPrefix(c.MimeType, "audio/") {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := me.RegisterCodec(c, kind); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.MimeType, err)
		}
	}
	return me, nil
}

// The parameters of RFC 6184 section 8.1 that distinguish formats.
const (
	packetizationMode = "packetization-mode"
	profileLevelID    = "profile-level-id"
)

// fmtpParameters returns the parameters of a format, with their names in lower case.
func fmtpParameters(fmtp string) map[string]string {
	parameters := map[string]string{}
	for p := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parameters[strings.ToLower(key)] = value
	}
	return parameters
}

// h264Rank orders formats by what a picture may contain. It is negative for a format
// that can't be used.
func h264Rank(fmtp string) int {
	parameters := fmtpParameters(fmtp)
	if parameters[packetizationMode] != "1" {
		return -1
	}
	return h264Profile(parameters[profileLevelID])
}

// h264Profile orders values of profile-level-id. It is negative for a value that can't be used.
func h264Profile(profileLevel string) int {
	id, err := hex.DecodeString(profileLevel)
	if err != nil || len(id) != 3 {
		return -1
	}
	var profile int
	switch profileIDC, constraints := id[0], id[1]; {
	case profileIDC == 100 && constraints&0x0c == 0: // High
		profile = 4
	case profileIDC == 100: // Constrained High: no interlace, no B slices
		profile = 3
	case profileIDC == 77: // Main
		profile = 2
	case profileIDC == 66 && constraints&0x40 != 0: // Constrained Baseline
		profile = 1
	case profileIDC == 66: // Baseline: with slice groups, which hardly anything decodes
		profile = 0
	default: // Extended; 10 bit, 4:2:2 and 4:4:4, which browsers do not play
		return -1
	}
	return profile<<8 | int(id[2])
}
