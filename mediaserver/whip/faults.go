package whip

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// missingAfter is how long an offered track may bring nothing before the fault is
// told. A leg without the track must not rank as whole.
const missingAfter = 5 * time.Second

// resumeGrace is how long nothing may come before a cut of the network is assumed. It
// is also how long all tracks then have to come back.
const resumeGrace = 2 * time.Second

var (
	faultNoVideo = stream.Fault{
		Code: "NoVideoPackets",
		Message: "The publisher announced a video track, is connected, and sends no packet of that track: there is no picture. " +
			"Check the encoder's video source, or publish without video.",
	}
	faultNoPicture = stream.Fault{
		Code: "NoPicture",
		Message: "The publisher sends packets of its video track, but no picture that can be decoded. " +
			"Set the encoder to H.264 with a key frame, and its SPS and PPS, every 2 seconds.",
	}
	faultNoAudio = stream.Fault{
		Code: "NoAudioPackets",
		Message: "The publisher announced an audio track, is connected, and sends no packet of that track: there is no sound. " +
			"Check the encoder's audio source, or publish without audio.",
	}
)

// Codes of a track that is rejected. RTMP publishers get the same codes.
const (
	warningUnsupportedVideo = "UnsupportedVideo"
	warningUnsupportedAudio = "UnsupportedAudio"
)

// faultOfCodec returns the fault of a track without a format that the server takes.
func faultOfCodec(section *sdpoffer.Section) *stream.Fault {
	if kindOf(section) == stream.Audio {
		return &stream.Fault{Code: warningUnsupportedAudio, Message: fmt.Sprintf(
			"The publisher offers its sound in %s, which is not supported, and the stream has no sound: set the encoder's audio to Opus.", offeredFormats(section))}
	}
	return &stream.Fault{Code: warningUnsupportedVideo, Message: fmt.Sprintf(
		"The publisher offers its video in %s, which is not supported, and the stream has no picture: set the encoder's video to H.264 (packetization-mode=1).", offeredFormats(section))}
}

// faults returns the fault of each track at now, by stream.Kind; nil means none. It is pure.
//
// If everything stops together, the network is cut or the encoder is gone. No track is
// at fault then, and the leg is lost because it is silent. So a track is missing only
// while something else comes, or if nothing has ever come. After a cut one track may
// come back before the other; the other has resumeGrace to follow.
func (r *receiver) faults(now time.Duration) (faults [2]*stream.Fault) {
	p := &r.arrivals
	if !p.isConnected {
		return faults
	}
	heard := p.lastReceived
	if heard == 0 {
		heard = now
	}
	isMissing := func(k stream.Kind, last time.Duration) bool {
		return heard-max(last, p.connected) >= missingAfter && (r.shownFaults[k] != nil || now-p.resumed >= resumeGrace)
	}
	switch {
	case !p.offered.video:
	case isMissing(stream.Video, r.video.lastPacket):
		faults[stream.Video] = &faultNoVideo
	case isMissing(stream.Video, r.video.lastWritten):
		faults[stream.Video] = &faultNoPicture
	}
	if p.offered.audio && isMissing(stream.Audio, r.audio.last) && !r.audio.isMuted(now) {
		faults[stream.Audio] = &faultNoAudio
	}
	return faults
}

// updateFaults passes faults that have changed to the publication.
func (r *receiver) updateFaults(now time.Duration) {
	for kind, fault := range r.faults(now) {
		if fault != r.shownFaults[kind] {
			r.shownFaults[kind] = fault
			r.publication.SetFault(stream.Kind(kind), fault)
		}
	}
}
