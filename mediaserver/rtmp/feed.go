package rtmp

import (
	"bytes"
	"errors"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// warningUnsupportedAudio is the code of the warning shown with a stream whose audio
// is left out.
const warningUnsupportedAudio = "UnsupportedAudio"

// maxMalformed messages of one kind in a row end a publication: its encoder does
// something that this server cannot use, and its user should be told.
const maxMalformed = 250

// A feed writes the audio and video messages of one publisher to its publication.
type feed struct {
	publication *stream.Publication
	clock       flv.Unwrapper // shared by both tracks: they have one origin

	lengthSize int      // of NAL units
	further    [][]byte // parameter sets beside the first, for the next picture

	audioCodec       flv.AudioCodec // 0 until its configuration came
	audioConfig      []byte
	unsupportedAudio string // why the audio is left out, or ""

	malformedVideo, malformedAudio int // in a row
}

// video writes the body of a video message. An error ends the publication.
func (f *feed) video(timestamp uint32, body []byte) *refusal {
	packet, err := flv.ParseVideo(body)
	if err == nil {
		err = f.videoPacket(f.clock.Unwrap(timestamp), packet)
	}
	return judge(err, &f.malformedVideo)
}

func (f *feed) videoPacket(dts time.Duration, packet flv.VideoPacket) error {
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

// audio writes the body of an audio message. An error ends the publication.
func (f *feed) audio(timestamp uint32, body []byte) *refusal {
	packet, err := flv.ParseAudio(body)
	if err == nil {
		err = f.audioPacket(f.clock.Unwrap(timestamp), packet)
	}
	return judge(err, &f.malformedAudio)
}

func (f *feed) audioPacket(pts time.Duration, packet flv.AudioPacket) error {
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

func (f *feed) setAudioConfig(packet flv.AudioPacket) error {
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
		return stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: channels}, "", nil
	}
	config, err := flv.ParseAudioConfig(packet.Data)
	if err != nil {
		return format, "", err
	}
	return stream.Format{
		Codec: stream.AAC, Config: packet.Data, SampleRate: config.SampleRate, Channels: config.Channels,
	}, config.Unsupported(), nil
}

// opusChannels reads the channel count of an identification header, RFC 7845 section 5.1.
func opusChannels(head []byte) (int, error) {
	if len(head) < 19 || string(head[:8]) != "OpusHead" || head[9] == 0 {
		return 0, errors.New("malformed Opus identification header")
	}
	return int(head[9]), nil
}

// warnOfAudio shows the warning with the stream, once this publication is on air:
// until then the stream, and its warnings, are another's. To ask with each frame that
// is left out is cheap, and finds the moment.
func (f *feed) warnOfAudio() {
	s := f.publication.Stream()
	if p := s.Snapshot().Publication; p != nil && p.ID == f.publication.ID() {
		s.Warn(warningUnsupportedAudio, f.unsupportedAudio+" is not supported and the stream has no sound: set the encoder's audio to AAC-LC, mono or stereo.")
	}
}

// judge decides what an error means for the publication: nothing, unless the codec is
// a wrong one or the errors do not end.
func judge(err error, malformed *int) *refusal {
	var codec *flv.UnsupportedCodecError
	switch {
	case err == nil:
		*malformed = 0
		return nil
	case errors.As(err, &codec):
		return refusePublisher(ReasonUnsupportedCodec, statusRejected, codec.Error())
	case errors.Is(err, stream.ErrPublicationEnded):
		return nil // the registry stops the connection
	}
	if *malformed++; *malformed >= maxMalformed {
		return refusePublisher(ReasonMalformedMedia, statusRejected, "the stream cannot be used: "+err.Error())
	}
	return nil
}
