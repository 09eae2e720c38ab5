package cut

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/streampair/streampair/mediaserver/stream"
)

// Track ids, and the time scale of pictures in ticks a second.
const (
	videoTrackID = 1
	soundTrackID = 2
	videoScale   = 90000
	opusScale    = 48000
)

// ticks returns d in units of a time scale, rounded to the nearest.
func ticks(d time.Duration, scale int) int64 {
	seconds, rest := d/time.Second, d%time.Second
	return int64(seconds)*int64(scale) + (int64(rest)*int64(scale)+int64(time.Second)/2)/int64(time.Second)
}

// A soundTrack is a track of sound that MP4 can carry.
type soundTrack struct {
	format *stream.Format
	config mpeg4audio.AudioSpecificConfig // AAC
	scale  int                            // samples a second
}

var errSound = errors.New("this sound cannot be carried in MP4")

// newSoundTrack returns the track of a format. It fails for AAC without a channel configuration,
// because MP4 readers differ there.
func newSoundTrack(f *stream.Format) (soundTrack, error) {
	t := soundTrack{format: f, scale: opusScale}
	if f.Codec == stream.Opus {
		if f.Channels > 2 {
			return t, errSound
		}
		return t, nil
	}
	if f.Codec != stream.AAC {
		return t, errSound
	}
	if err := t.config.Unmarshal(f.Config); err != nil {
		return t, fmt.Errorf("%w: %w", errSound, err)
	}
	t.scale = t.config.SampleRate
	if t.scale <= 0 || silentAAC(int(t.config.ChannelConfig)) == nil {
		return t, errSound
	}
	return t, nil
}

// Carries reports whether a track of this format can be cut.
func Carries(f *stream.Format) bool {
	if f == nil {
		return false
	}
	_, err := newSoundTrack(f)
	return err == nil
}

func (t soundTrack) codec() codecs.Codec {
	if t.format.Codec == stream.Opus {
		return &codecs.Opus{ChannelCount: t.format.Channels}
	}
	return &codecs.MPEG4Audio{Config: t.config}
}

func (t soundTrack) aacSamples() int64 {
	if t.config.FrameLengthFlag {
		return 960
	}
	return mpeg4audio.SamplesPerAccessUnit
}

// samples returns the length of a frame.
func (t soundTrack) samples(frame []byte) int64 {
	if t.format.Codec == stream.Opus {
		return opus.PacketDuration2(frame)
	}
	return t.aacSamples()
}

// sameSound reports whether a decoder can go from one format to the other without a new
// initialization section.
func sameSound(a, b *stream.Format) bool {
	return a == b || a.Codec == b.Codec && a.Channels == b.Channels && a.SampleRate == b.SampleRate && bytes.Equal(a.Config, b.Config)
}

// samePicture is sameSound for pictures. Other parameter sets of the same size and profile need no
// new section, because each IDR comes with its parameter sets.
func samePicture(a, b *stream.Format) bool {
	return a == b || a.Width == b.Width && a.Height == b.Height && len(a.SPS) > 3 && len(b.SPS) > 3 && bytes.Equal(a.SPS[1:4], b.SPS[1:4])
}

// initialization returns the bytes of an initialization section.
func initialization(video *stream.Format, sound *soundTrack) ([]byte, error) {
	var section fmp4.Init
	if video != nil {
		section.Tracks = append(section.Tracks, &fmp4.InitTrack{
			ID: videoTrackID, TimeScale: videoScale, Codec: &codecs.H264{SPS: video.SPS, PPS: video.PPS},
		})
	}
	if sound != nil {
		section.Tracks = append(section.Tracks, &fmp4.InitTrack{ID: soundTrackID, TimeScale: uint32(sound.scale), Codec: sound.codec()})
	}
	var b seekablebuffer.Buffer
	if err := section.Marshal(&b); err != nil {
		return nil, fmt.Errorf("write the initialization section: %w", err)
	}
	return b.Bytes(), nil
}
