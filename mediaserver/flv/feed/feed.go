// Package feed writes the bodies of FLV tags to a publication: what an RTMP publisher
// sends, and what a relay reads. It is not about connections, and it decides only
// what a publisher's faulty media means: a tag that cannot be used is dropped, a track that
// cannot be used is shown as such, and only a publication of which nothing can be used ends.
//
// Start at [Feed].
package feed

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Codes of the warnings that are shown with a stream.
const (
	WarningUnsupportedAudio = "UnsupportedAudio"
	WarningMalformedAudio   = "MalformedAudio"
	WarningUnsupportedVideo = "UnsupportedVideo"
	WarningMalformedVideo   = "MalformedVideo"
	WarningMultitrack       = "Multitrack"
	WarningTooLarge         = "AccessUnitTooLarge"
)

const (
	// MaxMalformed tags in a row of which none can be used end a publication: its encoder
	// does something that this server cannot use, and its user should be told.
	MaxMalformed = 250
	// maxForeign tags of codecs that are not supported end a publication that has sent
	// nothing else. They give its other track the time to come.
	maxForeign = 25
	// faultAfter tags of one kind in a row make a fault of their track. Fewer are odd ones.
	faultAfter = 10
)

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

	lengthSize int // of NAL units
	pictures   pictures

	audioCodec       flv.AudioCodec // 0 until its configuration came
	audioConfig      []byte
	unsupportedAudio bool

	tracks   [2]track // by stream.Kind
	used     bool     // something could be used
	unusable int      // tags of which nothing could be used, in a row
}

// A track is what is known of the tags of one kind.
type track struct {
	chosen   int  // number of the track that is played; -1: none yet
	unusable int  // tags in a row
	faulty   bool // the fault of unusable tags is shown
}

// New returns a Feed of the publication.
func New(p *stream.Publication) *Feed {
	f := &Feed{publication: p, tracks: [2]track{{chosen: -1}, {chosen: -1}}}
	f.pictures = pictures{publication: p, maxBytes: flv.DefaultMaxBody, leftOut: func(length int) {
		f.LeftOut(stream.Video, length, f.pictures.maxBytes)
	}}
	return f
}

// LimitPictures sets how many bytes a picture may have that comes in several tags; 4 MiB
// unless set. Whoever reads the tags bounds those that come in one.
func (f *Feed) LimitPictures(bytes int) { f.pictures.maxBytes = bytes }

// Publication is what the Feed writes to.
func (f *Feed) Publication() *stream.Publication { return f.publication }

// Anchor says that the publisher is at the timestamp now: see Publication.Anchor.
func (f *Feed) Anchor(timestamp uint32) { f.publication.Anchor(f.clock.Unwrap(timestamp)) }

// Video writes the body of a video tag, which it keeps. An error means that the
// publication is of no use: flv.UnsupportedCodecError or MalformedError. It is for the
// caller to end it.
func (f *Feed) Video(timestamp uint32, body []byte) error {
	packet, err := flv.ParseVideo(body)
	if f.isOther(stream.Video, packet.Track, packet.Multitrack, err) {
		return nil
	}
	if err != nil {
		return f.judge(stream.Video, f.publication.Reject(err))
	}
	if packet.Kind == flv.Ignorable {
		return nil
	}
	return f.judge(stream.Video, f.videoPacket(f.clock.Unwrap(timestamp), packet))
}

func (f *Feed) videoPacket(dts time.Duration, packet flv.VideoPacket) error {
	if packet.Kind == flv.SequenceHeader {
		config, err := flv.ParseAVCConfig(packet.Data)
		if err != nil {
			return f.publication.Reject(err)
		}
		f.lengthSize = config.LengthSize
		held := f.pictures.flush() // is of the header before, and may have had none
		return errors.Join(held, f.publication.SetVideoParameters(append(config.SPS, config.PPS...)...))
	}
	lengthSize := f.lengthSize
	if lengthSize == 0 {
		lengthSize = 4 // parameter sets may come in band
	}
	nalus, err := flv.SplitAVCC(packet.Data, lengthSize)
	if err != nil {
		return f.publication.Reject(err)
	}
	if len(nalus) == 0 {
		return nil
	}
	return f.pictures.write(dts, dts+packet.CompositionTime, nalus)
}

