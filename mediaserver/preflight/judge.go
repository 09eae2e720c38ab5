package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/streampair/streampair/api/preflight"
)

// The limits. docs/encoders.md has what to set.
const (
	// longKeyFrameInterval is a little above what an encoder has to be set to. Beyond
	// tooLongKeyFrameInterval planned switches and some players wait for too long.
	longKeyFrameInterval, tooLongKeyFrameInterval = 2500 * time.Millisecond, 5 * time.Second
	// lowFrameRate is below each usual rate. tooLowFrameRate is a slide show.
	lowFrameRate, tooLowFrameRate = 20, 5
	// steadyRate is the least share of the mean rate in any second.
	steadyRate = 0.8
	// lowBitrateBPS is little for a picture of lowBitrateHeight lines or more. highBitrateBPS is more
	// than many viewers' lines take.
	lowBitrateBPS, lowBitrateHeight, highBitrateBPS = 150_000, 480, 20_000_000
	// largePixels is 1920x1088: more is much for phones.
	largePixels = 1920 * 1088
	// highJitter is as much as an encoder on a good line never has.
	highJitter = 500 * time.Millisecond
	// tokenExpiresSoon is how long a viewer's token should last.
	tokenExpiresSoon = 24 * time.Hour
)

// findings collects what is wrong with one subject.
type findings struct {
	subject string
	all     []preflight.Finding
}

func (f *findings) add(s preflight.Severity, code, message string, args ...any) {
	set := advices[code]
	f.all = append(f.all, preflight.Finding{
		Severity: s, Code: code, Subject: f.subject, Message: fmt.Sprintf(message, args...), OBS: set.obs, FFmpeg: set.ffmpeg,
	})
}

func (f *findings) has(code string) bool {
	return slices.ContainsFunc(f.all, func(one preflight.Finding) bool { return one.Code == code })
}

// Judge returns what is wrong with one leg at now.
func Judge(l Leg, now time.Time) []preflight.Finding {
	f := &findings{subject: l.Name}
	f.token(l.TokenExpires, now)
	if l.Unread != "" {
		f.all = append(f.all, preflight.Finding{
			Severity: preflight.Error, Code: "NotRead", Subject: l.Name, Message: "The stream cannot be read: " + l.Unread + ".",
			Remedy: "Start the encoder, and correct the URL or the token.",
		})
		return f.all
	}
	if l.Ended {
		f.add(preflight.Error, "StreamEnded", "The stream ended while it was watched.")
	}
	if l.Video != nil {
		f.video(*l.Video)
		f.rates(l)
	} else if !warned(l, "UnsupportedVideo", "MalformedVideo", "NoPicture", "NoVideoPackets", "MissingVideo") {
		f.add(preflight.Error, "NoVideo", "No picture came.")
	}
	if l.Sound != nil {
		f.sound(*l.Sound)
	} else if !warned(l, "UnsupportedAudio", "MalformedAudio", "NoAudioPackets") {
		f.add(preflight.Error, "NoSound", "No sound came.")
	}
	f.arrival(l.Rates)
	f.warnings(l)
	return f.all
}

// warned reports whether a leg has one of the warnings.
func warned(l Leg, codes ...string) bool {
	for _, w := range l.Warnings {
		if slices.Contains(codes, w.Code) {
			return true
		}
	}
	return false
}

func (f *findings) video(v Video) {
	if v.Limitation != "" {
		f.add(preflight.Error, "LimitedVideo", "The video is %s, which some players cannot show.", v.Limitation)
	}
	if v.Reordered {
		f.add(preflight.Error, "BFrames", "The video has B-frames, which WebRTC cannot carry.")
	}
	if v.Width*v.Height > largePixels {
		f.add(preflight.Info, "LargePicture", "The picture has %dx%d pixels, which is much for phones.", v.Width, v.Height)
	}
	if v.SampleAspect != 0 && v.SampleAspect != 1 {
		f.add(preflight.Warning, "NonSquarePixels", "The pixels are not square: some players show the picture too wide or too narrow.")
	}
	switch k := v.KeyFrames; {
	case k.RecoveryPoints > 0 && k.Interval > longKeyFrameInterval:
		f.add(preflight.Error, "NoIDR", "The video has intra refresh or open GOPs, and IDR pictures only after %s or more.", seconds(k.Interval))
	case k.Interval > tooLongKeyFrameInterval:
		f.add(preflight.Error, "KeyFrameInterval", "A key frame comes after %s or more: a planned switch waits for that long.", seconds(k.Interval))
	case k.Interval > longKeyFrameInterval:
		f.add(preflight.Warning, "KeyFrameInterval", "A key frame comes only after %s.", seconds(k.Interval))
	}
}

