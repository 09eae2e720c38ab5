package transcode

import (
	"math"

	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode/internal/pcm"
)

// How far a unit's timestamp may be from where the samples before it end, in samples of
// 48 kHz. Within that it is taken for rounding and jitter: the samples are played one
// after the other. Beyond, samples are missing or the clock has jumped.
//
// RTMP rounds to milliseconds and comes from encoders of all kinds, but loses nothing
// on the way. RTP's timestamps count samples, and its packets do get lost.
const (
	toleranceAAC  = 60 * pcm.Rate / 1000
	toleranceOpus = 5 * pcm.Rate / 1000
)

// Where timestamps keep departing from the samples one way, by clock drift or a small
// gap, the samples are made to follow: by one sample a frame, by four when they are far
// off, and at once when too far for that.
const (
	driftStart = 1.5 * pcm.Rate / 1000
	driftEnd   = 0.3 * pcm.Rate / 1000
	driftFast  = 8.0 * pcm.Rate / 1000
	driftJump  = 15.0 * pcm.Rate / 1000
	// driftFrames is over how many frames a departure is averaged.
	driftFrames = 24
)

// A source is what one source has played so far: its decoder, and where on the media
// clock its samples lie. Indexes count samples of the media clock.
type source struct {
	format    *stream.Format
	decoder   *pcm.Decoder // nil if the format cannot be decoded
	err       error        // then why
	resampler *pcm.Resampler
	stretched pcm.Stereo

	located bool
	base    int64 // where the first sample lies
	in      int64 // samples decoded since, at the decoder's rate
	out     int64 // samples returned since

	departure  float64 // average of timestamps minus samples
	frames     int     // since base was set
	correcting bool
}

func newSource(f *stream.Format) *source {
	s := &source{format: f}
	if s.decoder, s.err = pcm.NewDecoder(f); s.err == nil && s.decoder.Rate != pcm.Rate {
		s.resampler = pcm.NewResampler(s.decoder.Rate)
	}
	return s
}

// decode returns the samples of the frame whose timestamp is at, and where they lie.
// The samples are valid until the next call. There are none if the format cannot be
// decoded.
func (s *source) decode(at int64, frame []byte) (start int64, samples pcm.Stereo) {
	if s.decoder == nil {
		return at, pcm.Stereo{}
	}
	s.locate(at)
	samples, err := s.decoder.Decode(frame)
	if err != nil {
		// Silence as long as the frame: what follows stays where it belongs.
		n := pcm.FrameSamples(s.format.Codec, frame)
		samples = pcm.Stereo{L: make([]float32, n), R: make([]float32, n)}
	}
	s.in += int64(samples.Len())
	if s.resampler != nil {
		samples = s.resampler.Resample(samples)
	}
	start = s.base + s.out
	s.out += int64(samples.Len())
	if n := s.correction(); n != 0 && samples.Len() > 0 {
		s.stretched = pcm.Stretch(s.stretched, samples, n)
		samples = s.stretched
		s.base += int64(n)
		s.departure -= float64(n)
	}
	return start, samples
}

// locate compares a frame's timestamp with where the frames before it end, and sets
// base anew if they have nothing to do with each other.
func (s *source) locate(at int64) {
	if s.located {
		departure := float64(at - s.base - s.in*pcm.Rate/int64(s.decoder.Rate))
		s.frames++
		s.departure += (departure - s.departure) / float64(min(s.frames, driftFrames))
		tolerance := float64(toleranceAAC)
		if s.format.Codec == stream.Opus {
			tolerance = toleranceOpus
		}
		if math.Abs(departure) <= tolerance {
			if s.frames >= driftFrames && math.Abs(s.departure) > driftJump {
				s.base += int64(s.departure)
				s.departure, s.frames = 0, 0
			}
			return
		}
	}
	s.located, s.base, s.in, s.out = true, at, 0, 0
	s.departure, s.frames, s.correcting = 0, 0, false
	if s.resampler != nil {
		s.resampler.Reset()
	}
}

// correction is by how many samples the frame at hand is to be longer.
func (s *source) correction() int {
	far := math.Abs(s.departure)
	switch {
	case s.frames < driftFrames || far < driftEnd:
		s.correcting = false
	case far > driftStart:
		s.correcting = true
	}
	if !s.correcting {
		return 0
	}
	n := 1
	if far > driftFast {
		n = 4
	}
	if s.departure < 0 {
		return -n
	}
	return n
}
