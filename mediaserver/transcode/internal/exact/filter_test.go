package exact

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestFilterTakesPicturesByWhatMayReferToThem(t *testing.T) {
	slice := func(header byte, sliceType int) []byte {
		w := &writer{}
		w.bits(uint32(header), 8)
		w.golomb(0)
		w.golomb(uint32(sliceType))
		w.bits(0xabcdef, 24)
		return w.b
	}
	idr := [][]byte{slice(0x65, 7)}
	p := [][]byte{slice(0x41, 5)}
	pUnused := [][]byte{slice(0x01, 5)}
	intra := [][]byte{slice(0x61, 2)}
	bUsed := [][]byte{slice(0x21, 1)}
	b := [][]byte{slice(0x01, 6)}
	mixed := [][]byte{slice(0x41, 0), slice(0x41, 1)}
	type step struct {
		nalus [][]byte
		ms    int
		show  bool
	}
	for name, steps := range map[string][]step{
		"B pictures that nobody refers to are left out": {{idr, 0, true}, {p, 120, true}, {b, 40, false}, {b, 80, false}, {p, 240, true}},
		"a B picture that is referred to ends it":       {{idr, 0, true}, {p, 160, true}, {bUsed, 80, false}, {b, 40, false}, {p, 320, false}, {intra, 360, false}, {idr, 400, true}, {p, 440, true}},
		"nothing before the IDR":                        {{p, 0, false}, {b, 40, false}, {idr, 80, true}},
		"P pictures out of order":                       {{idr, 0, true}, {p, 120, true}, {pUnused, 40, false}, {p, 160, true}, {p, 140, false}, {p, 200, false}},
		"P pictures nobody refers to":                   {{idr, 0, true}, {pUnused, 40, true}, {p, 80, true}, {pUnused, 120, true}},
		"intra pictures go with the others":             {{idr, 0, true}, {intra, 40, true}, {p, 80, true}},
		"a picture with P and B slices is a B picture":  {{idr, 0, true}, {mixed, 40, false}, {p, 80, false}},
		"an unreadable header ends it":                  {{idr, 0, true}, {[][]byte{{0x41, 0, 0, 0}}, 40, false}, {p, 80, false}, {idr, 120, true}},
		"data partitions end it":                        {{idr, 0, true}, {[][]byte{{0x22, 0x88, 0x80}}, 40, false}, {p, 80, false}},
		"an unreadable IDR is none":                     {{[][]byte{{0x65, 0, 0, 0}}, 0, false}, {p, 40, false}},
		"SEI does not matter":                           {{append([][]byte{{6, 1, 2, 3}}, idr...), 0, true}, {append([][]byte{{6, 1, 2, 3}}, p...), 40, true}},
		"an IDR may go back in time":                    {{idr, 1000, true}, {p, 1040, true}, {idr, 0, true}, {p, 40, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var f Filter
			for i, s := range steps {
				if got := f.Show(Picture{time.Duration(s.ms) * time.Millisecond, s.nalus}); got != s.show {
					t.Errorf("picture %d: shown %v, want %v", i, got, s.show)
				}
			}
		})
	}
	t.Run("after Break only an IDR", func(t *testing.T) {
		var f Filter
		f.Show(Picture{0, idr})
		f.Break()
		if f.Show(Picture{40 * time.Millisecond, p}) {
			t.Error("a P picture is shown")
		}
		if !f.Show(Picture{80 * time.Millisecond, idr}) {
			t.Error("an IDR is not")
		}
	})
}

func FuzzShow(f *testing.F) {
	f.Add([]byte{0x65, 0x88, 0x84, 0x00}, []byte{0x41, 0x9a, 0x24})
	f.Add([]byte{0x65, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03}, []byte{0x01, 0x9e, 0x41})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var filter Filter
		filter.Show(Picture{0, [][]byte{a, b}})
		if filter.Show(Picture{1, [][]byte{b}}) && !filter.whole {
			t.Error("shown without an IDR")
		}
	})
}

// filtered returns what the filter shows of a file, with the SPS rewritten.
func filtered(t *testing.T, units []*stream.AccessUnit) []*stream.AccessUnit {
	t.Helper()
	var f Filter
	var out []*stream.AccessUnit
	formats := map[*stream.Format]*stream.Format{}
	for _, u := range testunits.Of(stream.Video, units) {
		if !f.Show(Picture{u.PTS, u.NALUs}) {
			continue
		}
		if formats[u.Format] == nil {
			sps, err := WithoutReordering(u.Format.SPS)
			if err != nil {
				t.Fatal(err)
			}
			own := *u.Format
			own.SPS = sps
			formats[u.Format] = &own
		}
		own := *u
		own.Format = formats[u.Format]
		out = append(out, &own)
	}
	return out
}

func TestShownPicturesAreThoseOfAFullDecode(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		// shown is how many of 180 pictures at least.
		shown int
	}{
		"medium":           {[]string{"-preset", "medium"}, 6},
		"fast":             {[]string{"-preset", "fast"}, 6},
		"faster":           {[]string{"-preset", "faster"}, 6},
		"veryfast":         {[]string{"-preset", "veryfast"}, 6},
		"slow":             {[]string{"-preset", "slow"}, 6},
		"-bf 2":            {[]string{"-preset", "medium", "-bf", "2"}, 6},
		"b-pyramid none":   {[]string{"-preset", "medium", "-x264-params", "b-pyramid=none"}, 45},
		"b-pyramid strict": {[]string{"-preset", "medium", "-x264-params", "b-pyramid=strict"}, 6},
		"open GOP":         {[]string{"-preset", "medium", "-x264-params", "open-gop=1:b-pyramid=none"}, 10},
		"one reference":    {[]string{"-preset", "medium", "-refs", "1", "-x264-params", "b-pyramid=none"}, 45},
		"interlaced":       {[]string{"-preset", "fast", "-flags", "+ildct+ilme", "-x264-params", "b-pyramid=none"}, 45},
		"slices":           {[]string{"-preset", "fast", "-slices", "4", "-x264-params", "b-pyramid=none"}, 45},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := mediatest.File(t, mediatest.Spec{Duration: 6 * time.Second, BFrames: true, NoAudio: true, VideoArgs: tc.args, Label: "exact"})
			units := testunits.Load(t, path)
			shown := filtered(t, units)
			short := filepath.Join(t.TempDir(), "shown.flv")
			testunits.Save(t, short, shown)
			want, got := testunits.Pictures(t, path, 320, 180), testunits.Pictures(t, short, 320, 180)
			if len(got) != len(shown) {
				t.Errorf("%d of %d pictures come out of the decoder", len(got), len(shown))
			}
			worst := 200.0
			for at, p := range got {
				if want[at] == nil {
					t.Fatalf("a picture at %v that the file does not have", at)
				}
				worst = min(worst, testunits.PSNR(want[at], p))
			}
			t.Logf("%d of %d pictures shown, worst PSNR %.1f dB", len(got), len(want), worst)
			if worst < 40 {
				t.Errorf("worst PSNR %.1f dB, want at least 40", worst)
			}
			if len(got) < tc.shown {
				t.Errorf("%d pictures shown, want at least %d", len(got), tc.shown)
			}
		})
	}
}
