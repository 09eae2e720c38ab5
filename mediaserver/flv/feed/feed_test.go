package feed

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

var (
	testSPS = []byte{0x67, 0x4d, 0x40, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0c, 0x83, 0xc5, 0x0a, 0xa8}
	testPPS = []byte{0x68, 0xef, 0x0f, 0xcb}
)

func newFeed(t testing.TB) (*Feed, *stream.Subscription) {
	t.Helper()
	r := stream.NewRegistry(stream.Config{})
	p, err := r.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "primary"}})
	if err != nil {
		t.Fatal(err)
	}
	sub := p.Stream().Subscribe(1024)
	t.Cleanup(sub.Close)
	return New(p), sub
}

func videoConfig(t testing.TB) []byte {
	b, err := flv.AppendVideoConfig(nil, flv.AVCConfig{SPS: [][]byte{testSPS}, PPS: [][]byte{testPPS}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func idr() []byte {
	return flv.AppendVideo(nil, true, 80*time.Millisecond, [][]byte{{0x65, 0x88, 0x80}})
}

func TestTagsBecomeAccessUnits(t *testing.T) {
	for _, want := range []stream.Format{
		{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2},
		{Codec: stream.Opus, SampleRate: 48000, Channels: 1},
	} {
		t.Run(want.Codec.String(), func(t *testing.T) {
			f, sub := newFeed(t)
			codec, config := flv.AAC, want.Config
			if want.Codec == stream.Opus {
				codec, config = flv.Opus, OpusHead(want.Channels)
			}
			const wrap = 1<<32 - 20 // both tracks wrap as one
			for _, err := range []error{
				f.Video(wrap, videoConfig(t)),
				f.Audio(wrap, flv.AppendAudioConfig(nil, codec, config)),
				f.Video(wrap, idr()),
				f.Audio(5, flv.AppendAudio(nil, codec, []byte{1, 2})),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			video, audio := <-sub.C, <-sub.C
			if d := video.PTS - video.DTS; d != 80*time.Millisecond || !video.IDR || video.Format.Width != 320 {
				t.Errorf("video %+v", video)
			}
			if diff := cmp.Diff(want, *audio.Format); diff != "" || !bytes.Equal(audio.Frame, []byte{1, 2}) {
				t.Errorf("audio %+v\n%s", audio, diff)
			}
			if d := (audio.DTS - audio.Offset) - (video.DTS - video.Offset); d != 25*time.Millisecond {
				t.Errorf("audio comes %v after video", d)
			}
		})
	}
}

func TestWhatEndsAPublication(t *testing.T) {
	var codec *flv.UnsupportedCodecError
	var malformed *MalformedError
	t.Run("another codec, at once", func(t *testing.T) {
		f, _ := newFeed(t)
		if err := f.Video(0, []byte("\x90hvc1")); !errors.As(err, &codec) {
			t.Errorf("video: %v", err)
		}
		if err := f.Audio(0, []byte{2 << 4, 0}); !errors.As(err, &codec) || !codec.Audio {
			t.Errorf("audio: %v", err)
		}
	})
	t.Run("nothing but nonsense, in the end", func(t *testing.T) {
		f, _ := newFeed(t)
		for n := range MaxMalformed {
			err := f.Video(0, []byte{0x17})
			if last := n == MaxMalformed-1; errors.As(err, &malformed) != last {
				t.Fatalf("tag %d: %v", n, err)
			}
		}
	})
	t.Run("now and then nonsense, never", func(t *testing.T) {
		f, _ := newFeed(t)
		for n := range 3 * MaxMalformed {
			body := []byte{0x17}
			if n%(MaxMalformed-1) == 0 {
				body = videoConfig(t)
			}
			if err := f.Video(0, body); err != nil {
				t.Fatalf("tag %d: %v", n, err)
			}
		}
	})
	t.Run("that it has ended is known to whoever ended it", func(t *testing.T) {
		f, _ := newFeed(t)
		f.Publication().End(stream.EndClosed)
		if err := f.Video(0, videoConfig(t)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzFeed(f *testing.F) {
	f.Add(uint32(0), videoConfig(f), idr())
	f.Add(uint32(1<<32-1), flv.AppendAudioConfig(nil, flv.Opus, OpusHead(2)), flv.AppendAudio(nil, flv.Opus, []byte{0xfc, 1}))
	f.Add(uint32(9), flv.AppendAudioConfig(nil, flv.AAC, []byte{0x11, 0x90}), flv.AppendAudio(nil, flv.AAC, []byte{1}))
	f.Fuzz(func(t *testing.T, timestamp uint32, config, frame []byte) {
		feed, sub := newFeed(t)
		for _, body := range [][]byte{config, frame} {
			_ = feed.Video(timestamp, bytes.Clone(body))
			_ = feed.Audio(timestamp, bytes.Clone(body))
		}
		for len(sub.C) > 0 {
			if u := <-sub.C; u.Format == nil {
				t.Fatalf("unit %+v", u)
			}
		}
	})
}
