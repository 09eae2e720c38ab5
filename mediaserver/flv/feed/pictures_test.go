package feed

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// firstSlice and laterSlice are slices whose first_mb_in_slice is 0 and 2.
func firstSlice(n byte) []byte { return []byte{0x41, 0x9a, n} }
func laterSlice(n byte) []byte { return []byte{0x41, 0x6a, n} }
func firstIDR(n byte) []byte   { return []byte{0x65, 0x88, 0x80, n} }
func laterIDR(n byte) []byte   { return []byte{0x65, 0x68, 0x80, n} }

func TestPicturesInSeveralMessages(t *testing.T) {
	type message struct {
		ms    uint32
		nalus [][]byte
	}
	aud := []byte{9, 0xf0}
	for name, tt := range map[string]struct {
		messages []message
		want     [][][]byte // pictures, from the IDR on
	}{
		"whole pictures pass": {
			[]message{{0, [][]byte{firstIDR(1), laterIDR(2)}}, {33, [][]byte{firstSlice(3), laterSlice(4)}}},
			[][][]byte{{firstIDR(1), laterIDR(2)}, {firstSlice(3), laterSlice(4)}},
		},
		"a slice a message": {
			[]message{
				{0, [][]byte{firstIDR(1)}},
				{0, [][]byte{laterIDR(2)}},
				{33, [][]byte{firstSlice(3)}},
				{33, [][]byte{laterSlice(4)}},
				{67, [][]byte{firstSlice(5)}},
				{67, [][]byte{laterSlice(6)}},
				{100, [][]byte{firstSlice(7)}},
			},
			// The first IDR went out in part, and once more as a whole.
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2)}, {firstSlice(3), laterSlice(4)}, {firstSlice(5), laterSlice(6)}},
		},
		"a NAL unit a message": {
			[]message{
				{0, [][]byte{aud}},
				{0, [][]byte{testSPS}},
				{0, [][]byte{testPPS}},
				{0, [][]byte{firstIDR(1)}},
				{0, [][]byte{laterIDR(2)}},
				{0, [][]byte{laterIDR(3)}},
				{34, [][]byte{aud}},
				{33, [][]byte{firstSlice(4)}},
				{35, [][]byte{laterSlice(5)}}, // times alone separate nothing
				{67, [][]byte{aud}},
			},
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2), laterIDR(3)}, {firstSlice(4), laterSlice(5)}},
		},
		"found in the middle: nothing until the next IDR": {
			[]message{
				{0, [][]byte{firstIDR(1), laterIDR(2)}},
				{33, [][]byte{firstSlice(3)}},
				{33, [][]byte{laterSlice(4)}},
				{67, [][]byte{firstSlice(5)}},
				{67, [][]byte{laterSlice(6)}},
				{100, [][]byte{firstIDR(7)}},
				{100, [][]byte{laterIDR(8)}},
				{133, [][]byte{firstSlice(9)}},
			},
			[][][]byte{{firstIDR(1), laterIDR(2)}, {firstSlice(3)}, {firstIDR(7), laterIDR(8)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, sub := newFeed(t)
			if err := f.Video(0, videoConfig(t)); err != nil {
				t.Fatal(err)
			}
			for n, m := range tt.messages {
				if err := f.Video(m.ms, flv.AppendVideo(nil, false, 0, m.nalus)); err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
			}
			var got [][][]byte
			for len(sub.C) > 0 {
				got = append(got, (<-sub.C).NALUs)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheLastPictureOfAPauseIsHeldForAFrameIntervalAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sub := newFeed(t)
		write := func(ms uint32, nalus ...[]byte) {
			t.Helper()
			if err := f.Video(ms, flv.AppendVideo(nil, false, 0, nalus)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Video(0, videoConfig(t)), f.Audio(0, aacConfig())); err != nil {
			t.Fatal(err)
		}
		write(0, firstIDR(1))
		write(0, laterIDR(2))
		write(33, firstSlice(3))
		write(33, laterSlice(4))
		pictures := func() (n int) {
			for len(sub.C) > 0 {
				if u := <-sub.C; u.Kind == stream.Video {
					n++
				}
			}
			return n
		}
		if got := pictures(); got != 2 {
			t.Fatalf("%d pictures, want the IDR in part and whole", got)
		}
		time.Sleep(33 * time.Millisecond)
		if err := f.Audio(66, aacFrame()); err != nil {
			t.Fatal(err)
		}
		if got := pictures(); got != 1 {
			t.Errorf("%d pictures after a frame interval, want the one that was held", got)
		}
	})
}
