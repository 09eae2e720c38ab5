package feed

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestOfSeveralTracksTheFirstIsPlayed(t *testing.T) {
	// one returns a tag of one track in Enhanced RTMP's multitrack form: header,
	// packet type, fourcc, track, data.
	one := func(packetType, track byte, data ...byte) []byte {
		return append([]byte{0x95, packetType, 'm', 'p', '4', 'a', track}, data...)
	}
	many := func(packetType byte, tracks ...[]byte) []byte {
		b := []byte{0x95, 0x10 | packetType, 'm', 'p', '4', 'a'}
		for _, track := range tracks {
			b = append(append(b, track[0], 0, 0, byte(len(track)-1)), track[1:]...)
		}
		return b
	}
	for name, tt := range map[string]struct {
		tags [][]byte
		want [][]byte
		warn bool
	}{
		"a second track beside the plain one": {
			tags: [][]byte{aacConfig(), one(0, 1, 0x12, 0x08), aacFrame(), one(1, 1, 0x21, 9), aacFrame()},
			want: [][]byte{{0x21, 1}, {0x21, 1}}, warn: true,
		},
		"a second track of a foreign codec": {
			tags: [][]byte{aacConfig(), aacFrame(), []byte("\x95\x01fLaC\x01abc"), aacFrame()},
			want: [][]byte{{0x21, 1}, {0x21, 1}}, warn: true,
		},
		"the second track comes first": {
			tags: [][]byte{one(0, 1, 0x12, 0x08), one(1, 1, 0x21, 9), aacConfig(), aacFrame(), one(1, 1, 0x21, 9)},
			want: [][]byte{{0x21, 9}, {0x21, 1}}, warn: true,
		},
		"one track alone, with a number": {
			tags: [][]byte{one(0, 3, 0x11, 0x90), one(1, 3, 0x21, 9)},
			want: [][]byte{{0x21, 9}},
		},
		"all tracks in one tag": {
			tags: [][]byte{many(0, []byte{1, 0x12, 0x08}, []byte{0, 0x11, 0x90}), many(1, []byte{1, 0x21, 9}, []byte{0, 0x21, 8})},
			want: [][]byte{{0x21, 8}}, warn: true,
		},
		"all tracks in one tag, and the lowest is of a foreign codec": {
			tags: [][]byte{
				[]byte("\x95\x20fLaC\x00\x00\x00\x01ymp4a\x01\x00\x00\x02\x11\x90"),
				[]byte("\x95\x21fLaC\x00\x00\x00\x01ymp4a\x01\x00\x00\x02\x21\x09"),
			},
			want: [][]byte{{0x21, 9}}, warn: true,
		},
		"an end of sequence is no track": {
			tags: [][]byte{[]byte("\x92mp4a"), one(2, 0), {0xaf, 1}, one(0, 1, 0x11, 0x90), []byte("\x92mp4a"), one(1, 1, 0x21, 9)},
			want: [][]byte{{0x21, 9}},
		},
		"a malformed tag is no other track": {
			tags: [][]byte{one(0, 1, 0x11, 0x90), {0xaf, 7}, one(1, 1, 0x21, 9)},
			want: [][]byte{{0x21, 9}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, sub := newFeed(t)
			for n, tag := range tt.tags {
				if err := f.Audio(uint32(20*n), tag); err != nil {
					t.Fatalf("tag %d: %v", n, err)
				}
			}
			var got [][]byte
			for len(sub.C) > 0 {
				got = append(got, (<-sub.C).Frame)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			warned := slices.ContainsFunc(f.Publication().Stream().Snapshot().Warnings, func(w stream.Warning) bool { return w.Code == WarningMultitrack })
			if warned != tt.warn {
				t.Errorf("warned: %v, want %v", warned, tt.warn)
			}
		})
	}
}
