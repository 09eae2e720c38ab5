package preflight

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// A Picture is what is known of an encoder's pictures.
type Picture struct {
	// Profile is that of the SPS, such as "High"; empty: it is unknown.
	Profile string
	// Width and Height are in pixels.
	Width, Height int
	KeyFrames     KeyFrames
}

// KeyFrames is what was seen of the pictures at which decoding can begin.
type KeyFrames struct {
	// IDRs and RecoveryPoints count both kinds. Both are 0 if nobody counted.
	IDRs, RecoveryPoints int
	// Interval is the longest time between two IDRs that was seen, and at least the time since the last
	// one. Of a media pod it is the time between the last two key frames. 0: it is unknown.
	Interval time.Duration
}

// CodecAAC is the Codec of sound in AAC. Its value is that of control.Track.
const CodecAAC = "AAC"

// A Sound is what is known of an encoder's sound.
type Sound struct {
	// Codec is CodecAAC or "Opus".
	Codec string
	// Variant is a kind of AAC that not all players take, such as "HE-AAC"; empty: all take the sound,
	// or the kind is unknown.
	Variant string
	// SampleRate is in Hz. Channels is 0 if it is unknown.
	SampleRate, Channels int
	// LUFS is the loudness; nil: it is unknown.
	LUFS *float64
}

// Rates are what an encoder sends in time.
type Rates struct {
	BitrateBPS int64
	// FrameRate is the mean or the usual one, in pictures a second; 0: it is unknown. SlowestFrameRate is
	// that of the worst second that was seen.
	FrameRate, SlowestFrameRate float64
	// Jitter is by how much media differs in how late it comes within a second: the median of all seconds
	// that were seen, or that of the last one.
	Jitter time.Duration
	// Jumps counts how often the encoder's clock has jumped.
	Jumps int
}

// The values of Step.Doubt. They are those of control.PairMeasures.
const (
	DoubtTooLittle = "TooLittle" // there is too little sound of both legs
	DoubtFlat      = "Flat"      // silence
	DoubtDifferent = "Different" // no offset makes both legs alike
	DoubtAmbiguous = "Ambiguous" // several offsets do, such as of a loop
)

// A Step is by how much the two legs of a pair differ in the time of the programme.
type Step struct {
	// Doubt says why Offset is unknown; empty: Offset is known.
	Doubt string
	// Offset is positive if the backup is later.
	Offset time.Duration
	// DriftPPM is by how much Offset grows, in millionths; nil: it is unknown.
	DriftPPM *float64
	// Short reports whether more of the sound can be compared by a longer check.
	Short bool
}

// A Token is the JSON Web Token of an encoder.
type Token struct {
	// Of says whose token it is, such as "the URL".
	Of string
	// Expires is when the token expires; zero: never, or there is none.
	Expires time.Time
	// Effect says what comes of that; empty: nothing is to be said.
	Effect string
}

// Summary says in a few words what the pictures are. rates may be nil: they are unknown.
func (p Picture) Summary(rates *Rates) string {
	words := fmt.Sprintf("%s %dx%d", strings.TrimSpace("H.264 "+p.Profile), p.Width, p.Height)
	if rates != nil {
		words += fmt.Sprintf(", %.3g pictures and %s a second", rates.FrameRate, bitrate(rates.BitrateBPS))
	}
	if p.KeyFrames.Interval > 0 {
		words += ", a key frame each " + seconds(p.KeyFrames.Interval)
	}
	return words
}

// Summary says in a few words what the sound is.
func (s Sound) Summary() string {
	words := fmt.Sprintf("%s, %g kHz, %s", cmp.Or(s.Variant, s.Codec), float64(s.SampleRate)/1000, channels(s.Channels))
	if s.LUFS != nil {
		words += fmt.Sprintf(", %.0f LUFS", *s.LUFS)
	}
	return words
}

// EncoderSummary says in a few words what an encoder sends. Both parts may be nil: nothing of it came.
func EncoderSummary(p *Picture, rates *Rates, s *Sound) string {
	video, audio := "no video", "no sound"
	if p != nil {
		video = p.Summary(rates)
	}
	if s != nil {
		audio = s.Summary()
	}
	return video + "; " + audio
}

// Summary says in a few words by how much the legs differ in time.
func (s Step) Summary() string {
	if s.Doubt != "" {
		return fmt.Sprintf("offset unknown (%s)", s.Doubt)
	}
	drift := "drift unknown"
	if s.DriftPPM != nil {
		drift = fmt.Sprintf("drift %.1f s an hour", *s.DriftPPM*secondsAnHour)
	}
	return fmt.Sprintf("the backup is %.1f s later, %s", s.Offset.Seconds(), drift)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func bitrate(bps int64) string { return fmt.Sprintf("%.3g Mbit/s", float64(bps)/1e6) }

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
