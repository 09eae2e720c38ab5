package transcode

import (
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/streampair/streampair/mediaserver/ffmpeg"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// childQueue is how many pictures may wait for the child: 2 s at 60 fps. A child
	// that is further behind loses pictures up to the next IDR.
	childQueue = 128
	// maxChildAge is half of the time that FLV's 32-bit milliseconds can count.
	maxChildAge = 24 * 24 * time.Hour
	// maxUnanswered bounds how many pictures are remembered that went in and never came out.
	maxUnanswered = 4096
	// inputPause is the time without input after which a child is not waited for. An
	// encoder holds back pictures for which it needs more input.
	inputPause = 4 * time.Second
)

// A child is one ffmpeg process that re-encodes a stream's video without B-frames.
// Audio does not pass through it. A muxer would hold back pictures when audio is late,
// so a fault of one track would look like a fault of both.
//
// Its methods are for the view's goroutine. The child's own goroutines only move bytes.
type child struct {
	*ffmpeg.Process

	format *stream.Format // format of the pictures that go in

	// pictures is where pictures come out. It is closed when the process has ended.
	pictures chan picture
	input    chan feedPicture

	// times has the media-clock times of pictures, by the milliseconds with which they went in. So
	// a picture that comes out gets its own time back, to the nanosecond.
	times map[int64]time.Duration
	order []int64
	base  time.Duration // the media-clock time that goes in as 0
	// offset is the Offset of the last picture that went in. last is the DTS of that
	// picture less base.
	offset, last time.Duration

	awaitIDR bool // pictures were dropped
	// The rest tells whether the child hangs.
	putIn      int       // pictures that went in since one came out
	waitsSince time.Time // when the first of them went in, or the input went on after a pause
	fedAt      time.Time // when the last one went in
	delivered  bool
}

// A feedPicture is a picture that goes in. Its times are less the child's base.
type feedPicture struct {
	dts, pts time.Duration
	idr      bool
	nalus    [][]byte
}

// A picture is a picture that comes out.
type picture struct {
	milliseconds int64 // as it went in
	idr          bool
	nalus        [][]byte
	format       *stream.Format
}

// startChild starts the ffmpeg at path with the pictures since an IDR. ffmpeg decodes
// the older ones of these but does not encode them. So the newest picture comes out
// soon, however long the GOP is.
func startChild(path string, since []*stream.AccessUnit, bitrateBPS int64, r *recovery.Recovery) (*child, error) {
	first, newest := since[0], since[len(since)-1]
	c := &child{
		format:   first.Format,
		pictures: make(chan picture, 16),
		input:    make(chan feedPicture, childQueue),
		times:    make(map[int64]time.Duration),
		base:     first.DTS, offset: first.Offset, last: -1,
	}
	backlog := make([]feedPicture, 0, len(since))
	for _, u := range since {
		backlog = append(backlog, c.place(u))
	}
	args := childArgs(bitrateBPS, backlog[len(backlog)-1].dts, newest != first, first.Format.Interlaced())
	var err error
	c.Process, err = ffmpeg.Start(ffmpeg.Command{Path: path, Args: args}, ffmpeg.IO{
		Feed: func(p *ffmpeg.Process, stdin io.Writer) { c.feed(p, stdin, backlog) },
		Read: c.read,
	}, r)
	if err != nil {
		return nil, err
	}
	c.waitsSince = time.Now()
	return c, nil
}

// write puts a picture in, or drops it if the child is too far behind. It reports
// whether the picture went in.
func (c *child) write(u *stream.AccessUnit) bool {
	if c.awaitIDR && !begins(u) {
		return false
	}
	p := c.place(u)
	select {
	case c.input <- p:
	default:
		c.awaitIDR = true
		return false
	}
	c.awaitIDR = false
	now := time.Now()
	if c.putIn == 0 || now.Sub(c.fedAt) > inputPause {
		c.waitsSince = now
	}
	c.fedAt = now
	c.putIn++
	return true
}

// place returns a picture with the times with which it goes in. The times are in step with the
// publisher's own clock: the order in which pictures are shown must not change while the
// mapping to the media clock settles. Decoding times always increase, whatever the publisher's
// clock does, because otherwise the encoder would drop the picture.
func (c *child) place(u *stream.AccessUnit) feedPicture {
	if shift := u.Offset - c.offset; shift.Abs() <= stream.MaxDeparture { // otherwise the clock has jumped
		c.base += shift
	}
	c.offset = u.Offset
	dts := u.DTS - c.base
	if dts <= c.last {
		c.base -= c.last + time.Millisecond - dts
		dts = u.DTS - c.base
	}
	c.last = dts
	pts := max(u.PTS-c.base, 0)
	key := pts.Round(time.Millisecond).Milliseconds()
	c.times[key] = u.PTS
	if c.order = append(c.order, key); len(c.order) > maxUnanswered {
		delete(c.times, c.order[0])
		c.order = c.order[1:]
	}
	return feedPicture{dts, pts, begins(u), u.NALUs}
}

