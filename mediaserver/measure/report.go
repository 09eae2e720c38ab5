package measure

import (
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/measure/picture"
	"github.com/streampair/streampair/mediaserver/measure/sound"
)

// A Report is what was measured of a stream within some time. Its times are on the media clock, in
// nanoseconds in JSON. It has at most maxBlocks blocks of sound and one picture: some 6 kB of JSON.
type Report struct {
	// Publication is when the publication began, in nanoseconds of the Unix epoch. It tells two
	// publications apart.
	Publication int64          `json:"publication"`
	Sound       []SoundBlock   `json:"sound,omitempty"`
	Picture     *PictureSample `json:"picture,omitempty"`
	Rates       *Rates         `json:"rates,omitempty"`
	// Unwatched says why pictures are not measured; empty: they are, or there are none.
	Unwatched Unwatched `json:"unwatched,omitempty"`
	// Undecoded reports whether the publication has sound that cannot be measured.
	Undecoded bool `json:"undecoded,omitempty"`
}

// maxBlocks is the largest number of blocks of sound in a Report.
const maxBlocks = 20

// Unwatched is why pictures are not measured.
type Unwatched string

// The reasons.
const (
	// UnwatchedNoFFmpeg: there is no ffmpeg, or it may not be used (--max-analysers 0).
	UnwatchedNoFFmpeg Unwatched = "NoFFmpeg"
	// UnwatchedFull: as many streams are watched as may be.
	UnwatchedFull Unwatched = "Full"
	// UnwatchedNoMemory: the server and another ffmpeg would not fit into the container's memory.
	UnwatchedNoMemory Unwatched = "NoMemory"
	// UnwatchedFailed: ffmpeg fails on the pictures.
	UnwatchedFailed Unwatched = "Failed"
)

// A SoundBlock is 100 ms of sound: see sound.Block.
type SoundBlock struct {
	At        time.Duration     `json:"at"`
	RMS       float64           `json:"rms"`
	Peak      float64           `json:"peak"`
	Momentary float64           `json:"momentary"`
	ShortTerm float64           `json:"shortTerm"`
	Clipped   int               `json:"clipped,omitempty"`
	Print     sound.Fingerprint `json:"print"`
}

func blockOf(b *sound.Block) SoundBlock {
	return SoundBlock{At: b.At, RMS: b.RMS, Peak: b.Peak, Momentary: b.Momentary, ShortTerm: b.ShortTerm, Clipped: b.Clipped, Print: b.Print}
}

// A PictureSample is a measured key frame: see picture.Picture.
type PictureSample struct {
	At         time.Duration `json:"at"`
	Dark       float64       `json:"dark"`
	Uniform    float64       `json:"uniform"`
	Difference float64       `json:"difference"`
}

func sampleOf(p *picture.Picture) *PictureSample {
	return &PictureSample{At: p.At, Dark: p.Dark, Uniform: p.Uniform, Difference: p.Difference}
}

// onClock returns the report with all times moved by shift.
func (r Report) onClock(shift time.Duration) Report {
	r.Sound = slices.Clone(r.Sound)
	for i := range r.Sound {
		r.Sound[i].At += shift
	}
	if r.Picture != nil {
		p := *r.Picture
		p.At += shift
		r.Picture = &p
	}
	if r.Rates != nil {
		rates := *r.Rates
		rates.From, rates.To = rates.From+shift, rates.To+shift
		r.Rates = &rates
	}
	return r
}
