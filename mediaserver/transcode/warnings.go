package transcode

import (
	"fmt"

	"github.com/streampair/streampair/mediaserver/stream"
)

// Codes of warnings about pictures.
const (
	warningBFrames    = "BFrames"
	warningLimited    = "LimitedVideo"
	warningWithoutIDR = "NoIDR"
	warningFull       = "TranscodesFull"
	warningFails      = "TranscodeFailed"
	warningParameters = "ParametersChange"
)

// The messages say what is wrong with the pictures, what viewers get, and how to set the encoder.
const (
	bframesHowTo     = "Turn B-frames off in the encoder: in OBS set \"Max B-frames\" to 0 or x264's tune to zerolatency; with ffmpeg add -bf 0."
	bframesReencoded = "The video has B-frames, which WebRTC cannot play: it is re-encoded on the server. " + bframesHowTo
	bframesFiltered  = "The video has B-frames, which WebRTC cannot play, and the server does not re-encode it: most pictures are left out. " + bframesHowTo

	limitedHowTo     = "Set the encoder to progressive video, 8-bit 4:2:0: with ffmpeg -pix_fmt yuv420p, and -vf bwdif for an interlaced source."
	limitedReencoded = "The video is %s, which many players show black or with combs: it is re-encoded on the server. " + limitedHowTo
	limitedSent      = "The video is %s, which many players show black or with combs, and the server does not re-encode it. " + limitedHowTo

	withoutIDRHowTo     = "Set the encoder to closed GOPs with a keyframe every 2 seconds: with x264 intra-refresh=0 and open-gop=0."
	withoutIDRReencoded = "The video has no IDR pictures (intra refresh or open GOPs), and WebRTC players can begin nowhere else: it is re-encoded on the server. " + withoutIDRHowTo
	withoutIDRSent      = "The video has no IDR pictures (intra refresh or open GOPs), and the server does not re-encode it: viewers cannot join or switch to this stream. " + withoutIDRHowTo
)

// The reasons why pictures are not re-encoded although they should be.
const (
	transcodesFull   = "The server re-encodes as many streams as it may (--max-transcodes), and this one waits for a place."
	transcodeFails   = "ffmpeg fails to re-encode the stream. Its pictures or its sound may be damaged: restart the encoder. The server tries again, and its log says what ffmpeg says."
	parametersChange = "The video's parameters change so often that the server does not re-encode it for a while. Let the encoder keep its resolution and profile."
)

// A pictureState is what is wrong with the publisher's pictures.
type pictureState struct {
	limited             string
	withoutIDR, bframes bool
	// isReencoded reports whether the server re-encodes the pictures for viewers.
	isReencoded bool
}

// judgePictures updates the warnings and the fault to what is wrong with the pictures
// and what viewers get. Pictures that are not re-encoded although some players can't
// show them lower the leg's rank.
func (v *view) judgePictures() {
	j := pictureState{
		limited: v.limited, withoutIDR: v.withoutIDR, bframes: v.needsReencoding && v.reordered, isReencoded: v.willReencode(),
	}
	if v.pub == nil || j == v.shownState {
		return
	}
	v.shownState = j
	v.pub.SetEntryOnDemand(j.withoutIDR && j.isReencoded)
	v.pub.SetFault(stream.Video, j.fault())
	say := func(is bool, code, mended, sent string) {
		switch {
		case !is:
			v.unwarn(code)
		case j.isReencoded:
			v.warn(code, mended)
		default:
			v.warn(code, sent)
		}
	}
	say(j.limited != "", warningLimited, fmt.Sprintf(limitedReencoded, j.limited), fmt.Sprintf(limitedSent, j.limited))
	say(j.withoutIDR, warningWithoutIDR, withoutIDRReencoded, withoutIDRSent)
	say(j.bframes, warningBFrames, bframesReencoded, bframesFiltered)
}

// fault returns the fault of the pictures that viewers get, or nil if there is none.
func (j pictureState) fault() *stream.Fault {
	switch {
	case j.isReencoded:
		return nil
	case j.withoutIDR:
		return &stream.Fault{Code: warningWithoutIDR, Message: withoutIDRSent, Limited: true}
	case j.limited != "":
		return &stream.Fault{Code: warningLimited, Message: fmt.Sprintf(limitedSent, j.limited), Limited: true}
	}
	return nil
}
