package feed

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"
	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/flv"
	ownmpegts "github.com/streampair/streampair/mediaserver/mpegts"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A tsEncoder writes a transport stream with the library's writer.
type tsEncoder struct {
	*mpegts.Writer
	t            testing.TB
	out          bytes.Buffer
	video, audio *mpegts.Track
}

func newTSEncoder(t testing.TB, audio codecs.Codec) *tsEncoder {
	e := &tsEncoder{t: t, video: &mpegts.Track{Codec: &codecs.H264{}}}
	tracks := []*mpegts.Track{e.video}
	if audio != nil {
		e.audio = &mpegts.Track{Codec: audio}
		tracks = append(tracks, e.audio)
	}
	e.Writer = &mpegts.Writer{W: &e.out, Tracks: tracks}
	e.must(e.Initialize())
	return e
}

func (e *tsEncoder) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *tsEncoder) idr(at int64) {
	e.must(e.WriteH264(e.video, at+7200, at, [][]byte{testSPS, testPPS, {0x65, 0x88, 0x80}}))
}

// take returns what has been written.
func (e *tsEncoder) take() []byte {
	defer e.out.Reset()
	return bytes.Clone(e.out.Bytes())
}

func aacCodec() *codecs.MPEG4Audio {
	return &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2}}
}

func newTransportStream(t testing.TB) (*TransportStream, *stream.Subscription) {
	f, sub := newFeed(t)
	return NewTransportStream(f.Publication()), sub
}

// drain returns the access units that have come.
func drain(sub *stream.Subscription) (units []*stream.AccessUnit) {
	for {
		select {
		case u := <-sub.C:
			units = append(units, u)
		default:
			return units
		}
	}
}

func TestTransportStreamsBecomeAccessUnits(t *testing.T) {
	opusPackets := [][]byte{{0xfc, 1, 2}, {0xfc, 3}} // 20 ms each, stereo
	for _, test := range []struct {
		name  string
		codec codecs.Codec
		want  stream.Format
		apart time.Duration
		write func(e *tsEncoder) error
		first []byte
	}{
		{
			name: "AAC", codec: aacCodec(), apart: 1024 * time.Second / 48000, first: []byte{1, 2},
			want:  stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0x90}, SampleRate: 48000, Channels: 2},
			write: func(e *tsEncoder) error { return e.WriteMPEG4Audio(e.audio, 3600, [][]byte{{1, 2}, {3}}) },
		},
		{
			name: "Opus", codec: &codecs.Opus{Desc: &substructs.OpusAudioDescriptor{ChannelConfigCode: 2}}, apart: 20 * time.Millisecond, first: opusPackets[0],
			want:  stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2},
			write: func(e *tsEncoder) error { return e.WriteOpus(e.audio, 3600, opusPackets) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ts, sub := newTransportStream(t)
			e := newTSEncoder(t, test.codec)
			e.idr(0)
			e.must(test.write(e))
			e.must(ts.Write(e.take()))
			ts.Flush()
			units := drain(sub)
			if len(units) != 3 {
				t.Fatalf("%d access units", len(units))
			}
			slices.SortStableFunc(units, func(a, b *stream.AccessUnit) int { return int(a.Kind) - int(b.Kind) })
			video, sound, next := units[0], units[1], units[2]
			if !video.IDR || video.PTS-video.DTS != 80*time.Millisecond || video.Format.Width != 320 {
				t.Errorf("video %+v", video)
			}
			if diff := cmp.Diff(test.want, *sound.Format); diff != "" || !bytes.Equal(sound.Frame, test.first) {
				t.Errorf("sound %v %s", sound.Frame, diff)
			}
			if d := (sound.DTS - sound.Offset) - (video.DTS - video.Offset); d != 40*time.Millisecond {
				t.Errorf("the sound comes %v after the picture", d)
			}
			if d := (next.PTS - next.Offset) - (sound.PTS - sound.Offset); (d - test.apart).Abs() > time.Microsecond {
				t.Errorf("frames are %v apart", d)
			}
		})
	}
}

