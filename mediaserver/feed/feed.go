// Package feed writes what a publisher sends to a publication: the bodies of FLV tags, from RTMP or
// a relay, or an MPEG transport stream. The package knows nothing of connections. It decides only
// what a publisher's faulty media means. A tag or PES packet that can't be used is dropped. A track
// that can't be used gets a fault. A publication ends only if nothing of it can be used.
//
// Start with [Feed], for FLV, or [TransportStream].
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
	// MaxMalformed is how many tags in a row, none of which can be used, end a publication. Its
	// encoder does something that this server can't use, and the encoder's user should be told.
	MaxMalformed = 250
	// maxForeign is how many tags of unsupported codecs end a publication that has
	// sent nothing else.
	maxForeign = 25
	// grace is how long a publication is kept while nothing of it can be used. Restreamers begin
	// with the sound, and send the picture's header only at the next IDR.
	grace = 10 * time.Second
	// MaxUnusable is how many tags end such a publication before grace is over. No
	// encoder sends as many in that time.
	MaxUnusable = 2500
	// faultAfter is how many tags that can't be used make a fault of their track. Each
	// second one of them is forgotten, so a few odd tags make no fault. The fault ends
	// when only faultEnds of them are left.
	faultAfter = 10
	faultEnds  = 5
)

// A MalformedError is returned when a publisher has sent MaxMalformed tags in a row
// that can't be used.
type MalformedError struct{ err error }

// Error says what was wrong with the last tag.
func (e *MalformedError) Error() string { return "the stream cannot be used: " + e.err.Error() }

// Unwrap returns the error of the last tag.
func (e *MalformedError) Unwrap() error { return e.err }

// A Feed writes the audio and video tags of one publisher to its publication. It is
// for one goroutine.
type Feed struct {
	publication *stream.Publication
	clock       flv.Unwrapper // shared by both tracks, because they have one origin

	lengthSize int // of NAL units
	pictures   pictures

	audioCodec       flv.AudioCodec // 0 before its configuration has come
	audioConfig      []byte
	unsupportedAudio bool

	tracks   [2]track      // by stream.Kind
	unusable int           // tags of both kinds in a row that could not be used
	began    time.Duration // when the first tag came, on the media clock; 0: none has come
	presence presence
}

// A track is the state of the tags of one kind.
type track struct {
	chosen   int  // number of the track that is played; -1: none yet
	several  bool // the warning about other tracks is shown
	used     bool // a tag has been used
	unusable int  // tags in a row that could not be used
	// recentUnusable counts tags that can't be used, less one per second, up to faultAfter. It
	// is as of counted.
	recentUnusable float64
	counted        time.Duration
	// unusableFault is the fault because of tags that can't be used, foreign the fault
	// because of the configuration. nil: there is none.
	unusableFault, foreign *stream.Fault
	trackPresence
}

// New returns a Feed of the publication.
func New(p *stream.Publication) *Feed {
	f := &Feed{publication: p, tracks: [2]track{{chosen: -1}, {chosen: -1}}}
	f.pictures = pictures{publication: p, maxBytes: flv.DefaultMaxBody, leftOut: func(length int) {
		f.ReportDropped(stream.Video, length, f.pictures.maxBytes)
	}}
	return f
}

// LimitPictures sets the most bytes of a picture that comes in several tags; the default is
// 4 MiB. A picture in one tag is bounded by the reader of the tags.
func (f *Feed) LimitPictures(bytes int) { f.pictures.maxBytes = bytes }

// Held returns the size of the pictures that the Feed holds because the next tag may
// continue them, in bytes.
func (f *Feed) Held() int { return f.pictures.bytes() }

// Publication returns the publication to which the Feed writes.
func (f *Feed) Publication() *stream.Publication { return f.publication }

// Anchor records that the publisher is at the timestamp now: see Publication.Anchor.
func (f *Feed) Anchor(timestamp uint32) { f.publication.Anchor(f.clock.Unwrap(timestamp)) }

// Video writes the body of a video tag, and keeps the body. An error means that
// nothing of the publication can be used. It is an flv.UnsupportedCodecError or a
// MalformedError. The caller must then end the publication.
func (f *Feed) Video(timestamp uint32, body []byte) error {
	packet, err := flv.ParseVideo(body)
	switch {
	case err == nil && packet.Kind == flv.Ignorable:
		return nil // this says nothing about the tracks
	case f.isOther(stream.Video, trackID{packet.Track, packet.Multitrack, packet.Several}, err):
		return nil
	case err != nil:
		return f.judge(stream.Video, f.publication.Reject(err), true)
	}
	f.notice(stream.Video, packet.Kind == flv.CodedFrames)
	return f.judge(stream.Video, f.videoPacket(f.clock.Unwrap(timestamp), packet), packet.Kind == flv.CodedFrames)
}

