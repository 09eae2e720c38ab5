package preflight

import (
	"fmt"
	"math"
	"slices"
	"time"
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
	// tokenExpiresSoon is how long a token should last.
	tokenExpiresSoon = 24 * time.Hour
	// plainRate is the sample rate of Opus, in Hz, to which all sound is brought.
	plainRate = 48000
	// highDrift is 0.36 s in an hour, in millionths.
	highDrift = 100
	// secondsAnHour leads from millionths to seconds in an hour.
	secondsAnHour = 3600 / 1e6
	// unlikeRates is by what share two picture rates may differ.
	unlikeRates = 0.05
)

// OutOfStep is the offset from which on two legs are out of step. The condition InStep is False then.
const OutOfStep = time.Second

// Findings collects what is wrong with one subject. What both commands can see of an encoder is judged
// here, so that both judge alike.
type Findings struct {
	// Subject is what the findings are about.
	Subject string
	All     []Finding
}

// Add adds a finding, with what to set for its code.
func (f *Findings) Add(s Severity, code, message string, args ...any) {
	obs, ffmpeg := SettingsFor(code)
	f.All = append(f.All, Finding{
		Severity: s, Code: code, Subject: f.Subject, Message: fmt.Sprintf(message, args...), OBS: obs, FFmpeg: ffmpeg,
	})
}

// Has reports whether there is a finding of that code.
func (f *Findings) Has(code string) bool {
	return slices.ContainsFunc(f.All, func(one Finding) bool { return one.Code == code })
}

// NoVideo judges that no picture came. warned are the codes that a media server warns of: they may say
// why.
func (f *Findings) NoVideo(warned []string) {
	if !hasAny(warned, "UnsupportedVideo", "MalformedVideo", "NoPicture", "NoVideoPackets", "MissingVideo") {
		f.Add(Error, "NoVideo", "No picture came.")
	}
}

// NoSound judges that no sound came. warned is as for NoVideo.
func (f *Findings) NoSound(warned []string) {
	if !hasAny(warned, "UnsupportedAudio", "MalformedAudio", "NoAudioPackets") {
		f.Add(Error, "NoSound", "No sound came.")
	}
}

func hasAny(all []string, codes ...string) bool {
	return slices.ContainsFunc(all, func(one string) bool { return slices.Contains(codes, one) })
}

// Size judges the size of a picture, in pixels.
func (f *Findings) Size(width, height int) {
	if width*height > largePixels {
		f.Add(Info, "LargePicture", "The picture has %dx%d pixels, which is much for phones.", width, height)
	}
}

// KeyFrames judges the time between key frames.
func (f *Findings) KeyFrames(k KeyFrames) {
	switch {
	case k.RecoveryPoints > 0 && k.Interval > longKeyFrameInterval:
		f.Add(Error, "NoIDR", "The video has intra refresh or open GOPs, and IDR pictures only after %s or more.", seconds(k.Interval))
	case k.Interval > tooLongKeyFrameInterval:
		f.Add(Error, "KeyFrameInterval", "A key frame comes after %s or more: a planned switch waits for that long.", seconds(k.Interval))
	case k.Interval > longKeyFrameInterval:
		f.Add(Warning, "KeyFrameInterval", "A key frame comes only after %s.", seconds(k.Interval))
	}
}

// Rates judges the picture rate, and the bit rate for pictures of height lines.
func (f *Findings) Rates(r Rates, height int) {
	switch rate := r.FrameRate; {
	case rate == 0: // unknown
	case rate < tooLowFrameRate:
		f.Add(Error, "LowFrameRate", "The picture rate is %.3g a second: viewers see a slide show.", rate)
	case rate < lowFrameRate:
		f.Add(Warning, "LowFrameRate", "The picture rate is %.3g a second: motion stutters.", rate)
	case r.SlowestFrameRate > 0 && r.SlowestFrameRate < steadyRate*rate:
		f.Add(Warning, "UnsteadyFrameRate", "In one second only %.3g pictures came, of %.3g usually.", r.SlowestFrameRate, rate)
	}
	switch {
	case r.BitrateBPS > highBitrateBPS:
		f.Add(Warning, "HighBitrate", "The bit rate is %s, which many viewers' lines do not take.", bitrate(r.BitrateBPS))
	case r.BitrateBPS > 0 && r.BitrateBPS < lowBitrateBPS && height >= lowBitrateHeight:
		f.Add(Warning, "LowBitrate", "The bit rate is %s, which is little for %d lines.", bitrate(r.BitrateBPS), height)
	}
}

