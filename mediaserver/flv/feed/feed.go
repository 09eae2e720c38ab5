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
	// nothing else.
	maxForeign = 25
	// grace is how long a publication is kept of which nothing could be used yet. Restreamers
	// begin with the sound, and with the picture's header at the next key frame only.
	grace = 10 * time.Second
	// MaxUnusable tags end such a publication sooner: no encoder sends as many within grace.
	MaxUnusable = 2500
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

	tracks   [2]track      // by stream.Kind
	unusable int           // tags of either kind, in a row
	began    time.Duration // when the first tag came, on the media clock; 0: none has
}

// A track is what is known of the tags of one kind.
type track struct {
	chosen   int  // number of the track that is played; -1: none yet
	several  bool // the warning of other tracks is shown
	used     bool // a tag could be used
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
	switch {
	case err == nil && packet.Kind == flv.Ignorable:
		return nil // which says nothing about the tracks either
	case f.isOther(stream.Video, origin{packet.Track, packet.Multitrack, packet.Several}, err):
		return nil
	case err != nil:
		return f.judge(stream.Video, f.publication.Reject(err))
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
	switch {
	case err == nil && packet.Kind == flv.Ignorable:
		return nil
	case f.isOther(stream.Audio, origin{packet.Track, packet.Multitrack, packet.Several}, err):
		return nil
	case err != nil:
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
	errLongConfig    = fmt.Errorf("audio configuration of more than %d bytes", maxAudioConfig)
)

// maxAudioConfig bounds an audio configuration in bytes. Every frame in a cache keeps its
// own. The longest of AAC has a program config element with a comment of 255 bytes (ISO/IEC
// 14496-3 section 4.4.1.1).
const maxAudioConfig = 1024

func (f *Feed) setAudioConfig(codec flv.AudioCodec, config []byte) error {
	if len(config) > maxAudioConfig {
		return f.publication.Reject(errLongConfig)
	}
	config = bytes.Clone(config) // which is part of a message
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

// An origin says which track a tag is of, as flv.VideoPacket does.
type origin struct {
	number              byte
	multitrack, several bool
}

// isOther reports whether a tag is of another track than the one that is played: that with
// the lowest number of those that can be used. err is why the tag cannot be used; nil: it can.
func (f *Feed) isOther(k stream.Kind, from origin, err error) bool {
	t, number := &f.tracks[k], int(from.number)
	var foreign *flv.UnsupportedCodecError
	other := false
	switch {
	case number == t.chosen:
	case err == nil && (t.chosen < 0 || number < t.chosen):
		t.chosen = number
	case err != nil && !from.multitrack && !errors.As(err, &foreign):
		// Nothing is known of whose a malformed tag is.
	default:
		other = t.chosen >= 0 // else the track is the only one, as far as is known
	}
	if (other || from.several) && !t.several {
		t.several = true
		f.publication.Warn(WarningMultitrack, fmt.Sprintf(
			"The encoder sends more than one %s track: the first is played, the others are left out. Send one track to save bandwidth.", k))
	}
	return other
}

// judge decides what a tag means for its track and for the publication. err is why the tag
// could not be used; nil: it was.
func (f *Feed) judge(k stream.Kind, err error) error {
	t := &f.tracks[k]
	if f.began == 0 {
		f.began = f.publication.Stream().Now()
	}
	if errors.Is(err, stream.ErrPublicationEnded) {
		return nil // whoever ended it knows
	}
	if err == nil {
		t.used, f.unusable, t.unusable = true, 0, 0
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
	return f.hopeless(k, err)
}

// hopeless returns the error that ends the publication, if it is of no use: a tag of kind k
// could not be used because of err.
func (f *Feed) hopeless(k stream.Kind, err error) error {
	t, other := &f.tracks[k], &f.tracks[1-k]
	var foreign *flv.UnsupportedCodecError
	switch {
	case other.used && other.unusable < MaxMalformed:
		return nil // the publication lives by its other track
	case t.used || other.used:
	case f.unusable < MaxUnusable && f.publication.Stream().Now()-f.began < grace:
		return nil // the other track may be yet to come
	case errors.As(err, &foreign) && f.unusable >= maxForeign:
		return foreign
	}
	if t.unusable >= MaxMalformed {
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