func (f *Feed) videoPacket(dts time.Duration, packet flv.VideoPacket) error {
	if packet.Kind == flv.SequenceHeader {
		config, err := flv.ParseAVCConfig(packet.Data)
		if err != nil {
			return f.publication.Reject(err)
		}
		f.lengthSize = config.LengthSize
		held := f.pictures.flush() // the held picture belongs to the header before, which may have been missing
		return errors.Join(held, f.publication.SetVideoParameters(append(config.SPS, config.PPS...)...))
	}
	lengthSize := f.lengthSize
	if lengthSize == 0 {
		lengthSize = 4 // parameter sets may come in band
	}
	nalus, err := flv.SplitAVCC(packet.Data, lengthSize)
	if err != nil {
		f.publication.BreakGOP()
		return f.publication.Reject(err)
	}
	if len(nalus) == 0 {
		return nil
	}
	return f.pictures.write(dts, dts+packet.CompositionTime, nalus)
}

// Audio writes the body of an audio tag, and keeps the body. Its errors are those of Video.
func (f *Feed) Audio(timestamp uint32, body []byte) error {
	packet, err := flv.ParseAudio(body)
	switch {
	case err == nil && packet.Kind == flv.Ignorable:
		return nil
	case f.isOther(stream.Audio, trackID{packet.Track, packet.Multitrack, packet.Several}, err):
		return nil
	case err != nil:
		return f.judge(stream.Audio, f.publication.Reject(err), true)
	}
	f.notice(stream.Audio, packet.Kind == flv.CodedFrames)
	switch packet.Kind {
	case flv.SequenceHeader:
		if packet.Codec == f.audioCodec && bytes.Equal(packet.Data, f.audioConfig) {
			return nil // some encoders repeat the configuration
		}
		return f.judge(stream.Audio, f.setAudioConfig(packet.Codec, packet.Data), false)
	case flv.CodedFrames:
		pts := f.clock.Unwrap(timestamp)
		if err := f.pictures.soundAt(pts); err != nil {
			_ = f.judge(stream.Video, err, true)
		}
		err := f.audioFrames(pts, packet)
		if f.unsupportedAudio {
			return nil
		}
		return f.judge(stream.Audio, err, true)
	}
	return nil
}

// ReportDropped records that an access unit of length bytes was left out because it was
// longer than limit.
func (f *Feed) ReportDropped(k stream.Kind, length, limit int) {
	_ = f.publication.Reject(errTooLarge)
	if k == stream.Video {
		f.publication.BreakGOP()
	}
	f.publication.Warn(WarningTooLarge, fmt.Sprintf(
		"A%s of %d bytes was left out, and at most %d are taken: lower the encoder's bit rate or resolution.",
		map[stream.Kind]string{stream.Video: " picture", stream.Audio: "n audio frame"}[k], length, limit))
}

// audioFrames writes the frames of a packet. Only ADTS has more than one.
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

// frameTime returns the time between the first AAC frame of a tag and frame i.
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

// maxAudioConfig bounds an audio configuration, in bytes, because every frame in a
// cache keeps its own. The longest AAC configuration has a program config element with
// a comment of 255 bytes (ISO/IEC 14496-3 section 4.4.1.1).
const maxAudioConfig = 1024

func (f *Feed) setAudioConfig(codec flv.AudioCodec, config []byte) error {
	if len(config) > maxAudioConfig {
		return f.publication.Reject(errLongConfig)
	}
	config = bytes.Clone(config) // it is a part of a message
	format, unsupported, err := audioFormat(codec, config)
	if err != nil {
		return f.publication.Reject(err)
	}
	f.audioCodec, f.audioConfig, f.unsupportedAudio = codec, config, unsupported != ""
	t := &f.tracks[stream.Audio]
	t.foreign = nil
	if f.unsupportedAudio {
		t.foreign = unsupportedAudio(unsupported)
	}
	f.show(stream.Audio)
	if f.unsupportedAudio {
		return nil
	}
	return f.publication.SetAudioFormat(format)
}

// audioFormat returns the format of an audio track's configuration. If the audio can't be
// played, unsupported is its kind; otherwise unsupported is "".
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

// A trackID is the track of a tag, as in flv.VideoPacket.
type trackID struct {
	number              byte
	multitrack, several bool
}

// isOther reports whether a tag belongs to another track than the one that is played.
// The played track is the usable track with the lowest number. err is why the tag
// can't be used, or nil if it can.
func (f *Feed) isOther(k stream.Kind, from trackID, err error) bool {
	t, number := &f.tracks[k], int(from.number)
	var foreign *flv.UnsupportedCodecError
	other := false
	switch {
	case number == t.chosen:
	case err == nil && (t.chosen < 0 || number < t.chosen):
		t.chosen = number
	case err != nil && !from.multitrack && !errors.As(err, &foreign):
		// The track of a malformed tag is unknown.
	default:
		other = t.chosen >= 0 // otherwise the track is the only known one
	}
	if other || from.several {
		f.warnSeveral(k)
	}
	return other
}

// warnSeveral warns about tracks that are left out.
func (f *Feed) warnSeveral(k stream.Kind) {
	if t := &f.tracks[k]; !t.several {
		t.several = true
		f.publication.Warn(WarningMultitrack, fmt.Sprintf(
			"The encoder sends more than one %s track: the first is played, the others are left out. Send one track to save bandwidth.", k))
	}
}
