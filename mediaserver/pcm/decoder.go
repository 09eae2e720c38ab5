package pcm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/thesyncim/gopus"
	aacpcm "github.com/tphakala/go-aac/pcm"

	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	aacFrameSamples = 1024
	// maxAACFrame is what the two length bytes of go-aac's raw framing can say. Real
	// frames are at most 768 bytes per channel (ISO/IEC 14496-3 section 4.5.3.1).
	maxAACFrame = 1<<16 - 1
	// maxOpusSamples is 120 ms, the longest packet (RFC 6716 section 3.2.5).
	maxOpusSamples = 5760
)

// ErrUnsupported means that a format can be carried but not decoded here: only AAC-LC
// (the core of HE-AAC included) in mono or stereo, and Opus.
var ErrUnsupported = errors.New("audio format cannot be decoded")

// A Decoder decodes the frames of one source, one call per frame. A frame that cannot
// be decoded costs that frame only.
type Decoder struct {
	// Rate is that of the decoded samples, in Hz.
	Rate int

	aac     *aacpcm.Decoder
	asc     []byte
	feed    feed
	opus    *gopus.Decoder
	bytes   []byte    // one decoded AAC frame
	samples []float32 // one decoded Opus packet, interleaved
	out     Stereo
}

// NewDecoder returns a decoder for frames of format f. Its error is ErrUnsupported.
func NewDecoder(f *stream.Format) (*Decoder, error) {
	switch f.Codec {
	case stream.AAC:
		return newAAC(f.Config)
	case stream.Opus:
		d, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(Rate, 2))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
		return &Decoder{Rate: Rate, opus: d, samples: make([]float32, 2*maxOpusSamples)}, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnsupported, f.Codec)
}

func newAAC(config []byte) (*Decoder, error) {
	d := &Decoder{bytes: make([]byte, 8*aacFrameSamples), asc: config}
	var err error
	d.aac, err = aacpcm.NewDecoder(&d.feed, aacpcm.WithRawStream(config))
	if core := lowComplexityCore(config); err != nil && core != nil {
		d.asc = core
		d.aac, err = aacpcm.NewDecoder(&d.feed, aacpcm.WithRawStream(core))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	d.Rate = d.aac.Info().SampleRate
	return d, nil
}

// lowComplexityCore returns the configuration of the AAC-LC stream inside HE-AAC: the
// same frames with the upper half of the spectrum left out, which every HE-AAC stream
// has by construction (ISO/IEC 14496-3 section 4.6.18). nil if config has no such core.
func lowComplexityCore(config []byte) []byte {
	if len(config) < 2 {
		return nil
	}
	word := uint64(0)
	for i := range 8 {
		word <<= 8
		if i < len(config) {
			word |= uint64(config[i])
		}
	}
	object := word >> 59
	index := word >> 55 & 15
	channels := word >> 51 & 15
	shift := 50 // of frameLengthFlag
	switch object {
	case 2: // AAC-LC, extended by a sync extension at the end of the config
	case 5, 29: // SBR, SBR with PS: extensionSamplingFrequencyIndex and the core's object type follow
		if word>>47&15 == 15 || word>>42&31 != 2 {
			return nil
		}
		shift = 41
	default:
		return nil
	}
	if index > 12 || channels < 1 || channels > 2 || word>>shift&1 == 1 {
		return nil
	}
	return binary.BigEndian.AppendUint16(nil, uint16(2<<11|index<<7|channels<<3))
}

// Decode decodes one frame. The samples are valid until the next call. After an error
// the decoder is as new.
func (d *Decoder) Decode(frame []byte) (s Stereo, err error) {
	// Frames come from strangers. Neither decoder is known to panic. But a panic here would
	// take all streams down, and the loss of one frame is better.
	defer func() {
		if r := recover(); r != nil {
			s, err = Stereo{}, fmt.Errorf("decode audio frame: %v", r)
			d.reset()
		}
	}()
	if d.opus != nil {
		s, err = d.decodeOpus(frame)
	} else {
		s, err = d.decodeAAC(frame)
	}
	if err != nil {
		d.reset()
		return Stereo{}, fmt.Errorf("decode audio frame: %w", err)
	}
	return s, nil
}

// reset makes the decoder forget what it has decoded. go-aac returns its first error
// for ever unless it is reset.
func (d *Decoder) reset() {
	if d.opus != nil {
		d.opus.Reset()
		return
	}
	d.feed.data = nil
	// The configuration was accepted before, so this cannot fail.
	_ = d.aac.Reset(&d.feed, aacpcm.WithRawStream(d.asc))
}

func (d *Decoder) decodeOpus(packet []byte) (Stereo, error) {
	n, err := d.opus.Decode(packet, d.samples)
	if err != nil {
		return Stereo{}, err
	}
	d.out = d.out.Sized(n)
	for i := range n {
		d.out.L[i], d.out.R[i] = d.samples[2*i], d.samples[2*i+1]
	}
	return d.out, nil
}

func (d *Decoder) decodeAAC(frame []byte) (Stereo, error) {
	if len(frame) == 0 || len(frame) > maxAACFrame {
		return Stereo{}, fmt.Errorf("frame of %d bytes", len(frame))
	}
	d.feed.data = binary.BigEndian.AppendUint16(d.feed.buf[:0], uint16(len(frame)))
	d.feed.data = append(d.feed.data, frame...)
	d.feed.buf = d.feed.data
	n, err := d.aac.Read(d.bytes)
	if err != nil {
		return Stereo{}, err
	}
	d.out = d.out.Sized(aacFrameSamples)
	switch n {
	case 2 * aacFrameSamples:
		for i := range aacFrameSamples {
			d.out.L[i] = sample16(d.bytes[2*i:])
		}
		copy(d.out.R, d.out.L)
	case 4 * aacFrameSamples:
		for i := range aacFrameSamples {
			d.out.L[i], d.out.R[i] = sample16(d.bytes[4*i:]), sample16(d.bytes[4*i+2:])
		}
	default: // repeated elements, or none
		return Stereo{}, fmt.Errorf("frame of %d samples", n/2)
	}
	return d.out, nil
}

func sample16(b []byte) float32 {
	return float32(int16(binary.LittleEndian.Uint16(b))) * (1.0 / 32768)
}

// feed is the reader under go-aac's decoder. It holds exactly one frame at a time, so
// that a call of Read decodes that frame and returns, without a goroutine.
type feed struct{ buf, data []byte }

var errDry = errors.New("frame ends early")

func (f *feed) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, errDry
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

var _ io.Reader = (*feed)(nil)

// FrameSamples returns the number of samples in a frame, whether the frame can be decoded or not;
// 0: unknown.
func FrameSamples(codec stream.Codec, frame []byte) int {
	if codec == stream.AAC {
		return aacFrameSamples
	}
	info, err := gopus.ParsePacket(frame)
	if err != nil || info.FrameCount*info.TOC.FrameSize > maxOpusSamples {
		return 0
	}
	return info.FrameCount * info.TOC.FrameSize
}
