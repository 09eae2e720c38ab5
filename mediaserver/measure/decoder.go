package measure

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/ffmpeg"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// width and height are the size of the pictures that are measured.
	width, height = 320, 180
	frameBytes    = width * height * 3 / 2
	// AnalyserMemory is how much memory an ffmpeg may have, in bytes. One of 2160p has 60 MB.
	AnalyserMemory = control.AnalyserMemoryBytes
	// keyFrameEvery is the least time between two key frames that are measured.
	keyFrameEvery = time.Second
	// decodeTimeout is how long ffmpeg may take for a key frame.
	decodeTimeout = 5 * time.Second
)

// A frame is a decoded key frame.
type frame struct {
	at  time.Duration // PTS
	yuv []byte        // frameBytes long
}

// A frameDecoder is an ffmpeg that decodes key frames, one at a time, at a small size.
type frameDecoder struct {
	*ffmpeg.Process
	format *stream.Format
	keys   chan *stream.AccessUnit
	frames chan frame
	asked  chan *stream.AccessUnit // those that went in, and have yet to come out
	// since is when the key frame went in that has yet to come out; zero: there is none. last is the
	// DTS of the last one that went in.
	since time.Time
	last  time.Duration
}

// decoderArgs returns ffmpeg's arguments. Without -probesize and the like, ffmpeg waits for more input than
// the first key frame, which may be a small one. Even the
// encoder of raw pictures has threads, which hold pictures back.
func decoderArgs() []string {
	return strings.Fields("-hide_banner -nostdin -loglevel error" +
		" -threads 1 -flags low_delay -probesize 32 -analyzeduration 1 -fpsprobesize 0 -f flv -i pipe:0 -an" +
		" -fps_mode passthrough -threads 1 -filter_threads 1" +
		fmt.Sprintf(" -vf scale=%d:%d:flags=fast_bilinear:out_range=tv -pix_fmt yuv420p", width, height) +
		" -f rawvideo -flush_packets 1 pipe:1")
}

func startDecoder(path string, format *stream.Format, r *recovery.Recovery) (*frameDecoder, error) {
	d := &frameDecoder{
		format: format, keys: make(chan *stream.AccessUnit, 1), frames: make(chan frame, 1), asked: make(chan *stream.AccessUnit, 1),
		last: -time.Hour,
	}
	var err error
	d.Process, err = ffmpeg.Start(ffmpeg.Command{Path: path, Args: decoderArgs(), MemoryBytes: AnalyserMemory},
		ffmpeg.IO{Feed: d.feed, Read: d.read}, r)
	return d, err
}

// decode puts a key frame in, unless the last one has yet to come out or has just gone in.
func (d *frameDecoder) decode(u *stream.AccessUnit, now time.Time) {
	if !d.since.IsZero() || u.DTS-d.last < keyFrameEvery && u.DTS >= d.last {
		return
	}
	d.since, d.last = now, u.DTS
	d.keys <- u
}

// hangs reports whether the key frame that went in ought to have come out.
func (d *frameDecoder) hangs(now time.Time) bool {
	return !d.since.IsZero() && now.Sub(d.since) > decodeTimeout
}

// feed writes the key frames.
func (d *frameDecoder) feed(p *ffmpeg.Process, stdin io.Writer) {
	w, err := flv.NewWriter(stdin, true, false)
	if err != nil || w.WriteVideoConfig(0, d.format.SPS, d.format.PPS) != nil {
		return // the process has ended, which read reports
	}
	for at := time.Duration(0); ; at += time.Second {
		select {
		case u := <-d.keys:
			d.asked <- u
			if w.WriteVideo(at, at, true, u.NALUs) != nil {
				return
			}
		case <-p.Quit:
			return
		}
	}
}

// read reads the pictures.
func (d *frameDecoder) read(p *ffmpeg.Process, stdout io.Reader) error {
	defer close(d.frames)
	for {
		yuv := make([]byte, frameBytes)
		if _, err := io.ReadFull(stdout, yuv); err != nil {
			return err
		}
		select {
		case u := <-d.asked:
			d.frames <- frame{u.PTS, yuv} // has room: the next one is asked for after this one
		case <-p.Quit:
			return io.EOF
		default:
			return errors.New("it gave a picture that was not asked for")
		}
	}
}
