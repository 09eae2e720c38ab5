package picture

import (
	"bytes"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streampair/streampair/hack/seeded"
)

const (
	width, height = 320, 180
	area          = width * height
)

// plain returns a frame of one colour.
func plain(c color.YCbCr) []byte {
	frame := make([]byte, area*3/2)
	for i := range frame {
		switch {
		case i < area:
			frame[i] = c.Y
		case i < area*5/4:
			frame[i] = c.Cb
		default:
			frame[i] = c.Cr
		}
	}
	return frame
}

// noisy adds up to most to each sample of a frame, or takes that away.
func noisy(r *rand.Rand, frame []byte, most int) []byte {
	out := bytes.Clone(frame)
	for i := range out {
		out[i] = byte(min(max(int(out[i])+r.IntN(2*most+1)-most, 0), 255))
	}
	return out
}

// logo draws a white square in the upper left corner, which covers a share of the picture.
func logo(frame []byte, share float64) []byte {
	out := bytes.Clone(frame)
	const rows = 30
	for y := range rows {
		for x := range int(share * area / rows) {
			out[y*width+x] = 235
		}
	}
	return out
}

// slope is a picture with all values of luma.
func slope() []byte {
	out := plain(grey)
	for i := range area {
		out[i] = byte(16 + 219*(i%width)/width)
	}
	return out
}

var (
	black = color.YCbCr{Y: 16, Cb: 128, Cr: 128}
	grey  = color.YCbCr{Y: 126, Cb: 128, Cr: 128}
	blue  = color.YCbCr{Y: 41, Cb: 240, Cr: 110}
	green = color.YCbCr{Y: 145, Cb: 54, Cr: 34}
)

