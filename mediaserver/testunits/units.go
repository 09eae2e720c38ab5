// Package testunits reads media files into access units.
package testunits

import (
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Load returns the access units of an FLV file, in the order and with the times of the file.
func Load(tb testing.TB, path string) []*stream.AccessUnit {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	units, err := Read(f)
	if err != nil {
		tb.Fatalf("read %s: %v", path, err)
	}
	return units
}

// Of returns the units of one kind.
func Of(kind stream.Kind, units []*stream.AccessUnit) []*stream.AccessUnit {
	var out []*stream.AccessUnit
	for _, u := range units {
		if u.Kind == kind {
			out = append(out, u)
		}
	}
	return out
}

// Read returns the access units of an FLV file.
func Read(r io.Reader) ([]*stream.AccessUnit, error) {
	var units []*stream.AccessUnit
	var video, audio *stream.Format
	in := flv.NewReader(r, 0)
	for {
		tag, err := in.Next()
		if errors.Is(err, io.EOF) {
			return units, nil
		}
		if err != nil {
			return nil, err
		}
		at := time.Duration(tag.Timestamp) * time.Millisecond
		switch tag.Type {
		case flv.VideoTag:
			p, err := flv.ParseVideo(tag.Body)
			if err != nil {
				return nil, err
			}
			switch p.Kind {
			case flv.SequenceHeader:
				if video, err = videoFormat(p.Data); err != nil {
					return nil, err
				}
			case flv.CodedFrames:
				u := &stream.AccessUnit{Kind: stream.Video, DTS: at, PTS: at + p.CompositionTime, Arrival: at, Format: video, Seq: uint64(len(units) + 1)}
				nalus, err := flv.SplitAVCC(p.Data, 4)
				if err != nil {
					return nil, err
				}
				for _, n := range nalus {
					switch h264.NALUType(n[0] & 0x1f) {
					case h264.NALUTypeIDR:
						u.IDR = true
					case h264.NALUTypeNonIDR, h264.NALUTypeSEI:
					default:
						continue
					}
					u.NALUs = append(u.NALUs, n)
				}
				units = append(units, u)
			}
		case flv.AudioTag:
			p, err := flv.ParseAudio(tag.Body)
			if err != nil {
				return nil, err
			}
			switch p.Kind {
			case flv.SequenceHeader:
				var c mpeg4audio.AudioSpecificConfig
				if err := c.Unmarshal(p.Data); err != nil {
					return nil, err
				}
				audio = &stream.Format{Codec: stream.AAC, Config: p.Data, SampleRate: c.SampleRate, Channels: max(int(c.ChannelConfig), 1)}
			case flv.CodedFrames:
				units = append(units, &stream.AccessUnit{
					Kind: stream.Audio, DTS: at, PTS: at, Arrival: at, Format: audio, Frame: p.Data, Seq: uint64(len(units) + 1),
				})
			}
		}
	}
}

func videoFormat(config []byte) (*stream.Format, error) {
	c, err := flv.ParseAVCConfig(config)
	if err != nil {
		return nil, err
	}
	var sps h264.SPS
	if err := sps.Unmarshal(c.SPS[0]); err != nil {
		return nil, err
	}
	f := &stream.Format{
		Codec: stream.H264, SPS: c.SPS[0], PPS: c.PPS[0],
		Width: sps.Width(), Height: sps.Height(), FrameRate: sps.FPS(),
	}
	if v := sps.VUI; v != nil && v.BitstreamRestriction != nil {
		f.Reordered = v.BitstreamRestriction.MaxNumReorderFrames > 0
	}
	return f, nil
}

// Save writes access units as an FLV file.
func Save(tb testing.TB, path string, units []*stream.AccessUnit) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	w, err := flv.NewWriter(f, true, len(Of(stream.Audio, units)) > 0)
	var format *stream.Format
	for _, u := range units {
		if err != nil {
			break
		}
		if u.Kind == stream.Audio {
			err = w.WriteAudio(u.PTS, flv.AAC, u.Frame)
			continue
		}
		if format != u.Format {
			format = u.Format
			if err = w.WriteVideoConfig(u.DTS, format.SPS, format.PPS); err != nil {
				break
			}
		}
		err = w.WriteVideo(u.DTS, u.PTS, u.IDR, u.NALUs)
	}
	if err != nil {
		tb.Fatalf("write %s: %v", path, err)
	}
}

// Pictures decodes a file with ffmpeg and returns its pictures, as I420, by their
// presentation times in whole milliseconds.
func Pictures(tb testing.TB, path string, width, height int) map[time.Duration][]byte {
	tb.Helper()
	ffmpeg := mediatest.RequireFFmpeg(tb)
	cmd := exec.Command(ffmpeg, "-v", "error", "-nostdin", "-copyts", "-i", path, "-an",
		"-vsync", "passthrough", "-enc_time_base", "1:1000", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-f", "framecrc", "-")
	times, err := cmd.Output()
	if err != nil {
		tb.Fatalf("decode %s: %v", path, err)
	}
	raw, err := exec.Command(ffmpeg, "-v", "error", "-nostdin", "-copyts", "-i", path, "-an",
		"-vsync", "passthrough", "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-").Output()
	if err != nil {
		tb.Fatalf("decode %s: %v", path, err)
	}
	size := width * height * 3 / 2
	pictures := make(map[time.Duration][]byte)
	for line := range strings.Lines(string(times)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) < 3 || len(raw) < size {
			tb.Fatalf("decode %s: unexpected output %q", path, line)
		}
		ms, err := strconv.Atoi(strings.TrimSpace(fields[2]))
		if err != nil {
			tb.Fatalf("decode %s: %v", path, err)
		}
		pictures[time.Duration(ms)*time.Millisecond] = raw[:size:size]
		raw = raw[size:]
	}
	return pictures
}

// PSNR is the peak signal-to-noise ratio of two pictures in dB; 200 if they are equal.
func PSNR(a, b []byte) float64 {
	if len(a) != len(b) {
		return 0
	}
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	if sum == 0 {
		return 200
	}
	return 10 * math.Log10(255*255*float64(len(a))/sum)
}
