package flv

import (
	"errors"
	"fmt"
	"time"
)

// A PacketKind is the kind of a tag's body.
type PacketKind int

// Kinds of tag bodies.
const (
	// Ignorable bodies carry nothing for the media path, such as metadata, commands,
	// or an end of sequence.
	Ignorable PacketKind = iota
	// SequenceHeader bodies carry decoder configuration.
	SequenceHeader
	// CodedFrames bodies carry one access unit.
	CodedFrames
)

// A VideoPacket is the parsed body of a video tag.
type VideoPacket struct {
	Kind PacketKind
	// Track is the number of the track; it is 0 without Multitrack.
	Track byte
	// Multitrack reports whether the tag can carry several tracks. Several reports
	// whether it has other tracks beside this one.
	Multitrack, Several bool
	// Keyframe is what the tag claims. The NAL units show whether it is true.
	Keyframe bool
	// CompositionTime is the presentation time less the decoding time, which is the tag's time.
	CompositionTime time.Duration
	// Data is an AVCDecoderConfigurationRecord (SequenceHeader) or NAL units with
	// length prefixes (CodedFrames).
	Data []byte
}

var (
	errShortVideo = errors.New("flv: video tag is too short")
	errShortAudio = errors.New("flv: audio tag is too short")
)

// Video tag header, annex E.4.3.1. The upper four bits of the first byte are the frame type,
// the lower four the codec. Enhanced RTMP sets the top bit. The next three bits are then the
// frame type, the lower four the packet type, and a fourcc follows.
const (
	videoEnhanced      = 0x80
	frameTypeKey       = 1
	frameTypeCommand   = 5
	codecAVC           = 7
	avcSequenceHeader  = 0
	avcNALU            = 1
	avcEndOfSequence   = 2
	exSequenceStart    = 0
	exCodedFrames      = 1
	exSequenceEnd      = 2
	exCodedFramesX     = 3
	exMetadata         = 4
	exMPEG2TSSequence  = 5
	exMultitrack       = 6
	exModEx            = 7
	videoHeaderClassic = 5 // type and codec, AVC packet type, composition time
	fourCCHeader       = 5 // type, fourcc
)

var classicVideoCodecs = map[byte]string{
	1: "JPEG", 2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha",
	6: "Screen Video 2", 8: "H.263", 9: "MPEG-4 Part 2", 12: "HEVC (H.265)", 13: "AV1", 14: "VVC (H.266)",
}

// ParseVideo parses the body of a video tag, which is also an RTMP video message. Of several
// tracks it returns the H.264 track with the lowest number. If there is none, it returns the track
// with the lowest number. For any codec but H.264 the error is an UnsupportedCodecError. Track,
// Multitrack and Several are set even with an error, as far as they could be read.
func ParseVideo(body []byte) (VideoPacket, error) {
	if len(body) == 0 {
		return VideoPacket{}, errShortVideo
	}
	if body[0]&videoEnhanced != 0 {
		return parseEnhancedVideo(body)
	}
	frameType, codec := body[0]>>4, body[0]&0x0f
	if frameType == frameTypeCommand {
		return VideoPacket{}, nil
	}
	if codec != codecAVC {
		name, ok := classicVideoCodecs[codec]
		if !ok {
			name = fmt.Sprintf("number %d", codec)
		}
		return VideoPacket{}, &UnsupportedCodecError{Codec: name}
	}
	if len(body) < videoHeaderClassic {
		return VideoPacket{}, errShortVideo
	}
	p := VideoPacket{Keyframe: frameType == frameTypeKey, Data: body[videoHeaderClassic:]}
	switch body[1] {
	case avcSequenceHeader:
		p.Kind = SequenceHeader
	case avcNALU:
		p.Kind = CodedFrames
		p.CompositionTime = milliseconds(body[2:5])
	case avcEndOfSequence:
		return VideoPacket{}, nil
	default:
		return VideoPacket{}, fmt.Errorf("flv: AVC packet type %d", body[1])
	}
	return p, nil
}

