package stream

import (
	"strings"
	"time"
)

// Kind distinguishes video from audio.
type Kind int

// The two kinds of track. A publication has at most one track of each kind.
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

// Codec is a codec that the media path understands.
type Codec int

// Codecs of a Format.
const (
	H264 Codec = iota + 1
	AAC
	Opus
)

// String returns the name of the codec in logs and status.
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

// A Format holds what a decoder must know before the first access unit of a track. It is immutable.
// When the parameters change, access units carry a new *Format, so comparing pointers detects a
// change.
type Format struct {
	Codec Codec

	// SPS and PPS are the parameter sets in force, without start codes (H264).
	SPS, PPS []byte
	// Width and Height are in pixels, after cropping. FrameRate is the rate that the SPS declares,
	// in frames per second; 0: it declares none (H264).
	Width, Height int
	FrameRate     float64
	// Reordered reports whether pictures leave the decoder in another order than they enter it
	// (B-frames). WebRTC receivers cannot play such pictures (H264).
	Reordered bool
	// Limitation is the property of the pictures that many players cannot show, in words for
	// people: "10-bit 4:2:2", "interlaced". Empty: every player shows the pictures (H264).
	Limitation string
	// SampleAspect is the width of a pixel over its height; 0: the SPS does not say (H264).
	SampleAspect float64

	// Config is the AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1 (AAC).
	Config []byte
	// SampleRate is in Hz. Channels is 0 if the AAC configuration has a program config element
	// (AAC, Opus).
	SampleRate, Channels int
}

// Profile returns the name of the SPS's profile, such as "High": Rec. H.264 annex A.2 (H264).
func (f *Format) Profile() string {
	if len(f.SPS) < 2 {
		return "of an unknown profile"
	}
	switch f.SPS[1] {
	case 66:
		return "Baseline"
	case 77:
		return "Main"
	case 88:
		return "Extended"
	case 100:
		return "High"
	case 110:
		return "High 10"
	case 122:
		return "High 4:2:2"
	case 244:
		return "High 4:4:4"
	}
	return "of another profile"
}

// Interlaced reports whether the SPS allows for interlaced pictures (H264).
func (f *Format) Interlaced() bool { return strings.HasSuffix(f.Limitation, interlaced) }

// An AccessUnit is one coded picture or one audio frame. All subscribers share it: it must not be
// changed once published.
//
// Times are on the server's media clock: the time since the Registry's epoch. The publication's
// clock has been mapped to the media clock. So Arrival-DTS is the jitter of network and encoder,
// and two publications of one programme can be compared.
type AccessUnit struct {
	Kind     Kind
	PTS, DTS time.Duration
	Arrival  time.Duration
	// Offset was added to the publisher's timestamps to get PTS and DTS. It changes when the
	// mapping changes. PTS less Offset keeps the encoder's order of pictures that refer to each
	// other.
	Offset time.Duration
	// Seq counts the access units of a Stream from 1, over all its publications. A cached access
	// unit with a Seq at or below the Seq of one already received has been received too.
	Seq uint64
	// Format is the format of the track; never nil.
	Format *Format
	// IDR reports whether decoding can start here, with the Format's parameter sets.
	IDR bool
	// RecoveryPoint reports whether the access unit is no IDR, but a decoder that starts here shows
	// whole pictures some pictures later: intra refresh, or an open GOP. A WebRTC receiver cannot
	// start here.
	RecoveryPoint bool
	// NALUs are the picture's NAL units, without start codes (video). Parameter sets, access unit
	// delimiters and filler data are left out.
	NALUs [][]byte
	// Frame is one raw AAC frame or one Opus packet (audio).
	Frame []byte
	// Publication is the publication that the access unit belongs to. A change of it is a splice.
	Publication *Publication
}

// isEntry reports whether decoding can start at the access unit.
func (u *AccessUnit) isEntry() bool { return u.IDR || u.RecoveryPoint }

// Size returns the number of payload bytes.
func (u *AccessUnit) Size() int {
	n := len(u.Frame)
	for _, nalu := range u.NALUs {
		n += len(nalu)
	}
	return n
}
