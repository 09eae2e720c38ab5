package transcode

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"

	"github.com/thesyncim/gopus"

	"github.com/streampair/streampair/mediaserver/pcm"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// maxPacket is the largest Opus packet of one frame, in bytes (RFC 6716 section
	// 3.4). At 96 kbit/s a packet has about 240 bytes.
	maxPacket = 1276
	// complexity is the encoder's effort. 5 costs three fifths of 10 and sounds the
	// same at this rate.
	complexity = 5
	// quietFrames is how many frames of silence are encoded before silencePacket is sent instead.
	// By then the encoder's filters have settled, and it would give silencePacket each time.
	quietFrames = 50
	// encoderLookahead is by how many samples the decoded signal lags behind the
	// encoded one. That is the overlap of 2.5 ms. The encoder's low-delay application
	// does without the 4 ms that speech needs. Packets are stamped that much earlier;
	// otherwise sound would be late against the picture.
	encoderLookahead = pcm.Rate / 400
)

// silencePacket is 20 ms of stereo silence: a TOC byte for one CELT frame, full band (RFC 6716
// section 3.1), and a frame with the silence flag set (section 4.3).
var silencePacket = []byte{0xfc, 0xff, 0xfe}

// An output is the encoding part of an Audio: samples go in, packets come out. Indexes
// count samples of the media clock.
type output struct {
	emit func(at, duration time.Duration, packet []byte)
	log  *slog.Logger

	next    int64 // index of the next sample
	emitted int64 // end of the last packet once decoded
	// passthrough reports whether the last packets came unchanged from a source. Then next
	// equals emitted.
	passthrough bool

	encoder *gopus.Encoder
	seam    *pcm.Seam
	owner   *source   // the source that played last; nil for silence
	pending []float32 // interleaved samples before next that do not fill a packet yet
	quiet   int       // packets of silence in a row
	failed  bool      // encoding has failed; logged once

	fresh  pcm.Stereo
	packet []byte
}

func newOutput(cfg AudioConfig) output {
	return output{
		emit: cfg.Emit, log: cfg.Logger,
		encoder: newEncoder(cfg.BitrateBPS), seam: pcm.NewSeam(),
		packet: make([]byte, maxPacket),
	}
}

func newEncoder(bitrateBPS int) *gopus.Encoder {
	e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: pcm.Rate, Channels: 2, Application: gopus.ApplicationLowDelay})
	if err == nil {
		err = e.SetBitrate(bitrateBPS)
	}
	if err == nil {
		err = e.SetComplexity(complexity)
	}
	if err != nil { // all settings but the bit rate are constants
		panic(fmt.Sprintf("Opus encoder for %d bit/s: %v", bitrateBPS, err))
	}
	return e
}

// begin moves the position to at, or to the earliest index after what was emitted.
func (o *output) begin(at int64) {
	if o.passthrough {
		o.next = max(at, o.emitted)
		o.emitted = o.next
		return
	}
	o.next = max(at, o.emitted+encoderLookahead)
}

// finish ends the signal. The pending samples are faded out and emitted, and the encoder is reset.
func (o *output) finish() {
	if len(o.pending) > 0 || !o.seam.Idle() {
		n := int64(frameSamples - len(o.pending)/2)
		if n < encoderLookahead+pcm.FadeSamples {
			n += frameSamples
		}
		o.silence(n)
	}
	o.encoder.Reset()
	o.owner, o.quiet = nil, 0
}

// resumeEncoding prepares the output to encode again after packets that came unchanged from a source.
func (o *output) resumeEncoding() {
	if o.passthrough {
		o.passthrough = false
		o.next = o.emitted + encoderLookahead
	}
}

// play appends the samples that s plays at start. start must not be after the
// position. Samples before the position are left out.
func (o *output) play(start int64, samples pcm.Stereo, s *source) {
	o.resumeEncoding()
	late := o.next - start
	if late >= int64(samples.Len()) {
		return
	}
	if late > 0 {
		samples = samples.From(int(late))
	}
	if late != 0 || o.owner != s {
		o.owner = s
		o.seam.Cut()
	}
	o.append(samples)
}

// silence appends n samples of silence.
func (o *output) silence(n int64) {
	if o.passthrough { // in whole packets
		for ; n >= frameSamples; n -= frameSamples {
			o.send(o.next, frameSamples, bytes.Clone(silencePacket))
			o.next = o.emitted
		}
		return
	}
	if o.owner != nil {
		o.owner = nil
		o.seam.Cut()
	}
	o.fresh = o.fresh.Sized(frameSamples)
	for n > 0 {
		part := o.fresh.To(int(min(n, frameSamples)))
		clear(part.L)
		clear(part.R)
		o.append(part)
		n -= int64(part.Len())
	}
}

// append adds samples at the position and emits the packets that are complete. It may
// change samples.
func (o *output) append(samples pcm.Stereo) {
	o.seam.Join(samples)
	for i := range samples.L {
		o.pending = append(o.pending, samples.L[i], samples.R[i])
	}
	o.next += int64(samples.Len())
	done := 0
	for ; len(o.pending)-done >= 2*frameSamples; done += 2 * frameSamples {
		first := o.next - int64(len(o.pending)-done)/2
		o.encode(first-encoderLookahead, o.pending[done:done+2*frameSamples])
	}
	o.pending = append(o.pending[:0], o.pending[done:]...)
}

// encode emits one packet with the given samples.
func (o *output) encode(at int64, samples []float32) {
	if silent(samples) {
		o.quiet++
	} else {
		o.quiet = 0
	}
	if o.quiet > quietFrames {
		o.send(at, frameSamples, bytes.Clone(silencePacket))
		return
	}
	n, err := o.encodeSafely(samples)
	if err != nil {
		if !o.failed {
			o.failed = true
			o.log.Error("Opus encoder failed; playing silence for the frame", "err", err)
		}
		o.encoder.Reset()
		o.send(at, frameSamples, bytes.Clone(silencePacket))
		return
	}
	o.send(at, frameSamples, bytes.Clone(o.packet[:n]))
}

func (o *output) encodeSafely(samples []float32) (n int, err error) {
	// The samples come from strangers' streams: see pcm.Decoder.Decode.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return o.encoder.Encode(samples, o.packet)
}

func silent(samples []float32) bool {
	for _, v := range samples {
		if v != 0 {
			return false
		}
	}
	return true
}

// forward emits a source's packet unchanged, for the index at.
func (o *output) forward(at int64, packet []byte) {
	n := int64(pcm.FrameSamples(stream.Opus, packet))
	if n == 0 {
		return // malformed: it becomes a gap
	}
	if !o.passthrough {
		o.finish()
		o.passthrough = true
		o.next = max(o.emitted, o.next-encoderLookahead)
		if at <= o.next+toleranceOpus {
			o.next = max(at, o.next) // nothing was sent to which it would have to join
		}
	}
	switch gap := at - o.next; {
	case gap > longestSilenceSamples:
		o.next = at
	case gap > toleranceOpus:
		o.silence(gap)
		o.next = at // the receiver conceals a gap shorter than a packet
	case gap < -toleranceOpus:
		return
	}
	o.send(o.next, n, bytes.Clone(packet))
	o.next = o.emitted
}

func (o *output) send(at, samples int64, packet []byte) {
	o.emitted = at + samples
	from := sampleTime(at)
	o.emit(from, sampleTime(o.emitted)-from, packet)
}