func parseEnhancedVideo(body []byte) (VideoPacket, error) {
	frameType, packetType := body[0]>>4&0x07, body[0]&0x0f
	body = body[1:]
	var err error
	if packetType, body, err = skipModifiers(packetType, body, errShortVideo); err != nil {
		return VideoPacket{}, err
	}
	if frameType == frameTypeCommand && packetType != exMetadata {
		return VideoPacket{}, nil // one command byte follows, without a fourcc
	}
	var identity VideoPacket // returned with an Ignorable body and with an error
	if packetType == exMultitrack {
		var track trackBody
		if packetType, track, err = chooseTrack(body, isPlayableVideo, errShortVideo); err != nil {
			return VideoPacket{}, err
		}
		identity, body = VideoPacket{Track: track.number, Multitrack: true, Several: track.several}, track.body()
	}
	if len(body) < 4 {
		return identity, errShortVideo
	}
	if fourCC := string(body[:4]); !isPlayableVideo(fourCC) {
		return identity, &UnsupportedCodecError{Codec: codecName(fourCC)}
	}
	p := identity
	p.Keyframe, p.Data = frameType == frameTypeKey, body[4:]
	switch packetType {
	case exSequenceStart:
		p.Kind = SequenceHeader
	case exCodedFrames:
		if len(p.Data) < 3 {
			return identity, errShortVideo
		}
		p.Kind = CodedFrames
		p.CompositionTime = milliseconds(p.Data)
		p.Data = p.Data[3:]
	case exCodedFramesX: // without a composition time, which is 0
		p.Kind = CodedFrames
	case exSequenceEnd, exMetadata, exMPEG2TSSequence:
		return identity, nil
	default:
		return identity, fmt.Errorf("flv: video packet type %d", packetType)
	}
	return p, nil
}

func isPlayableVideo(fourCC string) bool { return fourCC == fourCCAVC }

// skipModifiers skips the ModEx prefixes of Enhanced RTMP v2, such as nanosecond offsets. A
// prefix has its size less one, in one byte or in two bytes after 255, then its data. Then
// come the modifier type and the next packet type, four bits each.
func skipModifiers(packetType byte, b []byte, short error) (byte, []byte, error) {
	for packetType == exModEx {
		if len(b) < 1 {
			return 0, nil, short
		}
		n := int(b[0]) + 1
		b = b[1:]
		if n == 256 {
			if len(b) < 2 {
				return 0, nil, short
			}
			n = int(b[0])<<8 + int(b[1]) + 1
			b = b[2:]
		}
		if len(b) < n+1 {
			return 0, nil, short
		}
		packetType = b[n] & 0x0f
		b = b[n+1:]
	}
	return packetType, b, nil
}

// AppendVideoConfig appends the body of a video tag with decoder configuration.
func AppendVideoConfig(b []byte, c AVCConfig) ([]byte, error) {
	b = append(b, frameTypeKey<<4|codecAVC, avcSequenceHeader, 0, 0, 0)
	return c.Append(b)
}

// AppendVideo appends the body of a video tag with one access unit. composition is the
// presentation time less the decoding time. It has 24 bits of milliseconds: ±8388 s.
func AppendVideo(b []byte, keyframe bool, composition time.Duration, nalus [][]byte) []byte {
	first := byte(2<<4 | codecAVC) // an inter frame
	if keyframe {
		first = frameTypeKey<<4 | codecAVC
	}
	ms := inMilliseconds(composition)
	b = append(b, first, avcNALU, byte(ms>>16), byte(ms>>8), byte(ms))
	return AppendAVCC(b, nalus)
}

// milliseconds returns the duration in a signed 24-bit number of milliseconds.
func milliseconds(b []byte) time.Duration {
	v := int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
	return time.Duration(v) * time.Millisecond
}
