package feed

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
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
			const wrap = 1<<32 - 20 // both tracks wrap at the same time
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
	for name, write := range map[string]func(*Feed) error{
		"HEVC (H.265)": func(f *Feed) error { return f.Video(0, []byte("\x90hvc1")) },
		"MP3":          func(f *Feed) error { return f.Audio(0, []byte{2 << 4, 0}) },
	} {
		for pace, tt := range map[string]struct {
			interval time.Duration
			tags     int // the last tag ends the publication
		}{
			"slowly":     {grace / (maxForeign - 2), maxForeign},
			"as sound":   {20 * time.Millisecond, int(grace/(20*time.Millisecond)) + 1},
			"as a flood": {0, MaxUnusable},
		} {
			t.Run("a foreign codec, if nothing else comes: "+name+" "+pace, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, _ := newFeed(t)
					for n := range tt.tags {
						err := write(f)
						if last := n == tt.tags-1; errors.As(err, &codec) != last {
							t.Fatalf("tag %d: %v", n, err)
						}
						time.Sleep(tt.interval)
					}
					if codec.Codec != name {
						t.Errorf("the codec is called %q, want %q", codec.Codec, name)
					}
				})
			})
		}
	}
	t.Run("foreign sound never ends a picture, nor a foreign picture sound", func(t *testing.T) {
		f, _ := newFeed(t)
		for n := range 3 * MaxMalformed {
			if err := errors.Join(f.Audio(0, []byte{2 << 4, 0}), f.Video(0, videoConfig(t))); err != nil {
				t.Fatalf("tag %d: %v", n, err)
			}
		}
		f, _ = newFeed(t)
		for n := range 3 * MaxMalformed {
			if err := errors.Join(f.Video(0, []byte("\x90hvc1")), f.Audio(0, opusConfig()), f.Audio(0, opusFrame())); err != nil {
				t.Fatalf("tag %d: %v", n, err)
			}
		}
	})
	for name, tt := range map[string]struct {
		interval time.Duration
		good     bool // a usable tag has come
		tags     int  // the last tag ends the publication
	}{
		"nothing but nonsense, in the end":      {grace / (MaxMalformed - 2), false, MaxMalformed},
		"a flood of nonsense":                   {0, false, MaxUnusable},
		"nothing but nonsense after a good tag": {0, true, MaxMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := newFeed(t)
				if tt.good {
					if err := f.Video(0, videoConfig(t)); err != nil {
						t.Fatal(err)
					}
				}
				for n := range tt.tags {
					err := f.Video(0, []byte{0x17})
					if last := n == tt.tags-1; errors.As(err, &malformed) != last {
						t.Fatalf("tag %d: %v", n, err)
					}
					time.Sleep(tt.interval)
				}
			})
		})
	}
	t.Run("sound and picture of which nothing can be used any more", func(t *testing.T) {
		f, _ := newFeed(t)
		if err := errors.Join(f.Video(0, videoConfig(t)), f.Audio(0, aacConfig())); err != nil {
			t.Fatal(err)
		}
		for n := range MaxMalformed {
			err := f.Video(0, []byte{0x17})
			if last := n == MaxMalformed-1; err != nil {
				t.Fatalf("picture %d: %v", n, err)
			} else if err := f.Audio(0, []byte{0xaf, 7}); errors.As(err, &malformed) != last {
				t.Fatalf("sound %d: %v", n, err)
			}
		}
	})
	t.Run("foreign or malformed sound beside pictures that are far apart, never", func(t *testing.T) {
		for _, sound := range [][]byte{{2 << 4, 0}, {0xaf, 7}, aacFrame()} {
			f, _ := newFeed(t)
			if err := errors.Join(f.Video(0, videoConfig(t)), f.Video(0, idr())); err != nil {
				t.Fatal(err)
			}
			for n := range 3 * MaxMalformed {
				if err := f.Audio(uint32(26*n), sound); err != nil {
					t.Fatalf("tag %d of %x: %v", n, sound, err)
				}
			}
		}
	})
	t.Run("sound that cannot be used, before the picture's header comes", func(t *testing.T) {
		for _, sound := range [][]byte{{7 << 4, 0}, aacFrame()} {
			synctest.Test(t, func(t *testing.T) {
				f, _ := newFeed(t)
				for n := range uint32(grace / (20 * time.Millisecond)) {
					if err := f.Audio(20*n, sound); err != nil {
						t.Fatalf("tag %d of %x: %v", n, sound, err)
					}
					time.Sleep(20 * time.Millisecond)
				}
				if err := errors.Join(f.Video(0, videoConfig(t)), f.Video(0, idr()), f.Audio(0, sound)); err != nil {
					t.Fatal(err)
				}
			})
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

func opusConfig() []byte { return flv.AppendAudioConfig(nil, flv.Opus, OpusHead(2)) }
func opusFrame() []byte  { return flv.AppendAudio(nil, flv.Opus, []byte{0xfc, 1}) }

func aacConfig() []byte { return flv.AppendAudioConfig(nil, flv.AAC, []byte{0x11, 0x90}) }
func aacFrame() []byte  { return flv.AppendAudio(nil, flv.AAC, []byte{0x21, 1}) }

// adts returns an audio tag of ADTS frames of AAC-LC, 48 kHz, stereo.
func adts(crc bool, frames ...[]byte) []byte {
	var b []byte
	for _, frame := range frames {
		header, protection := 7, byte(0xf1)
		if crc {
			header, protection = 9, 0xf0
		}
		n := len(frame) + header
		b = append(b, 0xff, protection, 0x4c, 0x80|byte(n>>11), byte(n>>3), byte(n&7)<<5|0x1f, 0xfc)
		b = append(b, make([]byte, header-7)...)
		b = append(b, frame...)
	}
	return flv.AppendAudio(nil, flv.AAC, b)
}

func TestFaultsOfATrack(t *testing.T) {
	repeat := func(n int, write func(*Feed) error) func(*Feed) error {
		return func(f *Feed) error {
			for range n {
				if err := write(f); err != nil {
					return err
				}
			}
			return nil
		}
	}
	video := func(body []byte) func(*Feed) error { return func(f *Feed) error { return f.Video(0, body) } }
	audio := func(body []byte) func(*Feed) error { return func(f *Feed) error { return f.Audio(0, body) } }
	mp3 := audio([]byte{2 << 4, 0})
	wait := func(d time.Duration) func(*Feed) error {
		return func(*Feed) error { time.Sleep(d); return nil }
	}
	each := func(steps ...func(*Feed) error) func(*Feed) error {
		return func(f *Feed) error {
			for _, step := range steps {
				if err := step(f); err != nil {
					return err
				}
			}
			return nil
		}
	}
	later := wait((faultAfter - faultEnds) * time.Second)
	malformed := video([]byte{0x17, 1, 0, 0, 0, 9, 9, 9, 9, 9})
	type steps []func(*Feed) error
	for name, tt := range map[string]struct {
		steps        steps
		video, audio string // code of the fault
	}{
		"none":                               {steps{audio(aacConfig()), audio(aacFrame())}, "", ""},
		"one odd tag of another codec":       {steps{audio(aacConfig()), audio(aacFrame()), mp3, audio(aacFrame()), mp3}, "", ""},
		"MP3":                                {steps{repeat(faultAfter, mp3)}, "", WarningUnsupportedAudio},
		"MP3, and then AAC":                  {steps{repeat(faultAfter, mp3), audio(aacConfig()), later, audio(aacFrame())}, "", ""},
		"AAC, and then MP3":                  {steps{audio(aacConfig()), audio(aacFrame()), repeat(faultAfter, mp3)}, "", WarningUnsupportedAudio},
		"HE-AAC":                             {steps{audio(flv.AppendAudioConfig(nil, flv.AAC, []byte{0x2b, 0x11, 0x88, 0})), audio(aacFrame())}, "", ""},
		"5.1":                                {steps{audio(flv.AppendAudioConfig(nil, flv.AAC, []byte{0x11, 0xb0})), audio(aacFrame())}, "", ""},
		"7.1 with a program config element":  {steps{audio(flv.AppendAudioConfig(nil, flv.AAC, []byte{0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00, 0xc4})), audio(aacFrame())}, "", ""},
		"Opus in 5.1":                        {steps{audio(flv.AppendAudioConfig(nil, flv.Opus, OpusHead(6)))}, "", WarningUnsupportedAudio},
		"AAC without its header":             {steps{repeat(faultAfter, audio(aacFrame()))}, "", WarningMalformedAudio},
		"AAC whose header came late":         {steps{repeat(faultAfter, audio(aacFrame())), audio(aacConfig()), later, audio(aacFrame())}, "", ""},
		"ADTS without a header":              {steps{repeat(faultAfter, audio(adts(false, []byte{0x21, 1})))}, "", ""},
		"ADTS with a header":                 {steps{audio(aacConfig()), repeat(faultAfter, audio(adts(true, []byte{0x21, 1})))}, "", ""},
		"HEVC beside sound":                  {steps{audio(aacConfig()), repeat(faultAfter, video([]byte("\x90hvc1")))}, WarningUnsupportedVideo, ""},
		"a header among malformed pictures":  {steps{repeat(faultAfter, video([]byte{0x17, 1, 0, 0, 0, 9, 9, 9, 9, 9})), video(videoConfig(t))}, WarningMalformedVideo, ""},
		"a header among malformed sound":     {steps{repeat(faultAfter, audio(aacFrame())), audio(aacConfig())}, "", WarningMalformedAudio},
		"malformed pictures":                 {steps{repeat(faultAfter, video([]byte{0x17, 1, 0, 0, 0, 9, 9, 9, 9, 9}))}, WarningMalformedVideo, ""},
		"malformed pictures, and then H.264": {steps{repeat(faultAfter, video([]byte{0x17, 1, 0, 0, 0, 9, 9, 9, 9, 9})), video(videoConfig(t)), later, video(idr())}, "", ""},
		"good pictures among malformed ones": {steps{repeat(30, each(repeat(2, malformed), video(idr()), wait(time.Second)))}, WarningMalformedVideo, ""},
		"a good IDR, and nothing good after": {steps{repeat(9, each(repeat(59, malformed), wait(2*time.Second), video(idr())))}, WarningMalformedVideo, ""},
		"an odd picture now and then":        {steps{repeat(60, each(malformed, video(idr()), wait(2*time.Second)))}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := newFeed(t)
				if err := errors.Join(video(videoConfig(t))(f), video(idr())(f)); err != nil {
					t.Fatal(err)
				}
				for _, step := range tt.steps {
					if err := step(f); err != nil {
						t.Fatal(err)
					}
				}
				snap := f.Publication().Stream().Snapshot()
				code := func(fault *stream.Fault) string {
					if fault == nil {
						return ""
					}
					return fault.Code
				}
				if v, a := code(snap.Video.Fault), code(snap.Audio.Fault); v != tt.video || a != tt.audio {
					t.Errorf("faults of video %q and audio %q, want %q and %q", v, a, tt.video, tt.audio)
				}
				for _, want := range []string{tt.video, tt.audio} {
					if want != "" && !slices.ContainsFunc(snap.Warnings, func(w stream.Warning) bool { return w.Code == want }) {
						t.Errorf("no warning %s among %v", want, snap.Warnings)
					}
				}
				if tt.audio != "" && !snap.Audio.Announced {
					t.Error("the sound does not count as announced")
				}
			})
		})
	}
}

func TestADTSBecomesRawFrames(t *testing.T) {
	for _, crc := range []bool{false, true} {
		f, sub := newFeed(t)
		if err := f.Audio(100, adts(crc, []byte{0x21, 1}, []byte{0x21, 2, 3})); err != nil {
			t.Fatal(err)
		}
		first, second := <-sub.C, <-sub.C
		if !bytes.Equal(first.Frame, []byte{0x21, 1}) || !bytes.Equal(second.Frame, []byte{0x21, 2, 3}) {
			t.Errorf("frames %x and %x", first.Frame, second.Frame)
		}
		if f := first.Format; f.SampleRate != 48000 || f.Channels != 2 || !bytes.Equal(f.Config, []byte{0x11, 0x90}) {
			t.Errorf("format %+v", f)
		}
		if d := (second.PTS - second.Offset) - (first.PTS - first.Offset); d != 1024*time.Second/48000 {
			t.Errorf("the second frame is %v behind the first", d)
		}
	}
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
