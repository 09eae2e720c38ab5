// Package preflight judges what an encoder sends before an event: is it what viewers can watch, and
// do both legs match? The package says what to set in OBS and in ffmpeg.
//
// It is pure: it has no clock, goroutine, socket or file. Package gather measures. Start with Judge
// and JudgePair.
package preflight

import (
	"time"

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

// KeyFrames is what was seen of the pictures at which decoding can begin.
type KeyFrames struct {
	// IDRs and RecoveryPoints count both kinds.
	IDRs, RecoveryPoints int
	// Interval is the longest time between two IDRs, and at least the time since the last one.
	Interval time.Duration
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

// Rates are what an encoder sends in time.
type Rates struct {
	BitrateBPS int64
	// FrameRate is the mean, in pictures a second. SlowestFrameRate is that of the worst second.
	FrameRate, SlowestFrameRate float64
	// Jitter is the median, over seconds, of how late media comes.
	Jitter time.Duration
	// Jumps counts how often the encoder's clock has jumped.
	Jumps int
}