// Some encoders cut the sound into PES packets wherever they like.
func TestADTSFramesMayGoOnInTheNextPESPacket(t *testing.T) {
	packets := mpeg4audio.ADTSPackets{}
	for n := range 40 {
		packets = append(packets, &mpeg4audio.ADTSPacket{Type: 2, SampleRate: 48000, ChannelConfig: 2, AU: bytes.Repeat([]byte{byte(n)}, 20+n)})
	}
	all, err := packets.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 5, 30, 100, len(all)} {
		var s adtsSplitter
		var frames [][]byte
		for piece := range slices.Chunk(all, size) {
			got, begun, err := s.split(bytes.Clone(piece))
			if err != nil || begun > 1 {
				t.Fatalf("pieces of %d: %d frames had begun, %v", size, begun, err)
			}
			for _, f := range got {
				frames = append(frames, f.data)
			}
		}
		for n, p := range packets {
			if len(frames) != len(packets) || !bytes.Equal(frames[n], p.AU) {
				t.Fatalf("pieces of %d: frame %d of %d differs", size, n, len(frames))
			}
		}
	}
	var s adtsSplitter
	frames, _, err := s.split(slices.Concat([]byte("nonsense\xff"), all, []byte("\xff\xf1")))
	if len(frames) != len(packets) || !errors.Is(err, errNoADTS) {
		t.Errorf("%d frames between nonsense, %v", len(frames), err)
	}
}

// A picture may be cut into several PES packets, of which only the first has a time.
func TestPESPacketsWithoutATimeContinueThePicture(t *testing.T) {
	f, sub := newFeed(t)
	ts := NewTransportStream(f.Publication())
	ts.setTracks(tracksOfH264)
	first, later := []byte{0, 0, 1, 0x65, 0x88, 0x80}, []byte{0, 0, 1, 0x65, 0x08, 0x80} // first_mb_in_slice 0 and above
	sets := slices.Concat([]byte{0, 0, 1}, testSPS, []byte{0, 0, 1}, testPPS)
	for n := range 3 {
		at := time.Duration(n) * 40 * time.Millisecond
		ts.pes(pesOf(at, true, slices.Concat(sets, first)))
		ts.pes(pesOf(0, false, bytes.Clone(later)))
	}
	ts.Flush()
	units := drain(sub)
	if len(units) < 2 {
		t.Fatalf("%d pictures", len(units))
	}
	if last := units[len(units)-1]; len(last.NALUs) != 2 {
		t.Errorf("the last picture has %d slices", len(last.NALUs))
	}
}

