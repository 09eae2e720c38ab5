// Package pcm turns coded audio frames into 48 kHz stereo samples: decoding,
// resampling, and the few sample operations that a continuous track needs (fades,
// small changes of length).
//
// It knows nothing of time or of streams: transcode.Audio decides where samples go.
// Start with Decoder and Resampler.
package pcm

// Rate is the sample rate of everything that leaves this package, in Hz. It is the
// clock rate of Opus in RTP (RFC 7587 section 4.1).
const Rate = 48000

// Stereo is a run of samples, left and right apart, in [-1, 1].
type Stereo struct{ L, R []float32 }

// Len is the number of samples per channel.
func (s Stereo) Len() int { return len(s.L) }

// From returns the samples from the nth on.
func (s Stereo) From(n int) Stereo { return Stereo{s.L[n:], s.R[n:]} }

// To returns the first n samples.
func (s Stereo) To(n int) Stereo { return Stereo{s.L[:n], s.R[:n]} }

// Sized returns s with n samples, reusing its memory; their values are undefined.
func (s Stereo) Sized(n int) Stereo {
	if cap(s.L) < n || cap(s.R) < n {
		return Stereo{make([]float32, n), make([]float32, n)}
	}
	return Stereo{s.L[:n], s.R[:n]}
}