// begins reports whether ffmpeg can start decoding at u.
func begins(u *stream.AccessUnit) bool { return u.IDR || u.RecoveryPoint }

// answered records that a picture has come out, and returns its media-clock time. ffmpeg may have
// given a picture another time. Such a picture is kept too, because later pictures refer to it.
func (c *child) answered(p picture) time.Duration {
	c.delivered = true
	c.putIn, c.waitsSince = 0, time.Now()
	t, ok := c.times[p.milliseconds]
	if !ok {
		return c.base + time.Duration(p.milliseconds)*time.Millisecond
	}
	delete(c.times, p.milliseconds)
	return t
}

// hangs reports whether the child gets pictures but no longer gives any.
func (c *child) hangs(interval time.Duration) bool {
	limit := max(time.Second, 3*interval)
	if !c.delivered {
		limit = 5*time.Second + 3*interval // it must decode the whole GOP first
	}
	return c.putIn >= 2 && time.Since(c.waitsSince) > limit && time.Since(c.fedAt) < max(inputPause, 3*interval)
}

// feed writes pictures to the process until the process ends.
func (c *child) feed(process *ffmpeg.Process, stdin io.Writer, backlog []feedPicture) {
	w, err := flv.NewWriter(stdin, true, false)
	if err != nil {
		return // the process has ended, which read reports
	}
	if w.WriteVideoConfig(0, c.format.SPS, c.format.PPS) != nil {
		return
	}
	for _, p := range backlog {
		if w.WriteVideo(p.dts, p.pts, p.idr, p.nalus) != nil {
			return
		}
	}
	for {
		select {
		case p := <-c.input:
			if w.WriteVideo(p.dts, p.pts, p.idr, p.nalus) != nil {
				return
			}
		case <-process.Quit:
			return
		}
	}
}

// read passes on the pictures that the process gives, until the process ends or stop is called.
func (c *child) read(process *ffmpeg.Process, stdout io.Reader) error {
	defer close(c.pictures)
	r := flv.NewReader(stdout, 0)
	var format *stream.Format
	lengthSize := 4
	for {
		tag, err := r.Next()
		if err != nil {
			return err
		}
		if tag.Type != flv.VideoTag {
			continue
		}
		v, err := flv.ParseVideo(tag.Body)
		if err != nil {
			return err
		}
		switch v.Kind {
		case flv.SequenceHeader:
			config, err := flv.ParseAVCConfig(v.Data)
			if err != nil {
				return err
			}
			if format, err = childFormat(config, c.format); err != nil {
				return err
			}
			lengthSize = config.LengthSize
		case flv.CodedFrames:
			nalus, err := flv.SplitAVCC(v.Data, lengthSize)
			if err != nil {
				return err
			}
			p := picture{format: format, milliseconds: int64(tag.Timestamp) + v.CompositionTime.Milliseconds()}
			if p.nalus, p.idr = slicesAndSEI(nalus); len(p.nalus) == 0 || format == nil {
				continue
			}
			select {
			case c.pictures <- p:
			case <-process.Quit:
				return io.EOF
			}
		}
	}
}

// childFormat returns the format of ffmpeg's output for pictures of format from. The
// sample aspect does not change.
func childFormat(c flv.AVCConfig, from *stream.Format) (*stream.Format, error) {
	var sps h264.SPS
	if err := sps.Unmarshal(c.SPS[0]); err != nil {
		return nil, fmt.Errorf("SPS of ffmpeg: %w", err)
	}
	return &stream.Format{
		Codec: stream.H264, SPS: c.SPS[0], PPS: c.PPS[0],
		Width: sps.Width(), Height: sps.Height(), SampleAspect: from.SampleAspect,
	}, nil
}

func slicesAndSEI(nalus [][]byte) (kept [][]byte, idr bool) {
	for _, nalu := range nalus {
		switch h264.NALUType(nalu[0] & 0x1f) {
		case h264.NALUTypeIDR:
			idr = true
		case h264.NALUTypeNonIDR, h264.NALUTypeSEI:
		default:
			continue
		}
		kept = append(kept, nalu)
	}
	return kept, idr
}