func newMeter(tb testing.TB, cfg Config) *Meter {
	tb.Helper()
	cfg.Width, cfg.Height = width, height
	m, err := NewMeter(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func measure(tb testing.TB, m *Meter, at time.Duration, frame []byte) Picture {
	tb.Helper()
	p, err := m.Measure(at, frame)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestOnePicture(t *testing.T) {
	r := seeded.Rand(t)
	type verdict struct {
		Black, OneColor          bool
		Dark, Uniform, Deviation float64
		Color                    color.YCbCr
	}
	tests := []struct {
		name  string
		frame []byte
		want  verdict
	}{
		{"black", plain(black), verdict{true, true, 1, 1, 0, black}},
		{"the darkest grey that is no black", plain(color.YCbCr{Y: 38, Cb: 128, Cr: 128}), verdict{false, true, 0, 1, 0, color.YCbCr{Y: 38, Cb: 128, Cr: 128}}},
		{"black with the noise of a camera", noisy(r, plain(black), 5), verdict{true, true, 1, 1, 3.2, black}},
		{"a small logo on black", logo(plain(black), 0.015), verdict{true, true, 0.985, 0.985, 26.6, black}},
		{"a large logo on black", logo(plain(black), 0.03), verdict{false, false, 0.97, 0.97, 37.3, black}},
		{"grey", plain(grey), verdict{false, true, 0, 1, 0, grey}},
		{"blue", plain(blue), verdict{false, true, 0, 1, 0, blue}},
		{"green with noise", noisy(r, plain(green), 5), verdict{false, true, 0, 1, 3.2, green}},
		{"a slope of all greys", slope(), verdict{false, false, 0.1, 0.06, 63, color.YCbCr{Cb: 128, Cr: 128}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := measure(t, newMeter(t, Config{}), 0, tt.frame)
			var th Thresholds
			got := verdict{th.Black(&p), th.OneColor(&p), p.Dark, p.Uniform, p.Deviation, p.Color}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0.02, 0.02), cmp.Comparer(nearColor)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// nearColor reports whether two colours are alike. A luma of 0 stands for any.
func nearColor(a, b color.YCbCr) bool {
	near := func(x, y byte) bool { return max(x, y)-min(x, y) <= 1 }
	return (near(a.Y, b.Y) || a.Y == 0 || b.Y == 0) && near(a.Cb, b.Cb) && near(a.Cr, b.Cr)
}

func TestStillCountsFromTheFirstOfUnchangedPictures(t *testing.T) {
	r := seeded.Rand(t)
	const s = time.Second
	still := slope()
	clock := logo(still, 0.004)
	type shown struct {
		at    time.Duration
		frame []byte
	}
	tests := []struct {
		name string
		show []shown
		want []time.Duration
	}{
		{"a still picture", []shown{{0, still}, {2 * s, still}, {4 * s, still}}, []time.Duration{0, 2 * s, 4 * s}},
		{"a picture that changes", []shown{{0, still}, {2 * s, clock}, {4 * s, still}}, []time.Duration{0, 0, 0}},
		{"noise of one step", []shown{{0, still}, {2 * s, noisy(r, still, 1)}}, []time.Duration{0, 0}},
		{"a fade so slow that neighbours are alike", []shown{{0, plain(grey)}, {2 * s, raised(plain(grey), 8)}, {4 * s, raised(plain(grey), 3)}, {6 * s, raised(raised(plain(grey), 3), 8)}}, []time.Duration{0, 2 * s, 0, 2 * s}},
		{"the slide changes, and the next one stays", []shown{{0, still}, {2 * s, plain(grey)}, {4 * s, plain(grey)}}, []time.Duration{0, 0, 2 * s}},
		{"a minute without a picture", []shown{{0, still}, {60 * s, still}, {62 * s, still}}, []time.Duration{0, 0, 2 * s}},
		{"a clock that jumps back", []shown{{60 * s, still}, {0, still}, {2 * s, still}}, []time.Duration{0, 0, 2 * s}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMeter(t, Config{})
			var got []time.Duration
			for _, f := range tt.show {
				got = append(got, measure(t, m, f.at, f.frame).Still)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// raised raises each nth sample by one step.
func raised(frame []byte, n int) []byte {
	for i := 0; i < len(frame); i += n {
		frame[i]++
	}
	return frame
}

func TestThumbnailIsThePictureAsJPEG(t *testing.T) {
	for name, want := range map[string]color.RGBA{"black": {A: 255}, "blue": {B: 255, A: 255}} {
		t.Run(name, func(t *testing.T) {
			frame := map[string][]byte{"black": plain(black), "blue": plain(blue)}[name]
			p := measure(t, newMeter(t, Config{}), 0, frame)
			got, err := jpeg.Decode(bytes.NewReader(p.Thumbnail))
			if err != nil {
				t.Fatal(err)
			}
			if got.Bounds().Dx() != width || got.Bounds().Dy() != height {
				t.Errorf("the thumbnail is of %v", got.Bounds())
			}
			r, g, b, a := got.At(width/2, height/2).RGBA()
			rgba := color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(a >> 8)}
			near := cmp.Comparer(func(x, y uint8) bool { return max(x, y)-min(x, y) <= 4 })
			if diff := cmp.Diff(want, rgba, near); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestThumbnailsAreFewAndSmall(t *testing.T) {
	r := seeded.Rand(t)
	noise := noisy(r, plain(grey), 100)
	const limit = 20 << 10
	m := newMeter(t, Config{ThumbnailBytes: limit})
	made := map[time.Duration]bool{}
	for at := time.Duration(0); at < 3*time.Second; at += 250 * time.Millisecond {
		p := measure(t, m, at, noise)
		made[at] = p.Thumbnail != nil
		if len(p.Thumbnail) > limit {
			t.Errorf("at %v the thumbnail has %d bytes", at, len(p.Thumbnail))
		}
	}
	for at, got := range made {
		if want := at%time.Second == 0; got != want {
			t.Errorf("at %v: thumbnail %v, want %v", at, got, want)
		}
	}
	if p := measure(t, newMeter(t, Config{ThumbnailBytes: 100}), 0, noise); p.Thumbnail != nil {
		t.Errorf("a thumbnail that cannot be small enough has %d bytes", len(p.Thumbnail))
	}
}

func TestSizesOutOfRangeAreRefused(t *testing.T) {
	for _, cfg := range []Config{{}, {Width: 321, Height: 180}, {Width: 320, Height: MaxSide + 2}, {Width: -2, Height: 2}} {
		if _, err := NewMeter(cfg); err == nil {
			t.Errorf("%dx%d is accepted", cfg.Width, cfg.Height)
		}
	}
	if _, err := newMeter(t, Config{}).Measure(0, make([]byte, 100)); err == nil {
		t.Error("a frame of 100 bytes is accepted")
	}
}

// BenchmarkFrame measures the cost of one frame with its thumbnail.
func BenchmarkFrame(b *testing.B) {
	m := newMeter(b, Config{})
	frame := noisy(seeded.New(1), slope(), 10)
	b.ReportAllocs()
	at := time.Duration(0)
	for b.Loop() {
		if _, err := m.Measure(at, frame); err != nil {
			b.Fatal(err)
		}
		at += 2 * time.Second
	}
}
