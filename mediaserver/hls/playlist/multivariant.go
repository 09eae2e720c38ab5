package playlist

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Multivariant returns a multivariant playlist with one variant. segments are those of its media
// playlist, at least one. uri is where the media playlist is.
func Multivariant(segments []*list.Segment, uri string) []byte {
	v := variantOf(segments)
	w := writer{}
	w.line("#EXTM3U")
	w.line("#EXT-X-VERSION:", strconv.Itoa(version))
	attributes := []string{
		"BANDWIDTH=" + strconv.FormatInt(v.peak, 10), "AVERAGE-BANDWIDTH=" + strconv.FormatInt(v.average, 10),
		`CODECS="` + strings.Join(v.codecs, ",") + `"`,
	}
	if v.width > 0 {
		attributes = append(attributes, fmt.Sprintf("RESOLUTION=%dx%d", v.width, v.height))
	}
	if v.frameRate > 0 {
		attributes = append(attributes, "FRAME-RATE="+strconv.FormatFloat(v.frameRate, 'f', 3, 64))
	}
	w.line("#EXT-X-STREAM-INF:", strings.Join(attributes, ","))
	w.line(uri)
	return w.text
}

// A variant has the attributes of EXT-X-STREAM-INF (draft section 4.4.6.2).
type variant struct {
	peak, average int64 // bits a second
	codecs        []string
	width, height int
	frameRate     float64
}

// shortSegment is the least duration of a segment that counts for BANDWIDTH. The bit rate of a
// shorter one says little, because one IDR may be all there is.
const shortSegment = 500 * time.Millisecond

func variantOf(segments []*list.Segment) (v variant) {
	var bits, pictures int64
	var length time.Duration
	var picture *stream.Format // the most demanding
	var sounds []string
	for _, s := range segments {
		bits += int64(s.Bytes) * 8
		length += s.Duration
		pictures += int64(s.Pictures)
		if s.Duration >= shortSegment {
			v.peak = max(v.peak, rate(int64(s.Bytes)*8, s.Duration))
		}
		if s.Run == nil {
			continue
		}
		if f := s.Run.Video; f != nil {
			v.width, v.height = max(v.width, f.Width), max(v.height, f.Height)
			v.frameRate = max(v.frameRate, f.FrameRate)
			if picture == nil || demand(f) > demand(picture) {
				picture = f
			}
		}
		if f := s.Run.Sound; f != nil {
			sounds = appendNew(sounds, soundCodec(f))
		}
	}
	v.average = rate(bits, length)
	v.peak = max(v.peak, v.average)
	if picture != nil {
		v.codecs = append(v.codecs, pictureCodec(picture))
		if v.frameRate == 0 && length > 0 {
			v.frameRate = float64(pictures) / length.Seconds()
		}
	}
	v.codecs = append(v.codecs, sounds...)
	return v
}

func rate(bits int64, d time.Duration) int64 {
	if d <= 0 {
		return 1
	}
	return max(1, int64(float64(bits)/d.Seconds()))
}

func appendNew(all []string, one string) []string {
	for _, a := range all {
		if a == one {
			return all
		}
	}
	return append(all, one)
}

// demand orders formats by what a decoder must be able to do: level_idc, then profile_idc.
func demand(f *stream.Format) int {
	if len(f.SPS) < 4 {
		return 0
	}
	return int(f.SPS[3])<<8 | int(f.SPS[1])
}

// pictureCodec returns the RFC 6381 name of a format. It is avc1, as the sample entry is. The
// samples have parameter sets too, and players take both.
func pictureCodec(f *stream.Format) string {
	if len(f.SPS) < 4 {
		return "avc1"
	}
	return "avc1." + hex.EncodeToString(f.SPS[1:4])
}

// soundCodec returns the RFC 6381 name of a format. The number at the end of AAC's name is the
// audio object type, which is the first five bits of the configuration.
func soundCodec(f *stream.Format) string {
	if f.Codec == stream.Opus {
		return "opus"
	}
	objectType := 2 // AAC-LC
	if len(f.Config) > 0 {
		objectType = int(f.Config[0] >> 3)
	}
	return "mp4a.40." + strconv.Itoa(objectType)
}