func TestTracksOfATransportStreamThatCannotBeUsed(t *testing.T) {
	warnings := func(ts *TransportStream) (codes []string) {
		for _, w := range ts.feed.publication.Stream().Snapshot().Warnings {
			codes = append(codes, w.Code)
		}
		return codes
	}
	t.Run("sound: the picture stays, and the leg is not whole", func(t *testing.T) {
		ts, sub := newTransportStream(t)
		e := newTSEncoder(t, &codecs.AC3{SampleRate: 48000, ChannelCount: 2})
		for n := range 3 * MaxMalformed {
			e.idr(int64(n) * 3000)
			e.must(e.WriteMPEG1Audio(e.audio, int64(n)*3000, [][]byte{{0xff, 0xfb, 0x14, 0x64, 0, 0}}))
			e.must(ts.Write(e.take()))
		}
		if codes := warnings(ts); !slices.Equal(codes, []string{WarningUnsupportedAudio}) {
			t.Errorf("warnings %v", codes)
		}
		if n := len(drain(sub)); n < MaxMalformed {
			t.Errorf("%d pictures", n)
		}
	})
	t.Run("the only track: the publication ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ts, _ := newTransportStream(t)
			e := &tsEncoder{t: t, video: &mpegts.Track{Codec: &codecs.H265{}}}
			e.Writer = &mpegts.Writer{W: &e.out, Tracks: []*mpegts.Track{e.video}}
			e.must(e.Initialize())
			var err error
			for n := int64(0); err == nil && n < 30*20; n++ {
				e.must(e.WriteH265(e.video, n*3000, n*3000, [][]byte{{0x26, 1, 2, 3}}))
				err = ts.Write(e.take())
				time.Sleep(time.Second / 30)
			}
			var codec *flv.UnsupportedCodecError
			if !errors.As(err, &codec) || codec.Codec != "H.265" {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("no transport stream: the publication ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ts, _ := newTransportStream(t)
			var err error
			for n := 0; err == nil && n < 30*20; n++ {
				err = ts.Write(bytes.Repeat([]byte("FLV"), 400))
				time.Sleep(time.Second / 30)
			}
			if !errors.Is(err, ownmpegts.ErrSync) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("announced sound that never comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ts, _ := newTransportStream(t)
			e := newTSEncoder(t, aacCodec())
			for n := range int64(30 * 8) {
				e.idr(n * 3000)
				e.must(ts.Write(e.take()))
				time.Sleep(time.Second / 30)
			}
			if codes := warnings(ts); !slices.Equal(codes, []string{faultNoAudio.Code}) {
				t.Errorf("warnings %v", codes)
			}
		})
	})
}

// Filler data is left out, and what is kept of a picture has a buffer of its own: caches count no more.
func TestPicturesKeepNoLargerBuffer(t *testing.T) {
	ts, sub := newTransportStream(t)
	ts.setTracks(tracksOfH264)
	data := make([]byte, 0, 1<<20)
	for _, nalu := range [][]byte{testSPS, testPPS, {0x65, 0x88, 0x80, 0xaa}, append([]byte{0x0c}, bytes.Repeat([]byte{0xff}, 900_000)...)} {
		data = append(append(data, 0, 0, 1), nalu...)
	}
	ts.pes(pesOf(time.Second, true, data))
	ts.pes(pesOf(2*time.Second, true, bytes.Clone(data)))
	ts.Flush()
	units := drain(sub)
	if len(units) == 0 {
		t.Fatal("no picture")
	}
	for _, nalu := range units[0].NALUs {
		if &nalu[:1][0] == &data[:1][0] || cap(nalu) > 1000 {
			t.Errorf("a NAL unit of %d bytes keeps %d", len(nalu), cap(nalu))
		}
		if nalu[0]&naluTypeMask == naluFiller {
			t.Error("filler data is kept")
		}
	}
}

// Sound that is missing for some packets of the network must not move what comes after.
func TestALostPieceOfSoundMovesNothing(t *testing.T) {
	ts, sub := newTransportStream(t)
	e := newTSEncoder(t, aacCodec())
	e.idr(0)
	for n := range int64(50) {
		e.must(e.WriteMPEG4Audio(e.audio, n*1920, [][]byte{bytes.Repeat([]byte{byte(n)}, 300)}))
		piece := e.take()
		if n == 20 {
			ts.Lost(len(piece) / 188)
			continue
		}
		e.must(ts.Write(piece))
	}
	var times []time.Duration
	for _, u := range drain(sub) {
		if u.Kind == stream.Audio {
			times = append(times, u.PTS-u.Offset)
		}
	}
	if len(times) < 48 || len(times) > 49 {
		t.Fatalf("%d frames", len(times))
	}
	if d := times[len(times)-1] - times[0]; d != 49*1920*time.Second/90000 {
		t.Errorf("the last frame is %v after the first", d)
	}
}

var tracksOfH264 = ownmpegts.Tracks{Video: ownmpegts.Track{Codec: ownmpegts.H264, PID: 256}}

func pesOf(at time.Duration, hasTime bool, data []byte) ownmpegts.PES {
	return ownmpegts.PES{Track: tracksOfH264.Video, DTS: at, PTS: at, HasTime: hasTime, Data: data}
}