// Audio writes the body of an audio tag, which it keeps. Errors are those of Video.
func (f *Feed) Audio(timestamp uint32, body []byte) error {
	packet, err := flv.ParseAudio(body)
	if f.isOther(stream.Audio, packet.Track, packet.Multitrack, err) {
		return nil
	}
	if err != nil {
		return f.judge(stream.Audio, f.publication.Reject(err))
	}
	switch packet.Kind {
	case flv.SequenceHeader:
		if packet.Codec == f.audioCodec && bytes.Equal(packet.Data, f.audioConfig) {
			return nil // some encoders repeat it
		}
		return f.judge(stream.Audio, f.setAudioConfig(packet.Codec, packet.Data))
	case flv.CodedFrames:
		pts := f.clock.Unwrap(timestamp)
		if err := f.pictures.soundAt(pts); err != nil {
			_ = f.judge(stream.Video, err)
		}
		err := f.audioFrames(pts, packet)
		if f.unsupportedAudio {
			return nil
		}
		return f.judge(stream.Audio, err)
	}
	return nil
}

// LeftOut says that an access unit of length bytes was left out, because it was longer than
// limit.
func (f *Feed) LeftOut(k stream.Kind, length, limit int) {
	_ = f.publication.Reject(errTooLarge)
	if k == stream.Video {
		f.publication.BreakGOP()
	}
	f.publication.Warn(WarningTooLarge, fmt.Sprintf(
		"A%s of %d bytes was left out, and at most %d are taken: lower the encoder's bit rate or resolution.",
		map[stream.Kind]string{stream.Video: " picture", stream.Audio: "n audio frame"}[k], length, limit))
}

// audioFrames writes the frames of a packet, which is one unless they are ADTS.
func (f *Feed) audioFrames(pts time.Duration, packet flv.AudioPacket) error {
	frames := [][]byte{packet.Data}
	if packet.Codec == flv.AAC {
		if raw, config, is := flv.SplitADTS(packet.Data); is {
			frames = raw
			if f.audioCodec != flv.AAC {
				if err := f.setAudioConfig(flv.AAC, config); err != nil {
					return err
				}
			}
		}
	}
	if packet.Codec != f.audioCodec {
		return f.publication.Reject(errNoAudioConfig)
	}
	if f.unsupportedAudio {
		return nil
	}
	for i, frame := range frames {
		if err := f.publication.WriteAudio(pts+f.frameTime(i), frame); err != nil {
			return err
		}
	}
	return nil
}

// frameTime returns how long after the first AAC frame of a tag frame i begins.
func (f *Feed) frameTime(i int) time.Duration {
	if i == 0 {
		return 0
	}
	config, err := flv.ParseAudioConfig(f.audioConfig)
	if err != nil {
		return 0
	}
	return time.Duration(i) * 1024 * time.Second / time.Duration(config.SampleRate)
}

var (
	errNoAudioConfig = errors.New("audio before its sequence header")
	errTooLarge      = errors.New("access unit too large")
)

func (f *Feed) setAudioConfig(codec flv.AudioCodec, config []byte) error {
	format, unsupported, err := audioFormat(codec, config)
	if err != nil {
		return f.publication.Reject(err)
	}
	f.audioCodec, f.audioConfig, f.unsupportedAudio = codec, config, unsupported != ""
	f.tracks[stream.Audio].faulty = false
	if f.unsupportedAudio {
		f.publication.SetFault(stream.Audio, unsupportedAudio(unsupported))
		return nil
	}
	f.publication.SetFault(stream.Audio, nil)
	return f.publication.SetAudioFormat(format)
}

