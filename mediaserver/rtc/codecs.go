package rtc

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// AnswerFormat returns the format to answer a section of an offer with: HighestH264 of a
// "video" section, OfferedOpus of an "audio" section. ok is false when the section has
// none, and for sections of other kinds.
func AnswerFormat(kind string, formats []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, ok bool) {
	switch kind {
	case "video":
		return HighestH264(formats)
	case "audio":
		return OfferedOpus(formats)
	}
	return webrtc.RTPCodecParameters{}, false
}

// HighestH264 returns the H.264 format to answer with of those offered: the highest
// profile offered with packetization-mode 1 whose pictures every browser plays
// (8 bit, 4:2:0), and among equal profiles the highest level. Safari shows black
// for a High profile stream behind an answer that said Baseline. Its RTCP feedback
// is NACK and PLI. ok is false when none can be used.
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
	codec.MimeType = webrtc.MimeTypeH264
	codec.RTCPFeedback = []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBNACK}, {Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"}}
	return codec, true
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

// NewMediaEngine returns a MediaEngine that negotiates exactly the given formats,
// with the payload types of the offer they were taken from.
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

// h264Rank orders formats by what a picture may contain; negative means unusable.
func h264Rank(fmtp string) int {
	parameters := map[string]string{}
	for p := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parameters[strings.ToLower(key)] = value
	}
	if parameters["packetization-mode"] != "1" {
		return -1
	}
	id, err := hex.DecodeString(parameters["profile-level-id"])
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
