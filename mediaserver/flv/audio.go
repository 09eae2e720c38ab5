package flv

import "fmt"

// An AudioCodec is the codec of an audio tag.
type AudioCodec int

// Codecs of audio tags.
const (
	AAC AudioCodec = iota + 1
	Opus
)

// An AudioPacket is the parsed body of an audio tag.
type AudioPacket struct {
	Kind  PacketKind
	Codec AudioCodec
	// Track is the number of the track; it is 0 without Multitrack.
	Track byte
	// Multitrack reports whether the tag can carry several tracks. Several reports
	// whether it has other tracks beside this one.
	Multitrack, Several bool
	// Data is an AudioSpecificConfig or an OpusHead (SequenceHeader), or one raw AAC
	// frame or Opus packet (CodedFrames).
	Data []byte
}

// Audio tag header, annex E.4.2.1. The upper four bits of the first byte are the sound
// format. Format 9, which was unused, is the extended header of Enhanced RTMP v2: the
// lower four bits are the packet type, and a fourcc follows.
const (
	soundFormatEx       = 9
	soundFormatAAC      = 10
	aacSequenceHeader   = 0
	aacRaw              = 1
	exAudioMultichannel = 4
	exAudioMultitrack   = 5
	// aacFlags means AAC, "44 kHz", 16 bit, stereo. Annex E.4.2.1 fixes these for AAC,
	// whatever the sound is. The AudioSpecificConfig has the true values.
	aacFlags = soundFormatAAC<<4 | 3<<2 | 1<<1 | 1
)

var soundFormats = map[byte]string{
	0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
	7: "G.711 A-law", 8: "G.711 mu-law", 11: "Speex", 13: "Opus", 14: "MP3", 15: "device specific",
}

// ParseAudio parses the body of an audio tag, which is also an RTMP audio message. Of
// several tracks it returns the AAC or Opus track with the lowest number. If there is
// none, it returns the track with the lowest number. For any codec but AAC and Opus
// the error is an UnsupportedCodecError. Track, Multitrack and Several are set even
// with an error, as far as they could be read.
func ParseAudio(body []byte) (AudioPacket, error) {
	if len(body) == 0 {
		return AudioPacket{}, errShortAudio
	}
	switch format := body[0] >> 4; format {
	case soundFormatEx:
		return parseEnhancedAudio(body)
	case soundFormatAAC:
	default:
		name, ok := soundFormats[format]
		if !ok {
			name = fmt.Sprintf("number %d", format)
		}
		return AudioPacket{}, &UnsupportedCodecError{Codec: name, Audio: true}
	}
	if len(body) < 2 {
		return AudioPacket{}, errShortAudio
	}
	p := AudioPacket{Codec: AAC, Data: body[2:]}
	switch body[1] {
	case aacSequenceHeader:
		p.Kind = SequenceHeader
	case aacRaw:
		p.Kind = CodedFrames
	default:
		return AudioPacket{}, fmt.Errorf("flv: AAC packet type %d", body[1])
	}
	return p.orIgnorable(), nil
}

func parseEnhancedAudio(body []byte) (AudioPacket, error) {
	packetType, body, err := skipModifiers(body[0]&0x0f, body[1:], errShortAudio)
	if err != nil {
		return AudioPacket{}, err
	}
	var identity AudioPacket // returned with an Ignorable body and with an error
	if packetType == exAudioMultitrack {
		var track trackBody
		if packetType, track, err = chooseTrack(body, isPlayableAudio, errShortAudio); err != nil {
			return AudioPacket{}, err
		}
		identity, body = AudioPacket{Track: track.number, Multitrack: true, Several: track.several}, track.body()
	}
	if len(body) < 4 {
		return identity, errShortAudio
	}
	fourCC := string(body[:4])
	if !isPlayableAudio(fourCC) {
		return identity, &UnsupportedCodecError{Codec: codecName(fourCC), Audio: true}
	}
	p := identity
	p.Codec, p.Data = AAC, body[4:]
	if fourCC == fourCCOpus {
		p.Codec = Opus
	}
	switch packetType {
	case exSequenceStart:
		p.Kind = SequenceHeader
	case exCodedFrames:
		p.Kind = CodedFrames
	case exSequenceEnd, exAudioMultichannel:
		return identity, nil
	default:
		return identity, fmt.Errorf("flv: audio packet type %d", packetType)
	}
	return p.orIgnorable(), nil
}

func isPlayableAudio(fourCC string) bool { return fourCC == fourCCAAC || fourCC == fourCCOpus }

// orIgnorable makes a body without payload ignorable. ffmpeg and others end their
// audio with such a body.
func (p AudioPacket) orIgnorable() AudioPacket {
	if len(p.Data) == 0 {
		return AudioPacket{Track: p.Track, Multitrack: p.Multitrack, Several: p.Several}
	}
	return p
}

// AppendAudioConfig appends the body of an audio tag with decoder configuration. That is an
// AudioSpecificConfig for AAC, and an OpusHead (RFC 7845 section 5.1) for Opus.
func AppendAudioConfig(b []byte, codec AudioCodec, config []byte) []byte {
	if codec == Opus {
		b = append(b, soundFormatEx<<4|exSequenceStart)
		return append(append(b, fourCCOpus...), config...)
	}
	return append(append(b, aacFlags, aacSequenceHeader), config...)
}

// AppendAudio appends the body of an audio tag with one frame.
func AppendAudio(b []byte, codec AudioCodec, frame []byte) []byte {
	if codec == Opus {
		b = append(b, soundFormatEx<<4|exCodedFrames)
		return append(append(b, fourCCOpus...), frame...)
	}
	return append(append(b, aacFlags, aacRaw), frame...)
}