// audioFormat reads an audio track's configuration. unsupported says, if not "", what
// kind of audio it is that cannot be played.
func audioFormat(codec flv.AudioCodec, config []byte) (format stream.Format, unsupported string, err error) {
	if codec == flv.Opus {
		channels, err := opusChannels(config)
		if err != nil {
			return format, "", err
		}
		if channels > 2 {
			return format, "Opus with more than two channels", nil
		}
		return stream.Format{Codec: stream.Opus, SampleRate: opusRate, Channels: channels}, "", nil
	}
	aac, err := flv.ParseAudioConfig(config)
	if err != nil {
		return format, "", err
	}
	return stream.Format{
		Codec: stream.AAC, Config: config, SampleRate: aac.SampleRate, Channels: aac.Channels,
	}, "", nil
}

// isOther reports whether a tag is of another track than the one that is played: that with
// the lowest number of those that can be used.
func (f *Feed) isOther(k stream.Kind, number byte, multitrack bool, err error) bool {
	t := &f.tracks[k]
	if !multitrack {
		number = 0
	}
	switch usable := err == nil; {
	case int(number) == t.chosen:
		return false
	case t.chosen < 0 && !usable:
		return false // the only one, as far as is known
	case t.chosen < 0 || usable && int(number) < t.chosen:
		t.chosen = int(number)
		return false
	}
	f.publication.Warn(WarningMultitrack, fmt.Sprintf(
		"The encoder sends more than one %s track: the first is played, the others are left out. Send one track to save bandwidth.", k))
	return true
}

// judge decides what a tag means for its track and for the publication. err is why the tag
// could not be used; nil: it was.
func (f *Feed) judge(k stream.Kind, err error) error {
	t := &f.tracks[k]
	if errors.Is(err, stream.ErrPublicationEnded) {
		return nil // whoever ended it knows
	}
	if err == nil {
		f.used, f.unusable, t.unusable = true, 0, 0
		if t.faulty {
			t.faulty = false
			f.publication.SetFault(k, nil)
		}
		return nil
	}
	f.unusable++
	if t.unusable++; t.unusable >= faultAfter && !t.faulty {
		t.faulty = true
		f.publication.SetFault(k, faultOf(k, err))
	}
	var foreign *flv.UnsupportedCodecError
	switch {
	case errors.As(err, &foreign) && !f.used && f.unusable >= maxForeign:
		return foreign
	case f.unusable >= MaxMalformed:
		return &MalformedError{err}
	}
	return nil
}

// faultOf is the fault of a track whose tags cannot be used for that error.
func faultOf(k stream.Kind, err error) *stream.Fault {
	var foreign *flv.UnsupportedCodecError
	isForeign := errors.As(err, &foreign)
	switch {
	case k == stream.Audio && isForeign:
		return unsupportedAudio(foreign.Codec)
	case k == stream.Audio:
		return &stream.Fault{Code: WarningMalformedAudio, Message: fmt.Sprintf(
			"The sound cannot be decoded, and viewers hear silence (%v): restart the encoder, and set its audio to AAC-LC, mono or stereo.", err)}
	case isForeign:
		return &stream.Fault{Code: WarningUnsupportedVideo, Message: foreign.Codec + " is not supported and the stream has no picture: set the encoder's video to H.264."}
	}
	return &stream.Fault{Code: WarningMalformedVideo, Message: fmt.Sprintf(
		"The picture cannot be decoded (%v): restart the encoder, and set its video to H.264.", err)}
}

// unsupportedAudio is the fault of sound of that kind.
func unsupportedAudio(kind string) *stream.Fault {
	return &stream.Fault{
		Code:    WarningUnsupportedAudio,
		Message: kind + " is not supported and the stream has no sound: set the encoder's audio to AAC-LC, mono or stereo.",
	}
}
