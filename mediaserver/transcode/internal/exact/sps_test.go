package exact

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// spsSeeds are SPS of encoders of several kinds.
var spsSeeds = map[string]string{
	"x264, High, VUI with restriction": "67640028acd940780227e5c044000003000400000300f03c60c658",
	"x264, Main":                       "674d401eeca0a03da1000003000100000300328f162d96",
	"Baseline without VUI":             "6742c01eb90280f4",
	"cut short":                        "674d00290000",
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameButReordering fails unless b is a with nothing reordered.
func sameButReordering(t *testing.T, a, b []byte) {
	t.Helper()
	var before, after h264.SPS
	if err := before.Unmarshal(a); err != nil {
		t.Skipf("not an SPS for mediacommon: %v", err)
	}
	if err := after.Unmarshal(b); err != nil {
		t.Fatalf("the rewritten SPS %x cannot be parsed: %v", b, err)
	}
	if after.VUI == nil || after.VUI.BitstreamRestriction == nil {
		t.Fatalf("no bitstream restriction in the rewritten SPS %x", b)
	}
	want := before
	want.VUI = &h264.SPS_VUI{}
	if before.VUI != nil {
		*want.VUI = *before.VUI
	}
	restriction := h264.SPS_BitstreamRestriction{
		MotionVectorsOverPicBoundariesFlag: true, MaxBytesPerPicDenom: 2, MaxBitsPerMbDenom: 1,
		Log2MaxMvLengthHorizontal: 15, Log2MaxMvLengthVertical: 15,
	}
	if r := want.VUI.BitstreamRestriction; r != nil {
		restriction = *r
	}
	restriction.MaxNumReorderFrames = 0
	restriction.MaxDecFrameBuffering = before.MaxNumRefFrames
	want.VUI.BitstreamRestriction = &restriction
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("the rewritten SPS says something else (-want +got):\n%s", diff)
	}
	again, err := WithoutReordering(b)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("rewritten once more it is %x, %v; want %x", again, err, b)
	}
}

func TestWithoutReorderingChangesNothingElse(t *testing.T) {
	ffmpeg := mediatest.RequireFFmpeg(t)
	for name, args := range map[string][]string{
		"medium":                 {"-preset", "medium"},
		"Main":                   {"-profile:v", "main"},
		"16 references":          {"-preset", "veryslow", "-refs", "16"},
		"no B-frames":            {"-bf", "0"},
		"interlaced":             {"-flags", "+ildct+ilme", "-top", "1"},
		"HRD":                    {"-b:v", "500k", "-maxrate", "500k", "-bufsize", "500k", "-x264-params", "nal-hrd=cbr"},
		"HRD of both kinds, VBR": {"-b:v", "500k", "-maxrate", "900k", "-bufsize", "900k", "-x264-params", "nal-hrd=vbr:pic-struct=1"},
		"scaling matrices":       {"-x264-params", "cqm=jvt"},
		"extended aspect ratio":  {"-vf", "setsar=37/41"},
		"colours, full range":    {"-color_range", "pc", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-chroma_sample_location", "topleft"},
		"POC type 2":             {"-bf", "0", "-x264-params", "bframes=0:open-gop=0"},
		"cropped":                {"-s", "322x182"},
		"4:4:4":                  {"-pix_fmt", "yuv444p"},
		"4:2:2, 10 bit":          {"-pix_fmt", "yuv422p10le"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.h264")
			line := append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=0.2", "-c:v", "libx264"}, args...)
			if out, err := exec.Command(ffmpeg, append(line, "-y", path)...).CombinedOutput(); err != nil {
				t.Fatalf("ffmpeg: %v %s", err, out)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sps := firstSPS(t, data)
			got, err := WithoutReordering(sps)
			if err != nil {
				t.Fatalf("%x: %v", sps, err)
			}
			sameButReordering(t, sps, got)
		})
	}
}

func firstSPS(t *testing.T, annexB []byte) []byte {
	t.Helper()
	var au h264.AnnexB
	if err := au.Unmarshal(annexB); err != nil {
		t.Fatal(err)
	}
	for _, nalu := range au {
		if nalu[0]&0x1f == 7 {
			return nalu
		}
	}
	t.Fatal("no SPS")
	return nil
}

// bitString makes a NAL unit of an SPS out of values: positive lengths are u(n), 0 is
// ue(v).
func bitString(values ...[2]int) []byte {
	w := &writer{}
	for _, v := range values {
		if v[1] == 0 {
			w.golomb(uint32(v[0]))
		} else {
			w.bits(uint32(v[0]), v[1])
		}
	}
	w.bits(1, 1)
	return escape(w.b)
}

func TestWithoutReorderingAddsAVUI(t *testing.T) {
	sps := bitString(
		[2]int{0x67, 8}, [2]int{77, 8}, [2]int{0, 8}, [2]int{30, 8}, [2]int{0, 0},
		[2]int{0, 0}, [2]int{0, 0}, [2]int{2, 0}, // pic_order_cnt_type 0
		[2]int{4, 0}, [2]int{0, 1}, [2]int{19, 0}, [2]int{14, 0}, [2]int{1, 1}, [2]int{1, 1},
		[2]int{1, 1}, [2]int{0, 0}, [2]int{1, 0}, [2]int{0, 0}, [2]int{2, 0}, // cropping
		[2]int{0, 1}, // no VUI
	)
	got, err := WithoutReordering(sps)
	if err != nil {
		t.Fatal(err)
	}
	sameButReordering(t, sps, got)
}

func TestWithoutReorderingOfPOCType1(t *testing.T) {
	sps := bitString(
		[2]int{0x67, 8}, [2]int{77, 8}, [2]int{0, 8}, [2]int{30, 8}, [2]int{0, 0},
		[2]int{0, 0}, [2]int{1, 0}, // pic_order_cnt_type 1
		[2]int{0, 1}, [2]int{3, 0}, [2]int{4, 0}, [2]int{2, 0}, [2]int{5, 0}, [2]int{6, 0}, // two offsets
		[2]int{3, 0}, [2]int{0, 1}, [2]int{19, 0}, [2]int{14, 0}, [2]int{1, 1}, [2]int{1, 1},
		[2]int{0, 1}, // no cropping
		[2]int{0, 1}, // no VUI
	)
	got, err := WithoutReordering(sps)
	if err != nil {
		t.Fatal(err)
	}
	sameButReordering(t, sps, got)
}

func TestWithoutReorderingRefusesWhatItCannotRead(t *testing.T) {
	good := unhex(t, spsSeeds["x264, High, VUI with restriction"])
	for name, sps := range map[string][]byte{
		"empty":          {},
		"a PPS":          {0x68, 0xeb, 0xe3, 0xcb},
		"cut short":      good[:8],
		"only its start": good[:1],
		"zeros":          make([]byte, 40),
		"ones":           bytes.Repeat([]byte{0xff}, 2),
	} {
		if got, err := WithoutReordering(sps); err == nil {
			t.Errorf("%s: %x, no error", name, got)
		}
	}
}

func FuzzWithoutReordering(f *testing.F) {
	for _, s := range spsSeeds {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, sps []byte) {
		got, err := WithoutReordering(sps)
		if err != nil {
			return
		}
		if len(got) > 2*len(sps)+32 {
			t.Errorf("%d bytes became %d", len(sps), len(got))
		}
		sameButReordering(t, sps, got)
	})
}
