package transcode

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/ffmpeg"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// soundQueue is how many frames may wait for ffmpeg: 2.7 s at 48 kHz.
	soundQueue = 128
	// soundBegins is the time with which the first frame goes in. FLV has no negative times, and
	// the encoder's first packet is one frame earlier than its input.
	soundBegins = time.Second
	// provenFrames is how many frames show that sound can be decoded again.
	provenFrames = 10
	// soundHangs is how long a soundChild may give nothing before it counts as hanging.
	soundHangs = 5 * time.Second
)

// A soundChild is one ffmpeg process that makes AAC-LC in stereo from any other AAC.
//
// Its methods are for the view's goroutine. The child's own goroutines only move bytes.
type soundChild struct {
	*ffmpeg.Process

	format *stream.Format // format of the frames that go in
	length time.Duration  // length of a frame that goes in

	// frames is where frames come out. It is closed when the process has ended.
	frames chan soundFrame
	input  chan soundFrame

	// next is the time with which the next frame goes in. Frames go in back to back, whatever
	// their own times. placed maps the times with which frames went in to their own times.
	next   time.Duration
	placed []placement

	waitsSince time.Time // when the first frame without an answer went in, or the input went on after a pause
	fedAt      time.Time // when the last frame went in
	delivered  bool
	// written and given count the frames that went in and came out since the last judgement.
	written, given int
}

// A soundFrame is one AAC frame. at is its time at the child's input or output.
type soundFrame struct {
	at     time.Duration
	format *stream.Format // set for a frame that comes out
	frame  []byte
}

// A placement is the time with which a frame went in, and the frame's media-clock time.
type placement struct{ in, pts time.Duration }

// startSoundChild starts the ffmpeg at path for frames of format f, which must be AAC.
func startSoundChild(path string, f *stream.Format, r *recovery.Recovery) (*soundChild, error) {
	config, err := flv.ParseAudioConfig(f.Config)
	if err != nil {
		return nil, err
	}
	samples := time.Duration(1024)
	if config.ShortFrames {
		samples = 960
	}
	c := &soundChild{
		format: f, length: samples * time.Second / time.Duration(config.SampleRate),
		frames: make(chan soundFrame, 16), input: make(chan soundFrame, soundQueue),
		next: soundBegins,
	}
	c.Process, err = ffmpeg.Start(ffmpeg.Command{Path: path, Args: soundArgs()}, ffmpeg.IO{Feed: c.feed, Read: c.read}, r)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// soundArgs returns ffmpeg's arguments. childArgs explains those for the input.
func soundArgs() []string {
	return strings.Fields("-hide_banner -nostdin -loglevel error" +
		" -copyts -probesize 20000 -analyzeduration 1 -f flv -i pipe:0 -vn" +
		" -c:a aac -ac 2 -b:a 160k" +
		" -f flv -flvflags no_duration_filesize -flush_packets 1 pipe:1")
}

// write puts a frame in, or drops it if the child is too far behind. It reports
// whether the frame went in.
func (c *soundChild) write(u *stream.AccessUnit) bool {
	select {
	case c.input <- soundFrame{at: c.next, frame: u.Frame}:
	default:
		return false
	}
	c.placed = append(c.placed, placement{c.next, u.PTS})
	if len(c.placed) > maxUnanswered {
		c.placed = c.placed[1:]
	}
	c.next += c.length
	c.written++
	now := time.Now()
	if c.waitsSince.IsZero() || now.Sub(c.fedAt) > inputPause {
		c.waitsSince = now
	}
	c.fedAt = now
	return true
}

// answered records that a frame has come out, and returns its media-clock time.
func (c *soundChild) answered(f soundFrame) time.Duration {
	c.delivered, c.waitsSince = true, time.Time{}
	c.given++
	// Milliseconds are rounded, so a frame may come out up to half a millisecond before its time.
	for len(c.placed) > 1 && c.placed[1].in <= f.at+time.Millisecond {
		c.placed = c.placed[1:]
	}
	return c.placed[0].pts + f.at - c.placed[0].in
}

// decodesMost reports whether a good share of the frames that ffmpeg has read come out again. Of
// damaged sound hardly any frame does.
func (c *soundChild) decodesMost() bool { return 4*c.given >= c.written-len(c.input) }

// decodesTooLittle reports whether hardly any frame of the last soundHangs came out.
func (c *soundChild) decodesTooLittle() bool {
	if time.Duration(c.written)*c.length < soundHangs {
		return false
	}
	if !c.decodesMost() {
		return true
	}
	c.written, c.given = 0, 0
	return false
}

// hangs reports whether the child gets frames but no longer gives any.
func (c *soundChild) hangs(now time.Time) bool {
	return !c.waitsSince.IsZero() && now.Sub(c.waitsSince) > soundHangs && now.Sub(c.fedAt) < inputPause
}

// feed writes frames to the process until the process ends.
func (c *soundChild) feed(process *ffmpeg.Process, stdin io.Writer) {
	w, err := flv.NewWriter(stdin, false, true)
	if err != nil {
		return // the process has ended, which read reports
	}
	if w.WriteAudioConfig(0, flv.AAC, c.format.Config) != nil {
		return
	}
	for {
		select {
		case f := <-c.input:
			if w.WriteAudio(f.at, flv.AAC, f.frame) != nil {
				return
			}
		case <-process.Quit:
			return
		}
	}
}

// read passes on the frames that the process gives, until the process ends or stop is called.
func (c *soundChild) read(process *ffmpeg.Process, stdout io.Reader) error {
	defer close(c.frames)
	r := flv.NewReader(stdout, 0)
	var format *stream.Format
	for {
		tag, err := r.Next()
		if err != nil {
			return err
		}
		if tag.Type != flv.AudioTag {
			continue
		}
		a, err := flv.ParseAudio(tag.Body)
		if err != nil {
			return err
		}
		switch a.Kind {
		case flv.SequenceHeader:
			config, err := flv.ParseAudioConfig(a.Data)
			if err != nil {
				return fmt.Errorf("sound of ffmpeg: %w", err)
			}
			format = &stream.Format{Codec: stream.AAC, Config: a.Data, SampleRate: config.SampleRate, Channels: config.Channels}
		case flv.CodedFrames:
			if format == nil {
				continue
			}
			select {
			case c.frames <- soundFrame{time.Duration(tag.Timestamp) * time.Millisecond, format, a.Data}:
			case <-process.Quit:
				return io.EOF
			}
		}
	}
}
