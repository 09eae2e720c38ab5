package transcode

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Codes of warnings about sound, and their messages.
const (
	warningReencodedAudio   = "ReencodedAudio"
	warningUnsupportedAudio = "UnsupportedAudio"
	warningMalformedAudio   = "MalformedAudio"

	soundHowTo       = "Set the encoder to AAC-LC, stereo."
	soundReencoded   = "The sound is %s, which is re-encoded to AAC-LC in stereo on the server. " + soundHowTo
	soundCore        = "The sound is %s, and the server does not re-encode it: viewers hear it without its high frequencies. " + soundHowTo
	soundUnsupported = "The sound is %s, which only ffmpeg decodes, and the server does not re-encode it: viewers hear silence. " + soundHowTo
	soundMalformed   = "The frames of the sound cannot be decoded: viewers hear silence. Restart the encoder."
)

// sound is the part of a view that handles sound which only ffmpeg can decode in full.
// It has such sound re-encoded.
type sound struct {
	format *stream.Format // format of the last sound that was examined
	// ffmpegOnly names the kind of sound if only ffmpeg can decode it in full; otherwise it is "".
	ffmpegOnly string
	// coreDecodable reports whether all but the high frequencies can be decoded without ffmpeg.
	coreDecodable bool

	sample soundSample

	child        *soundChild
	failures     int  // in a row
	gaveFrame    bool // a child gave a frame of this format
	cannotDecode bool // a child had all frames, and gave none
	retryAt      time.Time
	launches     launches
}

// framesOf returns c's frames. Without a child it returns nil, which is never ready.
func framesOf(c *soundChild) <-chan soundFrame {
	if c == nil {
		return nil
	}
	return c.frames
}

// takeSound handles one frame of sound of the raw stream.
func (v *view) takeSound(u *stream.AccessUnit) {
	if v.sound.format != u.Format {
		v.examineSound(u.Format)
	}
	if v.sound.ffmpegOnly != "" && v.sound.child == nil {
		v.startSound()
	}
	if v.sound.sample.take(u.PTS, u.Frame) {
		v.judgeSound()
	}
	c := v.sound.child
	if c == nil {
		v.forward(u)
		return
	}
	if !c.write(u) {
		v.cfg.Metrics.FramesDropped.WithLabelValues("transcode").Inc()
	}
	if !c.delivered && v.pub != nil {
		v.pub.Heard(u)
	}
}

// examineSound examines sound of format f and decides how to handle it.
func (v *view) examineSound(f *stream.Format) {
	v.stopSound()
	v.sound.format, v.sound.ffmpegOnly, v.sound.gaveFrame, v.sound.cannotDecode = f, "", false, false
	decoder, err := pcm.NewDecoder(f)
	v.sound.sample.decoder = decoder
	v.sound.coreDecodable = err == nil
	if config, err := flv.ParseAudioConfig(f.Config); f.Codec == stream.AAC && err == nil {
		v.sound.ffmpegOnly = config.Variant()
	}
	if err != nil && v.sound.ffmpegOnly == "" {
		v.sound.ffmpegOnly = f.Codec.String()
	}
	if v.pub != nil && v.sound.ffmpegOnly != "" {
		_ = v.pub.SetAudioFormat(*f) // the sound is expected while ffmpeg starts; the format is valid, because the publisher's was
	}
	v.judgeSound()
}

// judgeSound updates the warnings and the fault to what viewers hear.
func (v *view) judgeSound() {
	var fault *stream.Fault
	switch s := &v.sound; {
	case s.sample.undecodable && (s.child == nil || !s.child.delivered):
		v.unwarn(warningReencodedAudio)
		v.unwarn(warningUnsupportedAudio)
		fault = &stream.Fault{Code: warningMalformedAudio, Message: soundMalformed}
	case s.ffmpegOnly == "":
		v.unwarn(warningReencodedAudio)
		v.unwarn(warningUnsupportedAudio)
	case s.format.Codec == stream.AAC && !s.cannotDecode && s.failures < maxFailures && v.canTakeSlot():
		v.unwarn(warningUnsupportedAudio)
		v.warn(warningReencodedAudio, fmt.Sprintf(soundReencoded, s.ffmpegOnly))
	case s.coreDecodable:
		v.unwarn(warningReencodedAudio)
		v.warn(warningUnsupportedAudio, fmt.Sprintf(soundCore, s.ffmpegOnly))
	default:
		v.unwarn(warningReencodedAudio)
		fault = &stream.Fault{Code: warningUnsupportedAudio, Message: fmt.Sprintf(soundUnsupported, s.ffmpegOnly)}
	}
	if fault != nil {
		v.warn(fault.Code, fault.Message)
	} else {
		v.unwarn(warningMalformedAudio)
	}
	if v.pub != nil {
		v.pub.SetFault(stream.Audio, fault)
	}
}

