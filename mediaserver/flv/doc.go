// Package flv reads and writes FLV: the tag bodies, which RTMP carries too, and the file format of
// a header and tags. The file format is used over a pipe to an ffmpeg child, and over HTTP.
//
// It knows H.264 video (classic, and Enhanced RTMP's "avc1") and AAC or Opus audio. It translates
// between FLV's units and the media path's: NAL units without start codes, and time.Duration
// instead of 32-bit milliseconds. It does not buffer, seek or decode.
//
// All input may come from strangers. Every length is checked before it is used, no
// allocation grows with a number from the input, and errors are values. Parsed slices
// point into the input; they are not copies.
//
// Start with ParseVideo and ParseAudio for tag bodies, and with Reader and Writer for
// whole files. The formats are those of "Adobe Flash Video File Format Specification"
// 10.1 annex E, "Enhanced RTMP" v2 (Veovera), and ISO/IEC 14496-15.
package flv

import "fmt"

// An UnsupportedCodecError is returned for a tag with a codec that the media path does not play.
// It does not go away by itself: the publisher must change its settings.
type UnsupportedCodecError struct {
	// Codec is the codec as users know it: "HEVC", "MP3", or the fourcc in quotes.
	Codec string
	// Audio reports whether it is an audio codec; otherwise it is a video codec.
	Audio bool
}

// Error names the codec and says what to use instead.
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

// codecNames are the names of fourccs, as users know them.
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
