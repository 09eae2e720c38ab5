package measure

import (
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
)

// opusGap is sound.Config.Gap for Opus, whose times come from RTP.
const opusGap = 5 * time.Millisecond

// A SoundMeter decodes and measures the sound of one publication. The zero value has measured nothing.
type SoundMeter struct {
	format   *stream.Format
	decoder  *pcm.Decoder // nil: the sound cannot be decoded
	channels int
	meter    *sound.Meter
}

// Undecoded reports whether the publication has sound that cannot be decoded.
func (m *SoundMeter) Undecoded() bool { return m.format != nil && m.decoder == nil }

// Add takes a frame of sound. It returns the blocks that are complete. They are valid until the next
// call.
func (m *SoundMeter) Add(u *stream.AccessUnit) []sound.Block {
	if m.format != u.Format {
		m.turnTo(u.Format)
	}
	if m.decoder == nil {
		return nil
	}
	samples, err := m.decoder.Decode(u.Frame)
	if err != nil {
		return nil // a gap
	}
	return m.meter.Write(u.PTS, [][]float32{samples.L, samples.R}[:m.channels])
}

// turnTo prepares for frames of another format.
func (m *SoundMeter) turnTo(f *stream.Format) {
	*m = SoundMeter{format: f, channels: 2}
	decoder, err := pcm.NewDecoder(f)
	if err != nil {
		return
	}
	if f.Channels == 1 {
		m.channels = 1 // the decoder gives both channels the same
	}
	cfg := sound.Config{Rate: decoder.Rate, Channels: m.channels}
	if f.Codec == stream.Opus {
		cfg.Gap = opusGap
	}
	if m.meter, err = sound.NewMeter(cfg); err == nil {
		m.decoder = decoder
	}
}
