package transcode

import (
	"time"

	"github.com/streampair/streampair/mediaserver/pcm"
)

const (
	// sampleEvery is the step of the sample: one in so many frames is decoded to see whether frames
	// can be decoded. It is odd; otherwise one of every second frame would never be examined.
	sampleEvery = 7
	// sampleWindow and sampleLeast are the least time, and the least number of
	// examined frames, for a result.
	sampleWindow = 5 * time.Second
	sampleLeast  = 8
	// nothingBytes is the size up to which a frame does not count. For silence some
	// encoders send a frame without content.
	nothingBytes = 2
)

// A soundSample decodes some frames of a publication's sound, to find out whether the
// frames can be decoded at all. The zero value is ready for use.
type soundSample struct {
	decoder       *pcm.Decoder // nil: this server need not decode the frames
	frames        int          // all frames
	began         time.Duration
	tried, failed int // examined frames since began
	undecodable   bool
}

// take takes one frame with the time at. It reports whether undecodable has changed.
// undecodable becomes true when at least half of the examined frames could not be
// decoded, and false when at most an eighth could not.
func (s *soundSample) take(at time.Duration, frame []byte) (changed bool) {
	if s.frames++; s.decoder == nil || s.frames%sampleEvery != 0 || len(frame) <= nothingBytes {
		return false
	}
	if s.tried == 0 {
		s.began = at
	}
	s.tried++
	if _, err := s.decoder.Decode(frame); err != nil {
		s.failed++
	}
	if s.tried < sampleLeast || at-s.began < sampleWindow && at >= s.began {
		return false
	}
	was := s.undecodable
	switch {
	case s.failed*2 >= s.tried:
		s.undecodable = true
	case s.failed*8 <= s.tried:
		s.undecodable = false
	}
	s.tried, s.failed = 0, 0
	return s.undecodable != was
}
