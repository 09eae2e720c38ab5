package picture

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"time"
)

// thumbnailQualities are tried in turn until a thumbnail is small enough.
var thumbnailQualities = [...]int{70, 40, 15}

// A thumbnailer makes JPEG files in memory that it uses again.
type thumbnailer struct {
	limit  int       // in bytes
	luma   [256]byte // the full range of JPEG for the limited range
	chroma [256]byte
	full   *image.YCbCr
	file   bytes.Buffer
	made   bool
	second time.Duration // of the last thumbnail
}

func newThumbnailer(cfg Config) thumbnailer {
	size := image.Rect(0, 0, cfg.Width, cfg.Height)
	t := thumbnailer{limit: cfg.ThumbnailBytes, full: image.NewYCbCr(size, image.YCbCrSubsampleRatio420)}
	clip := func(v float64) byte { return byte(math.Round(min(max(v, 0), 255))) }
	for i := range t.luma {
		t.luma[i] = clip(float64(i-16) * 255 / 219)
		t.chroma[i] = clip(float64(i-128)*255/224 + 128)
	}
	return t
}

// of returns a thumbnail of a frame. It returns nil if there has been one in this second of the
// clock, or if even the lowest quality is too large.
func (t *thumbnailer) of(at time.Duration, frame []byte) []byte {
	second := at.Truncate(time.Second)
	if t.made && second == t.second {
		return nil
	}
	t.made, t.second = true, second
	t.expand(frame)
	for _, quality := range thumbnailQualities {
		t.file.Reset()
		if err := jpeg.Encode(&t.file, t.full, &jpeg.Options{Quality: quality}); err != nil {
			return nil
		}
		if t.file.Len() <= t.limit {
			return t.file.Bytes()
		}
	}
	return nil
}

// expand sets full to a frame.
func (t *thumbnailer) expand(frame []byte) {
	n := len(t.full.Y)
	for i, v := range frame[:n] {
		t.full.Y[i] = t.luma[v]
	}
	chroma := len(t.full.Cb)
	for i, v := range frame[n : n+chroma] {
		t.full.Cb[i] = t.chroma[v]
	}
	for i, v := range frame[n+chroma:] {
		t.full.Cr[i] = t.chroma[v]
	}
}
