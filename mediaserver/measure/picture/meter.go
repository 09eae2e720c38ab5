package picture

import (
	"fmt"
	"image/color"
	"time"
)

// Config says what pictures a Meter measures.
type Config struct {
	// Width and Height are the pictures' size in pixels. Both are even, and at most MaxSide. They
	// have no default; 320x180 is enough.
	Width, Height int
	// Thresholds decide until when a picture counts as unchanged. Default as Thresholds says.
	Thresholds Thresholds
	// ThumbnailBytes is the largest size of a thumbnail. Default 32 kB.
	ThumbnailBytes int
}

// MaxSide is the largest width and height of a picture, in pixels.
const MaxSide = 640

const (
	defaultThumbnailBytes = 32 << 10
	// darkest is the largest luma of a dark pixel: pix_th 0.10 of the limited range, as
	// ffmpeg's blackdetect computes it.
	darkest = 16 + (235-16)/10
	// forgetAfter is the time without a picture after which pictures are not compared.
	forgetAfter = 30 * time.Second
)

// A Meter measures the pictures of one publication, in the order of their times. It keeps one
// picture, one thumbnail, and a picture that becomes a thumbnail: some 250 kB for 320x180.
type Meter struct {
	cfg       Config
	reference []byte // the picture that the next ones are compared with; empty: none
	since     time.Duration
	last      time.Duration
	thumbnail thumbnailer
}

// NewMeter returns a Meter, or an error if the size is out of range.
func NewMeter(cfg Config) (*Meter, error) {
	for _, side := range []int{cfg.Width, cfg.Height} {
		if side < 2 || side > MaxSide || side%2 != 0 {
			return nil, fmt.Errorf("pictures of %dx%d: each side must be even, and at most %d", cfg.Width, cfg.Height, MaxSide)
		}
	}
	if cfg.ThumbnailBytes <= 0 {
		cfg.ThumbnailBytes = defaultThumbnailBytes
	}
	cfg.Thresholds = cfg.Thresholds.withDefaults()
	return &Meter{cfg: cfg, thumbnail: newThumbnailer(cfg)}, nil
}

// FrameBytes returns the size of a frame in bytes.
func (m *Meter) FrameBytes() int { return m.cfg.Width * m.cfg.Height * 3 / 2 }

// Measure measures a picture: 8-bit planar YUV 4:2:0 of limited range, the planes one after the
// other without padding. The frame is not kept. A frame of another size is an error.
func (m *Meter) Measure(at time.Duration, frame []byte) (Picture, error) {
	if len(frame) != m.FrameBytes() {
		return Picture{}, fmt.Errorf("frame of %d bytes, want %d", len(frame), m.FrameBytes())
	}
	area := m.cfg.Width * m.cfg.Height
	luma, cb, cr := histogramOf(frame[:area]), histogramOf(frame[area:area*5/4]), histogramOf(frame[area*5/4:])
	y, shareY := luma.main()
	b, shareB := cb.main()
	r, shareR := cr.main()
	p := Picture{
		At:        at,
		Dark:      luma.upTo(darkest),
		Uniform:   min(shareY, shareB, shareR),
		Color:     color.YCbCr{Y: y, Cb: b, Cr: r},
		Deviation: luma.deviation(),
	}
	m.compare(&p, frame)
	p.Thumbnail = m.thumbnail.of(at, frame)
	return p, nil
}

// compare sets Difference and Still. As ffmpeg's freezedetect does, it compares with the first of
// a row of unchanged pictures, so that a slow fade is a change.
func (m *Meter) compare(p *Picture, frame []byte) {
	p.Difference = 1
	if gap := p.At - m.last; len(m.reference) > 0 && gap >= 0 && gap <= forgetAfter {
		p.Difference = difference(m.reference, frame)
	}
	if m.cfg.Thresholds.Frozen(p) {
		p.Still = p.At - m.since
	} else {
		m.reference = append(m.reference[:0], frame...)
		m.since = p.At
	}
	m.last = p.At
}

// difference returns the mean absolute difference of all samples, as a share of 255.
func difference(a, b []byte) float64 {
	sum := 0
	b = b[:len(a)]
	for i, v := range a {
		d := int(v) - int(b[i])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(a)) / 255
}
