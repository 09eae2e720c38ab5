package transcode

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// soundQueue is how many frames may wait for the ffmpeg: 2.7 s at 48 kHz.
	soundQueue = 128
	// soundBegins is the time with which the first frame is put in: FLV has no times below
	// 0, and the encoder's first packet is a frame earlier than the sound put in.
	soundBegins = time.Second
	// soundHangs is how long a soundChild may give nothing.
	soundHangs = 5 * time.Second
)

// A soundChild is one ffmpeg process that makes AAC-LC in stereo of any other AAC.
//
// Its methods are for the goroutine of its view; its own goroutines only move bytes.
type soundChild struct {
	*process

	format *stream.Format // of the frames put in
	length time.Duration  // of a frame put in

	// frames come out here; it is closed when the process is at its end.
	frames chan soundFrame
	input  chan soundFrame

	// next is the time with which the next frame is put in: frames join, whatever their
	// times are. placed are the frames put in, by that time, with their own times.
	next   time.Duration
	placed []placement

	waitsSince time.Time // when a frame was put in and none has come out since
	delivered  bool
}

// A soundFrame is one AAC frame. at is a time as it is put in.
type soundFrame struct {
	at     time.Duration
	format *stream.Format // of a frame that comes out
	frame  []byte
}

// A placement is where a frame was put in, and the media-clock time of the frame.
type placement struct{ in, pts time.Duration }

// startSoundChild starts the ffmpeg at path for frames of format f, which is AAC.
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
	c.process, err = startProcess(path, soundArgs(), processIO{feed: c.feed, read: c.read}, r)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// soundArgs are ffmpeg's arguments. See childArgs for those of the input.
func soundArgs() []string {
	return strings.Fields("-hide_banner -nostdin -loglevel error" +
		" -copyts -probesize 20000 -analyzeduration 1 -f flv -i pipe:0 -vn" +
		" -c:a aac -ac 2 -b:a 160k" +
		" -f flv -flvflags no_duration_filesize -flush_packets 1 pipe:1")
}

// write puts a frame in. It says whether it did: a child that is too far behind loses
// frames.
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
	if c.waitsSince.IsZero() {
		c.waitsSince = time.Now()
	}
	return true
}

// took notes that a frame came out, and returns its media-clock time.
func (c *soundChild) took(f soundFrame) time.Duration {
	c.delivered, c.waitsSince = true, time.Time{}
	// Milliseconds are rounded: half of one more than where it was put in.
	for len(c.placed) > 1 && c.placed[1].in <= f.at+time.Millisecond {
		c.placed = c.placed[1:]
	}
	return c.placed[0].pts + f.at - c.placed[0].in
}

// hangs says whether the child has stopped answering.
func (c *soundChild) hangs(now time.Time) bool {
	return !c.waitsSince.IsZero() && now.Sub(c.waitsSince) > soundHangs
}

// feed writes frames to the process until it has gone.
func (c *soundChild) feed(process *process, stdin io.Writer) {
	w, err := flv.NewWriter(stdin, false, true)
	if err != nil {
		return // the process has gone: the reader says so
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
		case <-process.quit:
			return
		}
	}
}

// read hands on what the process gives, until its end or until stop.
func (c *soundChild) read(process *process, stdout io.Reader) error {
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
			case <-process.quit:
				return io.EOF
			}
		}
	}
}
