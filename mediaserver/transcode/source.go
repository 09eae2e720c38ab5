package transcode

import (
	"math"

	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
)

// The largest distance of a frame's timestamp from the end of the samples before it, in samples of
// 48 kHz. A smaller distance is taken for rounding and jitter, and the samples are played one
// after the other. At a larger distance, samples are missing or the clock has jumped.
//
// RTMP rounds to milliseconds, and its encoders are of all kinds, but it loses nothing on the
// way. RTP's timestamps count samples, but its packets do get lost.
const (
	toleranceAAC  = 60 * pcm.Rate / 1000
	toleranceOpus = 5 * pcm.Rate / 1000
)

// Clock drift or a small gap may keep timestamps away from the samples, always to the same
// side. The samples then follow the timestamps by one sample per frame, or by four when they
// are far off. When they are too far off for that, they follow at once.
const (
	driftStart = 1.5 * pcm.Rate / 1000
	driftEnd   = 0.3 * pcm.Rate / 1000
	driftFast  = 8.0 * pcm.Rate / 1000
	driftJump  = 15.0 * pcm.Rate / 1000
	// driftFrames is the number of frames over which a departure is averaged.
	driftFrames = 24
)

// A source is the state of one source: its decoder, and the position of its samples on
// the media clock. Indexes count samples of the media clock.
type source struct {
	format    *stream.Format
	decoder   *pcm.Decoder // nil if the format cannot be decoded
	err       error        // the reason why decoder is nil
	resampler *pcm.Resampler
	stretched pcm.Stereo

	located bool
	base    int64 // index of the first sample
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

// decode returns the samples of the frame with timestamp at, and the index at which they start.
// The samples are valid until the next call. There are none if the format can't be decoded.
func (s *source) decode(at int64, frame []byte) (start int64, samples pcm.Stereo) {
	if s.decoder == nil {
		return at, pcm.Stereo{}
	}
	s.locate(at)
	samples, err := s.decoder.Decode(frame)
	if err != nil {
		// Silence as long as the frame keeps later samples in their places.
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

// locate compares a frame's timestamp with the end of the frames before it. If the two
// are too far apart, it sets base to the timestamp.
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

// correction returns by how many samples the present frame is to be lengthened.
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
