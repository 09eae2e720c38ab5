package transcode

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode/internal/pcm"
)

// Codes of warnings about sound, and what they say of it.
const (
	warningReencodedAudio   = "ReencodedAudio"
	warningUnsupportedAudio = "UnsupportedAudio"

	soundHowTo       = "Set the encoder to AAC-LC, stereo."
	soundReencoded   = "The sound is %s, which is re-encoded to AAC-LC in stereo on the server. " + soundHowTo
	soundCore        = "The sound is %s, and the server does not re-encode it: viewers hear it without its high frequencies. " + soundHowTo
	soundUnsupported = "The sound is %s, which only ffmpeg decodes, and the server does not re-encode it: viewers hear silence. " + soundHowTo
)

// sound is the part of a view that has the sound re-encoded which only ffmpeg can decode
// in full.
type sound struct {
	format *stream.Format // of the sound that was looked at last
	// foreign says what sound it is that only ffmpeg can decode; "": it needs no ffmpeg.
	foreign string
	// core says that all but its high frequencies can be decoded without ffmpeg.
	core bool

	child    *soundChild
	failures int // in a row
	retryAt  time.Time
	launches launches
}

// framesOf is nil, which is never ready, for no child.
func framesOf(c *soundChild) <-chan soundFrame {
	if c == nil {
		return nil
	}
	return c.frames
}

// takeSound handles one frame of sound of the raw stream.
func (v *view) takeSound(u *stream.AccessUnit) {
	if v.sound.format != u.Format {
		v.lookAtSound(u.Format)
	}
	if v.sound.foreign != "" && v.sound.child == nil {
		v.startSound()
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

// lookAtSound finds out what is to be done with sound of format f.
func (v *view) lookAtSound(f *stream.Format) {
	v.stopSound()
	v.sound.format, v.sound.foreign = f, ""
	_, err := pcm.NewDecoder(f)
	v.sound.core = err == nil
	if config, err := flv.ParseAudioConfig(f.Config); f.Codec == stream.AAC && err == nil {
		v.sound.foreign = config.Variant()
	}
	if err != nil && v.sound.foreign == "" {
		v.sound.foreign = f.Codec.String()
	}
	if v.pub != nil && v.sound.foreign != "" {
		_ = v.pub.SetAudioFormat(*f) // it is expected while ffmpeg starts; an error would have been the publisher's
	}
	v.judgeSound()
}

// judgeSound says what viewers hear.
func (v *view) judgeSound() {
	var fault *stream.Fault
	switch s := &v.sound; {
	case s.foreign == "":
		v.unwarn(warningReencodedAudio)
		v.unwarn(warningUnsupportedAudio)
	case s.format.Codec == stream.AAC && s.failures < hopeless && v.mayHold():
		v.unwarn(warningUnsupportedAudio)
		v.warn(warningReencodedAudio, fmt.Sprintf(soundReencoded, s.foreign))
	case s.core:
		v.unwarn(warningReencodedAudio)
		v.warn(warningUnsupportedAudio, fmt.Sprintf(soundCore, s.foreign))
	default:
		v.unwarn(warningReencodedAudio)
		fault = &stream.Fault{Code: warningUnsupportedAudio, Message: fmt.Sprintf(soundUnsupported, s.foreign)}
		v.warn(fault.Code, fault.Message)
	}
	if v.pub != nil {
		v.pub.SetFault(stream.Audio, fault)
	}
}

// startSound starts a child for sound that needs one, if somebody listens and it is allowed.
func (v *view) startSound() {
	now, s := time.Now(), &v.sound
	if s.format.Codec != stream.AAC || !v.canTranscode() || !v.needed() || now.Before(s.retryAt) || !s.launches.allowed(now) || !v.hold() {
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
	v.log.Info("ffmpeg started to re-encode sound", "pid", c.pid, "from", s.foreign)
}

// stopSound ends the child, if there is one.
func (v *view) stopSound() {
	if c := v.sound.child; c != nil {
		v.sound.child = nil
		v.discard(c.process)
	}
	v.release()
}

// loseSound handles the end of the child. Viewers hear silence until there is another; the
// picture goes on.
func (v *view) loseSound(reason string) {
	v.stopSound()
	v.cfg.Metrics.FFmpegRestarts.WithLabelValues(reason).Inc()
	v.sound.retryAt = time.Now().Add(min(firstBackoff<<min(v.sound.failures, 8), maxBackoff))
	v.sound.failures++
	v.judgeSound()
}

// giveSound hands on a frame of the child; without ok the child is at its end.
func (v *view) giveSound(f soundFrame, ok bool) {
	c := v.sound.child
	if !ok {
		<-c.done
		v.log.Warn("ffmpeg ended", "err", c.err)
		if recovery.Is(c.err) {
			v.rawPub.Expel() // what is started in its place must not meet the same bytes
		}
		v.loseSound("exited")
		return
	}
	at := c.took(f)
	if v.sound.failures > 0 && time.Since(c.started) > stableAfter {
		v.sound.failures = 0
		v.judgeSound()
	}
	v.forward(&stream.AccessUnit{
		Kind: stream.Audio, PTS: at, DTS: at, Arrival: v.raw.Now(), Format: f.format, Frame: f.frame,
	})
}

// attendSound looks whether the child hangs or is needed no more, and says again what
// viewers hear: others may have taken the last place, or left one.
func (v *view) attendSound() {
	now := time.Now()
	switch c := v.sound.child; {
	case v.sound.foreign == "":
		return
	case c != nil && !v.needed():
		v.log.Info("ffmpeg stopped: nobody listens")
		v.stopSound()
	case c != nil && c.hangs(now):
		v.log.Warn("ffmpeg hangs", "pid", c.pid)
		v.loseSound("hung")
	case c != nil && now.Sub(c.started) > maxChildAge:
		v.stopSound() // the next frame starts another
	}
	v.judgeSound()
}
