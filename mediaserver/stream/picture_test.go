package stream

import (
	"math"
	"testing"
	"time"
)

func TestWhatAnSPSSaysOfHowPicturesLook(t *testing.T) {
	for name, tt := range map[string]struct {
		sps        []byte
		limitation string
		aspect     float64
	}{
		"8-bit 4:2:0, Main":        {sps240, "", 1},
		"8-bit 4:2:0, High":        {sps360, "", 1},
		"4:2:2":                    {unhex("677a000dbcb40a0fd808800000030080000019078a1550"), "4:2:2", 1},
		"4:4:4":                    {unhex("67f4000d91968141fb011000000300100000030320f142aa"), "4:4:4", 1},
		"10-bit":                   {unhex("676e000da6cb40a0fd80880000030008000003019078a155"), "10-bit", 1},
		"monochrome":               {unhex("6764000df2d0283f602d9000000300100000030320f142aa"), "monochrome", 1},
		"interlaced":               {unhex("67640015ace81410fcb8088000000300800000190f8a1550"), "interlaced", 1},
		"pixels of 64:45, 720x576": {unhex("6764001eacb405a0937fe0080005a2000003000200000300641e2c5d40"), "", 64.0 / 45},
	} {
		t.Run(name, func(t *testing.T) {
			p := begin(t, NewRegistry(Config{}))
			defer p.End(EndClosed)
			must(t, p.SetVideoParameters(tt.sps, pps0))
			f := p.Stream().Snapshot().Video.Format
			if f.Limitation != tt.limitation || math.Abs(f.SampleAspect-tt.aspect) > 1e-9 {
				t.Errorf("limitation %q and sample aspect %v, want %q and %v", f.Limitation, f.SampleAspect, tt.limitation, tt.aspect)
			}
		})
	}
}

func TestWhereADecoderCanStart(t *testing.T) {
	intra, inter := []byte{0x41, 0x88, 0x84}, []byte{0x41, 0x9a, 0x24}
	recovery := []byte{0x06, 0x06, 0x01, 0xc4, 0x80}
	after := []byte{0x06, 0x01, 0x01, 0x32, 0x06, 0x01, 0xc4, 0x80}
	long := append(append([]byte{0x06, 0x05, 0xff, 0x02}, make([]byte, 257)...), 0x06, 0x01, 0xc4, 0x80)
	for name, tt := range map[string]struct {
		nalus [][]byte
		want  bool
	}{
		"a recovery point":                       {[][]byte{recovery, inter}, true},
		"a recovery point after another message": {[][]byte{after, inter}, true},
		"a recovery point after a long message":  {[][]byte{long, inter}, true},
		"another SEI message":                    {[][]byte{sei, inter}, false},
		"an SEI message cut off":                 {[][]byte{{0x06, 0xff, 0xff, 0xff}, inter}, false},
		"intra slices and their SPS":             {[][]byte{sps240, pps0, intra, intra}, true},
		"an intra slice alone":                   {[][]byte{intra}, false},
		"an SPS before an inter slice":           {[][]byte{sps240, pps0, inter}, false},
		"an SPS before intra and inter slices":   {[][]byte{sps240, pps0, intra, inter}, false},
	} {
		if got := IsRecoveryPoint(tt.nalus); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestTheCacheOfAStreamWithoutIDRs(t *testing.T) {
	recovery := []byte{0x06, 0x06, 0x01, 0xc4, 0x80}
	r := NewRegistry(Config{MaxCacheDuration: 300 * ms})
	p := begin(t, r)
	defer p.End(EndClosed)
	must(t, p.SetVideoParameters(sps240, pps0))
	sub := p.Stream().Subscribe(100)
	defer sub.Close()
	write := func(n int, nalus ...[]byte) {
		t.Helper()
		at := time.Duration(n) * 40 * ms
		must(t, p.WriteVideo(at, at, nalus))
	}
	write(0, interSlice(9))
	if got := len(drain(sub)); got != 0 {
		t.Fatalf("%d pictures were handed on before one that a decoder can start with", got)
	}
	write(1, recovery, interSlice(9))
	write(2, interSlice(9))
	write(3, recovery, interSlice(9))
	write(4, interSlice(9))
	write(5, recovery, interSlice(9))
	write(6, interSlice(9))
	units := drain(sub)
	if len(units) != 6 || !units[0].RecoveryPoint || units[0].IDR || units[1].RecoveryPoint {
		t.Fatalf("%d pictures were handed on, the first is a recovery point: %v", len(units), units[0].RecoveryPoint)
	}
	snap, cached := p.Stream().Snapshot(), p.Stream().Cached()
	if snap.EntryPoint {
		t.Error("there is an entry point for viewers without an IDR")
	}
	if len(cached) != 4 || cached[0] != units[2] {
		t.Errorf("%d pictures are cached, want those from the last recovery point but one", len(cached))
	}
	write(7, idrSlice(9))
	if snap, cached := p.Stream().Snapshot(), p.Stream().Cached(); !snap.EntryPoint || len(cached) != 1 {
		t.Errorf("with an IDR there is an entry point: %v, and %d pictures are cached", snap.EntryPoint, len(cached))
	}
}

func TestOfAGOPThatIsTooLongTheCacheKeepsWhatFollowsARecoveryPoint(t *testing.T) {
	recovery := []byte{0x06, 0x06, 0x01, 0xc4, 0x80}
	p := begin(t, NewRegistry(Config{MaxCacheBytes: 4000}))
	defer p.End(EndClosed)
	must(t, p.SetVideoParameters(sps240, pps0))
	must(t, p.WriteVideo(0, 0, [][]byte{idrSlice(1000)}))
	must(t, p.WriteVideo(40*ms, 40*ms, [][]byte{recovery, interSlice(1000)}))
	if !p.Stream().Snapshot().EntryPoint {
		t.Error("an IDR within the bounds is no entry point")
	}
	must(t, p.WriteVideo(80*ms, 80*ms, [][]byte{interSlice(1000)}))
	must(t, p.WriteVideo(120*ms, 120*ms, [][]byte{interSlice(1000)}))
	if cached := p.Stream().Cached(); len(cached) != 3 || !cached[0].RecoveryPoint {
		t.Errorf("%d pictures are cached", len(cached))
	}
}
