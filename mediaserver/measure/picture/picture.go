package picture

import (
	"image/color"
	"time"
)

// A Picture is what was measured of one picture. Each measure has its value beside the judgement by
// Thresholds, because who compares two legs needs a margin.
type Picture struct {
	// At is the picture's time on the leg's clock.
	At time.Duration
	// Dark is the share of dark pixels, 0 to 1.
	Dark float64
	// Uniform is the share of pixels that have the picture's main colour, 0 to 1.
	Uniform float64
	// Color is the main colour. It is of limited range, as the picture is.
	Color color.YCbCr
	// Deviation is the standard deviation of the luma, in steps of 8 bits.
	Deviation float64
	// Difference is the mean absolute difference to the picture that Still counts from, as a
	// share of 255. The first picture has 1.
	Difference float64
	// Still is how long the picture has not changed. 0: the picture has changed. Where only key
	// frames are measured, what moves and looks the same at each of them has not changed.
	Still time.Duration
	// Thumbnail is a JPEG file, in at most one picture of each second of the clock; else nil. It
	// is valid until the next call of Measure.
	Thumbnail []byte
}

// Thresholds say when a picture counts as black, as of one colour, or as unchanged.
type Thresholds struct {
	// Dark is the least share of dark pixels of a black picture. Default 0.98, as pic_th of
	// ffmpeg's blackdetect.
	Dark float64
	// Uniform is the least share of pixels that have the main colour. Default 0.98.
	Uniform float64
	// Difference is the largest mean difference of unchanged pictures, as a share of 255. Default
	// 0.001, -60 dB, as n of ffmpeg's freezedetect.
	Difference float64
}

func (t Thresholds) withDefaults() Thresholds {
	set := func(v *float64, to float64) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&t.Dark, 0.98)
	set(&t.Uniform, 0.98)
	set(&t.Difference, 0.001)
	return t
}

// Black reports whether the picture is black.
func (t Thresholds) Black(p *Picture) bool { return p.Dark >= t.withDefaults().Dark }

// OneColor reports whether the picture has only one colour, which may be black.
func (t Thresholds) OneColor(p *Picture) bool { return p.Uniform >= t.withDefaults().Uniform }

// Frozen reports whether the picture has not changed.
func (t Thresholds) Frozen(p *Picture) bool { return p.Difference <= t.withDefaults().Difference }