func (f *findings) rates(l Leg) {
	r := l.Rates
	switch rate := r.FrameRate; {
	case rate == 0: // unknown
	case rate < tooLowFrameRate:
		f.add(preflight.Error, "LowFrameRate", "The picture rate is %.3g a second: viewers see a slide show.", rate)
	case rate < lowFrameRate:
		f.add(preflight.Warning, "LowFrameRate", "The picture rate is %.3g a second: motion stutters.", rate)
	case r.SlowestFrameRate > 0 && r.SlowestFrameRate < steadyRate*rate:
		f.add(preflight.Warning, "UnsteadyFrameRate", "In one second only %.3g pictures came, of %.3g usually.", r.SlowestFrameRate, rate)
	}
	switch {
	case r.BitrateBPS > highBitrateBPS:
		f.add(preflight.Warning, "HighBitrate", "The bit rate is %s, which many viewers' lines do not take.", bitrate(r.BitrateBPS))
	case r.BitrateBPS > 0 && r.BitrateBPS < lowBitrateBPS && l.Video.Height >= lowBitrateHeight:
		f.add(preflight.Warning, "LowBitrate", "The bit rate is %s, which is little for %d lines.", bitrate(r.BitrateBPS), l.Video.Height)
	}
}

func (f *findings) arrival(r Rates) {
	if r.Jitter > highJitter && !f.has("LowFrameRate") { // such pictures wait for each other in the encoder
		f.add(preflight.Warning, "BurstyInput", "The media comes in bursts: the delay changes by %s within a second.", seconds(r.Jitter))
	}
	if r.Jumps > 0 {
		f.add(preflight.Warning, "ClockJumps", "The encoder's clock jumped (%d times).", r.Jumps)
	}
}

// grave are the warnings of a media server with which viewers miss something.
var grave = []string{
	"BFrames", "LimitedVideo", "MalformedAudio", "MalformedVideo", "MissingVideo", "NoAudioPackets", "NoEntryPoint", "NoIDR",
	"NoPicture", "NoVideoPackets", "PublisherExpelled", "TranscodeFailed", "TranscodesFull", "UndeclaredStream",
	"UnsupportedAudio", "UnsupportedVideo",
}

// warnings adds what the media server warns of, unless it has been said.
func (f *findings) warnings(l Leg) {
	for _, w := range l.Warnings {
		if f.has(w.Code) {
			continue
		}
		severity := preflight.Warning
		if slices.Contains(grave, w.Code) {
			severity = preflight.Error
		}
		f.add(severity, w.Code, "%s", w.Message)
	}
}

func (f *findings) token(expires, now time.Time) {
	severity, message := preflight.Warning, "The token of the URL expires at %s."
	switch {
	case expires.IsZero() || expires.Sub(now) > tokenExpiresSoon:
		return
	case !expires.After(now):
		severity, message = preflight.Error, "The token of the URL has expired at %s."
	}
	f.all = append(f.all, preflight.Finding{
		Severity: severity, Code: "TokenExpires", Subject: f.subject, Message: fmt.Sprintf(message, expires.UTC().Format("2006-01-02 15:04 MST")),
		Remedy: "Let the issuer make tokens that last longer than the event.",
	})
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func bitrate(bps int64) string { return fmt.Sprintf("%.3g Mbit/s", float64(bps)/1e6) }

// Summary says in a few words what a leg sends.
func (l Leg) Summary() string {
	if l.Unread != "" {
		return "not read"
	}
	video, audio := "no video", "no sound"
	if v := l.Video; v != nil {
		video = fmt.Sprintf("H.264 %s %dx%d, %.3g pictures and %s a second, a key frame each %s",
			v.Profile, v.Width, v.Height, l.Rates.FrameRate, bitrate(l.Rates.BitrateBPS), seconds(v.KeyFrames.Interval))
	}
	if s := l.Sound; s != nil {
		audio = fmt.Sprintf("%s, %g kHz, %s", cmp.Or(s.Variant, s.Codec.String()), float64(s.SampleRate)/1000, channels(s.Channels))
		if len(s.Blocks) > 0 {
			audio += fmt.Sprintf(", %.0f LUFS", levelOf(*s).Integrated)
		}
	}
	return video + "; " + audio
}

func channels(n int) string {
	switch n {
	case 0:
		return "several channels"
	case 1:
		return "mono"
	case 2:
		return "stereo"
	}
	return fmt.Sprintf("%d channels", n)
}
