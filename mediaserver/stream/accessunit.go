package stream

import (
	"strings"
	"time"
)

// Kind tells video from audio.
type Kind int

// The two kinds of track a publication can have, at most one of each.
const (
	Video Kind = iota
	Audio
)

// String returns "video" or "audio".
func (k Kind) String() string {
	if k == Audio {
		return "audio"
	}
	return "video"
}

// Codec is a coding the media path understands.
type Codec int

// Codecs of a Format.
const (
	H264 Codec = iota + 1
	AAC
	Opus
)

// String returns the name of the codec as logs and status show it.
func (c Codec) String() string {
	switch c {
	case H264:
		return "H264"
	case AAC:
		return "AAC"
	case Opus:
		return "Opus"
	}
	return "unknown"
}

// A Format holds what a decoder must know before the first access unit of a track.
// It is immutable; when parameters change, access units carry a new *Format, so
// comparing pointers tells whether they did.
type Format struct {
	Codec Codec

	// SPS and PPS are the parameter sets in force, without start codes (H264).
	SPS, PPS []byte
	// Width and Height in pixels after cropping, and the frame rate the SPS
	// declares in frames per second, 0 when it declares none (H264).
	Width, Height int
	FrameRate     float64
	// Reordered says that pictures leave the decoder in another order than they
	// enter it (B-frames), which WebRTC receivers cannot play (H264).
	Reordered bool
	// Limitation says, for people, what of the pictures many players cannot show: "10-bit
	// 4:2:2", "interlaced". Empty: every player shows them (H264).
	Limitation string
	// SampleAspect is the width of a pixel over its height; 0: the SPS does not say (H264).
	SampleAspect float64

	// Config is the AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1 (AAC).
	Config []byte
	// SampleRate in Hz and Channels (AAC, Opus). Channels is 0 where the configuration of AAC
	// has a program config element.
	SampleRate, Channels int
}

// Interlaced reports whether the SPS allows for interlaced pictures (H264).
func (f *Format) Interlaced() bool { return strings.HasSuffix(f.Limitation, interlaced) }

// An AccessUnit is one coded picture or one audio frame. It is shared by all
// subscribers and must not be changed once published.
//
// Times are on the server's media clock: the time since the Registry's epoch. A
// publication's clock has been mapped to it, so that Arrival-DTS is the network
// and encoder jitter, and two publications of one programme can be compared.
type AccessUnit struct {
	Kind     Kind
	PTS, DTS time.Duration
	Arrival  time.Duration
	// Offset is what was added to the publisher's timestamps to get PTS and DTS. It
	// changes where the mapping does: less it, the times of pictures that refer to each
	// other are in the order that their encoder gave them.
	Offset time.Duration
	// Seq counts the access units of a Stream from 1, over all its publications;
	// a cached access unit with a Seq at or below one already received is the same.
	Seq uint64
	// Format is that of the track; never nil.
	Format *Format
	// IDR says that decoding can start here, with the Format's parameter sets.
	IDR bool
	// RecoveryPoint says that the access unit is no IDR, and that a decoder which starts
	// here shows whole pictures some pictures later: intra refresh, or an open GOP. A
	// WebRTC receiver cannot start here.
	RecoveryPoint bool
	// NALUs are the picture's NAL units without start codes, parameter sets,
	// access unit delimiters and filler data (video).
	NALUs [][]byte
	// Frame is one raw AAC frame or one Opus packet (audio).
	Frame []byte
	// Publication says whose it is: a change of it is a splice.
	Publication *Publication
}

// begins reports whether decoding can start at the access unit.
func (u *AccessUnit) begins() bool { return u.IDR || u.RecoveryPoint }

// Size is the number of payload bytes.
func (u *AccessUnit) Size() int {
	n := len(u.Frame)
	for _, nalu := range u.NALUs {
		n += len(nalu)
	}
	return n
}
