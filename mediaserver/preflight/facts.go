// Package preflight judges what an encoder sends before an event: is it what viewers can watch, and
// do both legs match? The package says what to set in OBS and in ffmpeg.
//
// It is pure: it has no clock, goroutine, socket or file. Package gather measures. Start with Judge
// and JudgePair.
package preflight

import (
	"time"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A Leg is what was seen of one encoder's stream.
type Leg struct {
	// Name is what findings call the leg.
	Name string
	// Unread says why nothing was read; empty: the stream was read.
	Unread string
	// Ended reports whether the stream ended while it was watched.
	Ended bool
	Video *Video // nil: no picture has come
	Sound *Sound // nil: no sound has come
	Rates Rates
	// Warnings are those that the media server shows with the stream.
	Warnings []stream.Warning
	// TokenExpires is when the JSON Web Token of the URL expires; zero: never, or there is none.
	TokenExpires time.Time
}

// Video is what was seen of the pictures.
type Video struct {
	// Profile is that of the SPS, such as "High".
	Profile string
	// Limitation, Reordered and SampleAspect are as in stream.Format.
	Limitation   string
	Reordered    bool
	SampleAspect float64
	// Width and Height are in pixels.
	Width, Height int
	KeyFrames     KeyFrames
}

// Sound is what was seen of the sound.
type Sound struct {
	Codec stream.Codec
	// Variant is a kind of AAC that not all players take, such as "HE-AAC"; empty: all take the sound.
	Variant string
	// SampleRate is in Hz. Channels is 0 if it is unknown.
	SampleRate, Channels int
	// Blocks are the measures of each 100 ms that could be decoded. Their times are those of arrival, apart from the jitter,
	// so the times of two legs that were read together can be compared.
	Blocks []sound.Block
}

// The facts that another command sees too.
type (
	// KeyFrames is what was seen of the pictures at which decoding can begin.
	KeyFrames = preflight.KeyFrames
	// Rates are what an encoder sends in time. Jitter is the median over seconds.
	Rates = preflight.Rates
)

// picture returns what is judged as by the other command.
func (v Video) picture() preflight.Picture {
	return preflight.Picture{Profile: v.Profile, Width: v.Width, Height: v.Height, KeyFrames: v.KeyFrames}
}

// format returns what is judged as by the other command.
func (s Sound) format() preflight.Sound {
	return preflight.Sound{Codec: s.Codec.String(), Variant: s.Variant, SampleRate: s.SampleRate, Channels: s.Channels}
}

// Summary says in a few words what a leg sends.
func (l Leg) Summary() string {
	if l.Unread != "" {
		return "not read"
	}
	var p *preflight.Picture
	if l.Video != nil {
		picture := l.Video.picture()
		p = &picture
	}
	var s *preflight.Sound
	if l.Sound != nil {
		format := l.Sound.format()
		if s = &format; len(l.Sound.Blocks) > 0 {
			loudness := levelOf(*l.Sound).Integrated
			s.LUFS = &loudness
		}
	}
	return preflight.EncoderSummary(p, &l.Rates, s)
}
