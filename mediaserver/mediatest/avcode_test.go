package mediatest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTimeCodeIsReadAsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.SampledFrom([]int{160, 220, 320, 640, 1920}).Draw(t, "width"), rapid.SampledFrom([]int{90, 124, 360}).Draw(t, "height")
		want := TimeCode{rapid.IntRange(0, 3).Draw(t, "leg"), rapid.IntRange(0, MaxFrames-1).Draw(t, "frame")}
		luma := make([]byte, w*h)
		want.draw(luma, w, h)
		// The grain is like a coarse encoder's.
		grain := rapid.IntRange(0, 40).Draw(t, "grain")
		for i := range luma {
			luma[i] = byte(max(0, min(255, int(luma[i])+(i*7919%(2*grain+1))-grain)))
		}
		if got, ok := ReadTimeCode(luma, w, h); !ok || got != want {
			t.Fatalf("read %+v, %v; drawn %+v", got, ok, want)
		}
	})
}

func TestNoTimeCodeIsReadWhereThereIsNone(t *testing.T) {
	const w, h = 320, 180
	tests := map[string]func(luma []byte){
		"black": func([]byte) {},
		"white": func(luma []byte) { fillRect(luma, w, 0, 0, w, h, 255) },
		"ramp": func(luma []byte) {
			for i := range luma {
				luma[i] = byte(255 - i%w*255/w)
			}
		},
		"mixture of two": func(luma []byte) {
			other := make([]byte, w*h)
			TimeCode{0, 1000}.draw(luma, w, h)
			TimeCode{1, 3000}.draw(other, w, h)
			for i := range luma {
				luma[i] = byte((int(luma[i]) + int(other[i])) / 2)
			}
		},
		"a bit flipped": func(luma []byte) {
			TimeCode{0, 1000}.draw(luma, w, h)
			fillRect(luma, w, 10*w/codeBlocks, 0, 11*w/codeBlocks, h/codeRows, 255-luma[10*w/codeBlocks+3])
		},
	}
	for name, draw := range tests {
		t.Run(name, func(t *testing.T) {
			luma := make([]byte, w*h)
			draw(luma)
			if got, ok := ReadTimeCode(luma, w, h); ok {
				t.Errorf("read %+v", got)
			}
		})
	}
	if _, ok := ReadTimeCode(nil, 320, 180); ok {
		t.Error("read a code from nothing")
	}
}