// startSound starts a child for sound that needs one, if somebody listens and a child is allowed.
func (v *view) startSound() {
	now, s := time.Now(), &v.sound
	if s.format.Codec != stream.AAC || !v.canTranscode() || !v.needed() || now.Before(s.retryAt) || !s.launches.allowed(now) || !v.takeSlot() {
		return
	}
	s.launches.count(now)
	c, err := startSoundChild(v.cfg.FFmpegPath, s.format, v.cfg.Recovery)
	if err != nil {
		v.log.Error("ffmpeg cannot be started", "err", err)
		v.loseSound("start")
		return
	}
	s.child = c
	v.cfg.Metrics.FFmpegChildren.Inc()
	v.log.Info("ffmpeg started to re-encode sound", "pid", c.pid, "from", s.ffmpegOnly)
}

// stopSound ends the child, if there is one.
func (v *view) stopSound() {
	if c := v.sound.child; c != nil {
		v.sound.child = nil
		v.discard(c.process)
	}
	v.releaseSlot()
}

// loseSound handles the end of the child. Viewers hear silence until there is another
// child. The picture goes on.
func (v *view) loseSound(reason string) {
	v.stopSound()
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues(reason).Inc()
	v.sound.retryAt = time.Now().Add(min(firstBackoff<<min(v.sound.failures, 8), maxBackoff))
	v.sound.failures++
	v.judgeSound()
}

// forwardSoundFromChild passes on a frame of the child. ok is false when the child has ended.
func (v *view) forwardSoundFromChild(f soundFrame, ok bool) {
	c := v.sound.child
	if !ok {
		<-c.done
		v.log.Info("ffmpeg ended", "err", c.err)
		if recovery.Is(c.err) {
			v.rawPub.Expel() // the next child must not meet the same bytes
		}
		v.sound.cannotDecode = v.sound.cannotDecode || !v.sound.gaveFrame
		v.loseSound("exited")
		return
	}
	at := c.answered(f)
	v.sound.gaveFrame = true
	if c.given >= provenFrames && c.decodesMost() {
		v.sound.cannotDecode = false
	}
	if v.sound.failures > 0 && time.Since(c.started) > stableAfter {
		v.sound.failures = 0
		v.judgeSound()
	}
	v.forward(&stream.AccessUnit{
		Kind: stream.Audio, PTS: at, DTS: at, Arrival: v.raw.Now(), Format: f.format, Frame: f.frame,
	})
}

// superviseSound ends a child that hangs, that cannot decode the sound, or that is no longer needed. It also updates the warnings,
// because other streams may have taken the last slot, or released one.
func (v *view) superviseSound() {
	now := time.Now()
	switch c := v.sound.child; {
	case v.sound.ffmpegOnly == "":
		return
	case c != nil && !v.needed():
		v.log.Info("ffmpeg stopped: nobody listens")
		v.stopSound()
	case c != nil && c.hangs(now):
		v.log.Info("ffmpeg hangs", "pid", c.pid)
		v.sound.cannotDecode = v.sound.cannotDecode || !v.sound.gaveFrame && len(c.input) == 0
		v.loseSound("hung")
	case c != nil && c.decodesTooLittle():
		v.log.Info("ffmpeg cannot decode most of the sound", "pid", c.pid)
		v.sound.cannotDecode = true
		v.loseSound("undecodable")
	case c != nil && now.Sub(c.started) > maxChildAge:
		v.stopSound() // the next frame starts another child
	}
	v.judgeSound()
}
