package feed

import (
	"errors"
	"slices"
	"strings"
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
	aud, filler, endOfSequence, prefix := []byte{9, 0xf0}, []byte{12, 0xff, 0xff, 0x80}, []byte{10}, []byte{0x6e, 0x40, 0x80}
	partitionA, partitionB, partitionC := []byte{0x42, 0x9a, 1}, []byte{0x43, 0x9a, 2}, []byte{0x44, 0x9a, 3}
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
			// The first IDR was written in part, and then again as a whole.
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
				{35, [][]byte{laterSlice(5)}}, // times alone do not separate pictures
				{67, [][]byte{aud}},
			},
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2), laterIDR(3)}, {firstSlice(4), laterSlice(5)}},
		},
		"filler data behind each picture is part of none": {
			[]message{
				{0, [][]byte{firstIDR(1)}},
				{0, [][]byte{laterIDR(2)}},
				{0, [][]byte{filler}},
				{33, [][]byte{firstSlice(3)}},
				{33, [][]byte{laterSlice(4)}},
				{33, [][]byte{filler}},
				{67, [][]byte{firstSlice(5)}},
				{67, [][]byte{laterSlice(6)}},
				{67, [][]byte{filler}},
				{100, [][]byte{firstSlice(7)}},
			},
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2)}, {firstSlice(3), laterSlice(4)}, {firstSlice(5), laterSlice(6)}},
		},
		"what may stand between slices and begins no picture": {
			[]message{
				{0, [][]byte{firstIDR(1)}},
				{0, [][]byte{filler}},
				{0, [][]byte{laterIDR(2)}},
				{0, [][]byte{endOfSequence}},
				{33, [][]byte{prefix}},
				{33, [][]byte{firstSlice(3)}},
				{33, [][]byte{filler}},
				{33, [][]byte{prefix}},
				{33, [][]byte{laterSlice(4)}},
				{67, [][]byte{aud}},
			},
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2)}, {firstSlice(3), laterSlice(4)}},
		},
		"a data partition a message": {
			[]message{
				{0, [][]byte{firstIDR(1)}},
				{0, [][]byte{laterIDR(2)}},
				{33, [][]byte{partitionA}},
				{33, [][]byte{partitionB}},
				{33, [][]byte{partitionC}},
				{67, [][]byte{aud}},
			},
			[][][]byte{{firstIDR(1)}, {firstIDR(1), laterIDR(2)}, {partitionA, partitionB, partitionC}},
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
			if diff := cmp.Diff(tt.want, nalusOf(videoOf(sub))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// videoOf returns the pictures that have come to the subscription.
func videoOf(sub *stream.Subscription) []*stream.AccessUnit {
	var units []*stream.AccessUnit
	for len(sub.C) > 0 {
		if u := <-sub.C; u.Kind == stream.Video {
			units = append(units, u)
		}
	}
	return units
}

func nalusOf(units []*stream.AccessUnit) (nalus [][][]byte) {
	for _, u := range units {
		nalus = append(nalus, u.NALUs)
	}
	return nalus
}

// splitFeed returns a Feed whose pictures come in several messages. The first picture
// has been written.
func splitFeed(t *testing.T) (*Feed, *stream.Subscription) {
	t.Helper()
	f, sub := newFeed(t)
	for _, err := range []error{
		f.Video(0, videoConfig(t)),
		f.Audio(0, aacConfig()),
		f.Video(0, picture(firstIDR(1))),
		f.Video(0, picture(laterIDR(2))),
		f.Audio(0, aacFrame()),
		f.Video(33, picture(firstSlice(3))),
		f.Video(33, picture(laterSlice(4))),
		f.Audio(33, aacFrame()),
		f.Video(67, picture(firstSlice(5))),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(videoOf(sub)); got != 3 {
		t.Fatalf("%d pictures, want the IDR in part and whole, and the next", got)
	}
	return f, sub
}

func picture(nalus ...[]byte) []byte { return flv.AppendVideo(nil, false, 0, nalus) }

func TestPicturesInSeveralMessagesHaveTheirOwnTimes(t *testing.T) {
	f, sub := newFeed(t)
	if err := f.Video(0, videoConfig(t)); err != nil {
		t.Fatal(err)
	}
	filler := []byte{12, 0xff, 0xff, 0x80}
	for ms := uint32(0); ms <= 120; ms += 40 {
		first, later := firstSlice(1), laterSlice(2)
		if ms == 0 {
			first, later = firstIDR(1), laterIDR(2)
		}
		for _, nalu := range [][]byte{first, later, filler} {
			if err := f.Video(ms, picture(nalu)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []time.Duration
	for _, u := range videoOf(sub) {
		got = append(got, u.DTS-u.Offset)
	}
	const ms = time.Millisecond
	if diff := cmp.Diff([]time.Duration{0, 0, 40 * ms, 80 * ms}, got); diff != "" {
		t.Error(diff)
	}
}

func TestANetworkThatStallsCutsNoPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sub := splitFeed(t)
		time.Sleep(time.Second)
		for _, err := range []error{
			f.Audio(54, aacFrame()), // sent between the slices
			f.Video(67, picture(laterSlice(6))),
			f.Video(100, picture(firstSlice(7))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([][][]byte{{firstSlice(5), laterSlice(6)}}, nalusOf(videoOf(sub))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPictureThatWasCutSpoilsThoseUpToTheNextIDR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sub := splitFeed(t)
		time.Sleep(time.Second)
		for _, err := range []error{
			f.Audio(1000, aacFrame()), // the picture seems to be the last before a pause
			f.Video(67, picture(laterSlice(6))),
			f.Video(1000, picture(firstSlice(7))),
			f.Video(1000, picture(laterSlice(8))),
			f.Video(1033, picture(firstIDR(9))),
			f.Video(1033, picture(laterIDR(10))),
			f.Video(1067, picture(firstSlice(11))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want := [][][]byte{{firstSlice(5)}, {firstIDR(9), laterIDR(10)}}
		if diff := cmp.Diff(want, nalusOf(videoOf(sub))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPictureOfSeveralMessagesThatIsTooLargeIsLeftOut(t *testing.T) {
	f, sub := splitFeed(t)
	f.LimitPictures(100)
	filler := append(make([]byte, 200), 0x80)
	filler[0] = 12 // filler, which does not count
	large := func(n byte) []byte { return append(laterSlice(n), make([]byte, 60)...) }
	for n, nalu := range [][]byte{
		laterSlice(6), firstSlice(7), large(8), large(9), laterSlice(10), firstSlice(11), laterSlice(12),
		firstIDR(13), filler, laterIDR(14), firstSlice(15),
	} {
		if err := f.Video(uint32(67+n), picture(nalu)); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	want := [][][]byte{{firstSlice(5), laterSlice(6)}, {firstIDR(13), laterIDR(14)}}
	if diff := cmp.Diff(want, nalusOf(videoOf(sub))); diff != "" {
		t.Error(diff)
	}
	snap := f.Publication().Stream().Snapshot()
	told := slices.ContainsFunc(snap.Warnings, func(w stream.Warning) bool {
		return w.Code == WarningTooLarge && strings.Contains(w.Message, "picture of 132 bytes") && strings.Contains(w.Message, "at most 100")
	})
	if !told || snap.Video.Fault != nil {
		t.Errorf("warnings %v, fault of the picture %v", snap.Warnings, snap.Video.Fault)
	}
}

func TestAHeaderThatComesAfterTheFirstPictureIsTaken(t *testing.T) {
	f, sub := newFeed(t)
	for n, body := range [][]byte{
		picture(firstIDR(1)), picture(laterIDR(2)), videoConfig(t),
		picture(firstIDR(3)), picture(laterIDR(4)), picture(firstSlice(5)),
	} {
		if err := f.Video(uint32(33*n), body); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	if diff := cmp.Diff([][][]byte{{firstIDR(3), laterIDR(4)}}, nalusOf(videoOf(sub))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatPrecedesAPictureInMessagesOfItsOwnGoesWithIt(t *testing.T) {
	recovery, intra := []byte{6, 6, 1, 0xc4, 0x80}, []byte{0x41, 0x88, 0x84}
	for name, tt := range map[string]struct {
		ahead [][]byte
		slice []byte
		want  bool // whether the picture is a recovery point
	}{
		"a recovery point":                       {[][]byte{recovery}, firstSlice(1), true},
		"a delimiter before a recovery point":    {[][]byte{{9, 0xf0}, recovery}, firstSlice(1), true},
		"parameter sets before an intra picture": {[][]byte{testSPS, testPPS}, intra, true},
		"parameter sets before another picture":  {[][]byte{testSPS, testPPS}, firstSlice(1), false},
		"nothing":                                {nil, intra, false},
		"more than a picture can have":           {append(slices.Repeat([][]byte{{6, 5, 1, 0, 0x80}}, maxPrecedingNALUs), recovery), firstSlice(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			f, sub := newFeed(t)
			messages := append(tt.ahead, tt.slice, firstSlice(2))
			for n, body := range append([][]byte{videoConfig(t), idr()}, bodies(messages)...) {
				if err := f.Video(uint32(33*n), body); err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
			}
			got := videoOf(sub)
			if len(got) != 3 || got[1].RecoveryPoint != tt.want || got[2].RecoveryPoint {
				t.Errorf("pictures %+v", got)
			}
		})
	}
}

// bodies returns a message for each NAL unit.
func bodies(nalus [][]byte) (messages [][]byte) {
	for _, nalu := range nalus {
		messages = append(messages, picture(nalu))
	}
	return messages
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
		if got := len(videoOf(sub)); got != 2 {
			t.Fatalf("%d pictures, want the IDR in part and whole", got)
		}
		time.Sleep(33 * time.Millisecond)
		if err := f.Audio(66, aacFrame()); err != nil {
			t.Fatal(err)
		}
		if got := len(videoOf(sub)); got != 1 {
			t.Errorf("%d pictures after a frame interval, want the one that was held", got)
		}
	})
}

// FuzzPictures checks that what is held is bounded, whatever NAL units come in separate messages.
func FuzzPictures(f *testing.F) {
	message := func(nalus ...[]byte) (b []byte) {
		for _, nalu := range nalus {
			b = append(append(b, byte(len(nalu))), nalu...)
		}
		return b
	}
	f.Add(message(testSPS, testPPS, firstIDR(1), laterIDR(2), firstSlice(3), laterSlice(4), firstSlice(5)))
	f.Add(message([]byte{9, 0xf0}, []byte{6, 6, 1, 0xc4, 0x80}, firstSlice(1), []byte{12, 0xff, 0x80}, laterSlice(2), []byte{10}))
	f.Add(message(laterIDR(1), laterIDR(2), []byte{0x42, 0x9a}, []byte{0x43, 1}, []byte{0x6e, 1}, firstIDR(3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 100
		feed, sub := newFeed(t)
		feed.LimitPictures(limit)
		_ = feed.Audio(0, aacConfig())
		for at := uint32(0); len(b) > 1; at += 20 {
			n := min(int(b[0]), len(b)-1)
			_ = feed.Video(at, picture(b[1:1+n]))
			b = b[1+n:]
			if len(b)%3 == 0 {
				_ = feed.Audio(at, aacFrame())
			}
			held := 0
			for _, nalu := range feed.pictures.held.nalus.nalus {
				held += len(nalu)
			}
			if ahead := feed.pictures.preceding.nalus; held > max(limit, n) || len(ahead) > maxPrecedingNALUs {
				t.Fatalf("%d bytes of a picture are held, and %d NAL units ahead of one", held, len(ahead))
			}
		}
		for _, u := range videoOf(sub) {
			if u.Format == nil || len(u.NALUs) == 0 {
				t.Fatalf("picture %+v", u)
			}
		}
	})
}
