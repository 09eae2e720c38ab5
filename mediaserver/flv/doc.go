// Package flv reads and writes FLV: the tag bodies that RTMP carries too, and the
// file format (header and tags) spoken over a pipe with an ffmpeg child and over HTTP.
//
// It knows H.264 video (classic, and Enhanced RTMP's "avc1") and AAC or Opus audio,
// and translates between FLV's units and the media path's: NAL units without start
// codes, time.Duration instead of 32-bit milliseconds. It is not a demuxer with
// buffering or seeking, and it decodes nothing.
//
// Everything here may be fed by strangers: every length is checked before it is used,
// nothing grows with a number read from the input, and errors are values. Parsed
// slices point into the input, they are not copies.
//
// Start from ParseVideo and ParseAudio for tag bodies, and from Reader and Writer for
// whole streams. The formats are those of "Adobe Flash Video File Format
// Specification" 10.1 annex E, "Enhanced RTMP" v2 (Veovera), and ISO/IEC 14496-15.
package flv

import "fmt"

// UnsupportedCodecError says that a tag carries a codec that the media path does not
// play. A publisher who meets it must change its settings: it does not go away.
type UnsupportedCodecError struct {
	// Codec as users know it: "HEVC", "MP3", or the fourcc in quotes.
	Codec string
	// Audio tells an audio codec from a video codec.
	Audio bool
}

// Error says what to use instead.
func (e *UnsupportedCodecError) Error() string {
	if e.Audio {
		return fmt.Sprintf("audio codec %s is not supported; set the encoder to AAC", e.Codec)
	}
	return fmt.Sprintf("video codec %s is not supported; set the encoder to H.264", e.Codec)
}

// FourCC values of Enhanced RTMP.
const (
	fourCCAVC  = "avc1"
	fourCCAAC  = "mp4a"
	fourCCOpus = "Opus"
)

// codecNames are the fourccs that encoders offer, as their users know them.
var codecNames = map[string]string{
	"hvc1": "HEVC (H.265)", "av01": "AV1", "vp09": "VP9", "vp08": "VP8",
	"vvc1": "VVC (H.266)", "ac-3": "AC-3", "ec-3": "E-AC-3", ".mp3": "MP3", "fLaC": "FLAC",
}

func codecName(fourCC string) string {
	if name, ok := codecNames[fourCC]; ok {
		return name
	}
	return fmt.Sprintf("%q", fourCC)
}