// Arrival judges how media arrives. Call it after Rates.
func (f *Findings) Arrival(r Rates) {
	if r.Jitter > highJitter && !f.Has("LowFrameRate") { // such pictures wait for each other in the encoder
		f.Add(Warning, "BurstyInput", "The media comes in bursts: the delay changes by %s within a second.", seconds(r.Jitter))
	}
	if r.Jumps > 0 {
		f.Add(Warning, "ClockJumps", "The encoder's clock jumped (%d times).", r.Jumps)
	}
}

// SampleRate judges the sample rate of sound that is not encoded again.
func (f *Findings) SampleRate(s Sound) {
	if s.SampleRate != plainRate && s.Codec == CodecAAC {
		f.Add(Info, "ResampledSound", "The sound has %g kHz, and is resampled to 48 kHz.", float64(s.SampleRate)/1000)
	}
}

// Token judges when a token expires.
func (f *Findings) Token(t Token, now time.Time) {
	severity, verb := Warning, "expires"
	switch {
	case t.Expires.IsZero() || t.Expires.Sub(now) > tokenExpiresSoon:
		return
	case !t.Expires.After(now):
		severity, verb = Error, "has expired"
	}
	message := fmt.Sprintf("The token of %s %s at %s", t.Of, verb, t.Expires.UTC().Format("2006-01-02 15:04 MST"))
	if t.Effect != "" {
		message += ": " + t.Effect
	}
	f.All = append(f.All, Finding{
		Severity: severity, Code: "TokenExpires", Subject: f.Subject, Message: message + ".",
		Remedy: "Let the issuer make tokens that last longer than the event.",
	})
}

// Pictures judges how the pictures of two legs differ. frameRates are those of the primary and of the
// backup, in pictures a second; 0: unknown.
func (f *Findings) Pictures(primary, backup Picture, frameRates [2]float64) {
	if p, b := primary, backup; p.Width != b.Width || p.Height != b.Height {
		f.Add(Warning, "SizeDiffers", "The primary has %dx%d pixels and the backup %dx%d: a switch shows.", p.Width, p.Height, b.Width, b.Height)
	}
	p, b := frameRates[0], frameRates[1]
	if p > 0 && b > 0 && math.Abs(p-b) > unlikeRates*math.Max(p, b) {
		f.Add(Warning, "RateDiffers", "The primary has %.3g pictures a second and the backup %.3g: a switch shows.", p, b)
	}
}

// Sounds judges how the formats of two legs' sound differ.
func (f *Findings) Sounds(primary, backup Sound) {
	switch {
	case primary.Codec != backup.Codec:
		f.Add(Warning, "MixedSound", "The primary's sound is %s and the backup's %s: some HLS players stop at a switch.", primary.Codec, backup.Codec)
	case primary.Channels != backup.Channels:
		f.Add(Info, "ChannelsDiffer", "The primary's sound is %s and the backup's %s.", channels(primary.Channels), channels(backup.Channels))
	}
}

// Step judges by how much two legs differ in time.
func (f *Findings) Step(s Step) {
	switch s.Doubt {
	case "":
	case DoubtDifferent:
		longer := ""
		if s.Short {
			longer = ": a longer check would tell"
		}
		f.Add(Warning, "DifferentSound", "The legs have different sound, or are far apart%s.", longer)
		return
	case DoubtAmbiguous:
		f.Add(Info, "StepUnknown", "The sound does not show by how much the legs differ: it repeats itself.")
		return
	default: // silence and gaps have findings of their own
		return
	}
	late := "backup"
	if s.Offset < 0 {
		late = "primary"
	}
	if s.Offset.Abs() >= OutOfStep {
		f.Add(Warning, "OutOfStep", "The %s is %s behind: a switch repeats or leaves out that much.", late, seconds(s.Offset.Abs()))
	}
	if s.DriftPPM != nil && math.Abs(*s.DriftPPM) > highDrift {
		f.Add(Warning, "Drift", "The legs drift apart by %.1f s an hour.", math.Abs(*s.DriftPPM)*secondsAnHour)
	}
}
