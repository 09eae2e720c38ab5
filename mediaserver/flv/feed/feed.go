// Package feed writes the bodies of FLV tags to a publication: what an RTMP publisher
// sends, and what a relay reads. It is not about connections, and it decides only one
// thing: when a publisher's media is so wrong that it is of no use to anybody.
//
// Start at [Feed].
package feed

import (
	"bytes"
	"errors"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// WarningUnsupportedAudio is the code of the warning shown with a stream whose audio
// is left out.
const WarningUnsupportedAudio = "UnsupportedAudio"

// MaxMalformed tags of one kind in a row end a publication: its encoder does something
// that this server cannot use, and its user should be told.
const MaxMalformed = 250

// MalformedError says that a publisher has sent MaxMalformed tags in a row of which
// nothing could be used.
type MalformedError struct{ err error }

// Error says what was wrong with the last.
func (e *MalformedError) Error() string { return "the stream cannot be used: " + e.err.Error() }

// Unwrap returns what was wrong with the last.
func (e *MalformedError) Unwrap() error { return e.err }

// A Feed writes the audio and video tags of one publisher to its publication. It is for
// one goroutine.
type Feed struct {
	publication *stream.Publication
	clock       flv.Unwrapper // shared by both tracks: they have one origin

	lengthSize int      // of NAL units
	further    [][]byte // parameter sets beside the first, for the next picture

	audioCodec       flv.AudioCodec // 0 until its configuration came
	audioConfig      []byte
	unsupportedAudio string // why the audio is left out, or ""

	malformedVideo, malformedAudio int // in a row
}

// New returns a Feed of the publication.
func New(p *stream.Publication) *Feed { return &Feed{publication: p} }

// Publication is what the Feed writes to.
func (f *Feed) Publication() *stream.Publication { return f.publication }

// Anchor says that the publisher is at the timestamp now: see Publication.Anchor.
func (f *Feed) Anchor(timestamp uint32) { f.publication.Anchor(f.clock.Unwrap(timestamp)) }

// Video writes the body of a video tag, which it keeps. An error means that the
// publication is of no use: flv.UnsupportedCodecError or MalformedError. It is for the
// caller to end it.
func (f *Feed) Video(timestamp uint32, body []byte) error {
	packet, err := flv.ParseVideo(body)
	if err == nil {
		err = f.videoPacket(f.clock.Unwrap(timestamp), packet)
	}
	return judge(err, &f.malformedVideo)
}

func (f *Feed) videoPacket(dts time.Duration, packet flv.VideoPacket) error {
	switch packet.Kind {
	case flv.SequenceHeader:
		config, err := flv.ParseAVCConfig(packet.Data)
		if err != nil {
			return err
		}
		f.lengthSize = config.LengthSize
		f.further = append(config.SPS[1:len(config.SPS):len(config.SPS)], config.PPS[1:]...)
		return f.publication.SetVideoParameters(config.SPS[0], config.PPS[0])
	case flv.CodedFrames:
		lengthSize := f.lengthSize
		if lengthSize == 0 {
			lengthSize = 4 // parameter sets may come in band
		}
		nalus, err := flv.SplitAVCC(packet.Data, lengthSize)
		if err != nil || len(nalus) == 0 {
			return err
		}
		if len(f.further) > 0 {
			nalus = append(f.further, nalus...)
			f.further = nil
		}
		return f.publication.WriteVideo(dts, dts+packet.CompositionTime, nalus)
	}
	return nil
}

// Audio writes the body of an audio tag, which it keeps. Errors are those of Video.
func (f *Feed) Audio(timestamp uint32, body []byte) error {
	packet, err := flv.ParseAudio(body)
	if err == nil {
		err = f.audioPacket(f.clock.Unwrap(timestamp), packet)
	}
	return judge(err, &f.malformedAudio)
}

func (f *Feed) audioPacket(pts time.Duration, packet flv.AudioPacket) error {
	switch packet.Kind {
	case flv.SequenceHeader:
		if packet.Codec == f.audioCodec && bytes.Equal(packet.Data, f.audioConfig) {
			return nil // some encoders repeat it
		}
		return f.setAudioConfig(packet)
	case flv.CodedFrames:
		switch {
		case f.unsupportedAudio != "":
			f.warnOfAudio()
			return nil
		case packet.Codec != f.audioCodec:
			return errNoAudioConfig
		}
		return f.publication.WriteAudio(pts, packet.Data)
	}
	return nil
}

var errNoAudioConfig = errors.New("audio before its sequence header")

func (f *Feed) setAudioConfig(packet flv.AudioPacket) error {
	format, unsupported, err := audioFormat(packet)
	if err != nil {
		return err
	}
	f.audioCodec, f.audioConfig, f.unsupportedAudio = packet.Codec, packet.Data, unsupported
	if unsupported != "" {
		f.warnOfAudio()
		return nil
	}
	return f.publication.SetAudioFormat(format)
}

// audioFormat reads an audio track's configuration. unsupported says, if not "", what
// kind of audio it is that cannot be played.
func audioFormat(packet flv.AudioPacket) (format stream.Format, unsupported string, err error) {
	if packet.Codec == flv.Opus {
		channels, err := opusChannels(packet.Data)
		if err != nil {
			return format, "", err
		}
		if channels > 2 {
			return format, "Opus with more than two channels", nil
		}
		return stream.Format{Codec: stream.Opus, SampleRate: opusRate, Channels: channels}, "", nil
	}
	config, err := flv.ParseAudioConfig(packet.Data)
	if err != nil {
		return format, "", err
	}
	return stream.Format{
		Codec: stream.AAC, Config: packet.Data, SampleRate: config.SampleRate, Channels: config.Channels,
	}, config.Unsupported(), nil
}

// warnOfAudio shows the warning with the stream, once this publication is on air:
// until then the stream, and its warnings, are another's. To ask with each frame that
// is left out is cheap, and finds the moment.
func (f *Feed) warnOfAudio() {
	s := f.publication.Stream()
	if p := s.Snapshot().Publication; p != nil && p.ID == f.publication.ID() {
		s.Warn(WarningUnsupportedAudio, f.unsupportedAudio+" is not supported and the stream has no sound: set the encoder's audio to AAC-LC, mono or stereo.")
	}
}

// judge decides what an error means for the publication: nothing, unless the codec is
// a wrong one or the errors do not end.
func judge(err error, malformed *int) error {
	var codec *flv.UnsupportedCodecError
	switch {
	case err == nil:
		*malformed = 0
		return nil
	case errors.As(err, &codec):
		return codec
	case errors.Is(err, stream.ErrPublicationEnded):
		return nil // whoever ended it knows
	}
	if *malformed++; *malformed >= MaxMalformed {
		return &MalformedError{err}
	}
	return nil
}
