package mediatest

import (
	"bufio"
	"context"
	"fmt"
	"image/color"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// An Image is a decoded picture, YUV 4:2:0 of limited range.
type Image struct {
	Width, Height int
	// Y has Width x Height bytes, Cb and Cr a quarter of that each.
	Y, Cb, Cr []byte
}

// TimeCode returns the picture's time code.
func (m Image) TimeCode() (TimeCode, bool) { return ReadTimeCode(m.Y, m.Width, m.Height) }

// Flash reports whether the square in the middle is white.
func (m Image) Flash() bool {
	return meanRect(m.Y, m.Width, m.Width*7/16, m.Height*9/16, m.Width*9/16, m.Height*12/16) > (lumaBlack+lumaWhite)/2
}

// Color returns the mean colour of the lower edge: see LegColor.
func (m Image) Color() color.YCbCr {
	w, h := m.Width/2, m.Height/2
	mean := func(plane []byte) byte { return byte(meanRect(plane, w, w/8, h*14/16, w*7/8, h*15/16)) }
	y := meanRect(m.Y, m.Width, m.Width/8, m.Height*14/16, m.Width*7/8, m.Height*15/16)
	return color.YCbCr{Y: byte(y), Cb: mean(m.Cb), Cr: mean(m.Cr)}
}

// A Decoder decodes H.264 without B-frames, as WebRTC carries it, with one ffmpeg
// child. Write takes access units, and Images delivers pictures.
type Decoder struct {
	width, height int
	cmd           *exec.Cmd
	stdin         io.WriteCloser
	images        chan DecodedImage
	positions     chan int64
	log           tail
	done          chan struct{}
	err           error // set before done is closed

	mu      sync.Mutex // guards starts and written
	starts  []int64    // position in ffmpeg's input at which each access unit begins
	written int64
}

// A DecodedImage is a picture, with the number of its access unit.
type DecodedImage struct {
	// Unit counts the access units written, from 0.
	Unit int
	Image
}

// NewDecoder starts ffmpeg. Pictures are scaled to width x height, whatever their size. A picture
// comes out one or two pictures after it went in, and the last ones after CloseWrite.
func NewDecoder(ctx context.Context, width, height int) (*Decoder, error) {
	ffmpeg, err := ffmpegPath()
	if err != nil {
		return nil, errNoFFmpeg
	}
	d := &Decoder{
		width: width, height: height, images: make(chan DecodedImage, 64),
		positions: make(chan int64, 1024), done: make(chan struct{}),
	}
	// Raw H.264 has no times. showinfo logs the position in the input at which each picture began.
	d.cmd = exec.CommandContext(ctx, ffmpeg, "-hide_banner", "-loglevel", "info", "-nostats",
		"-flags", "low_delay", "-threads", "1", "-probesize", "20000", "-analyzeduration", "1", "-r", "25", "-f", "h264", "-i", "pipe:0",
		"-vf", fmt.Sprintf("showinfo=checksum=0,scale=%d:%d", width, height), "-fps_mode", "passthrough",
		"-pix_fmt", "yuv420p", "-f", "rawvideo", "-flush_packets", "1", "pipe:1")
	var stdout, stderr io.ReadCloser
	if d.stdin, err = d.cmd.StdinPipe(); err == nil {
		if stdout, err = d.cmd.StdoutPipe(); err == nil {
			stderr, err = d.cmd.StderrPipe()
		}
	}
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start ffmpeg: %w", err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { d.readLog(stderr) })
	readers.Go(func() { d.readImages(ctx, stdout) })
	go func() {
		readers.Wait()
		if err := d.cmd.Wait(); err != nil {
			d.err = fmt.Errorf("ffmpeg: %w\n%s", err, d.log.String())
		}
		close(d.done)
	}()
	return d, nil
}

// Write puts in one access unit in Annex B format. It may block while Images is not read.
func (d *Decoder) Write(annexB []byte) error {
	d.mu.Lock()
	d.starts = append(d.starts, d.written)
	d.written += int64(len(annexB))
	d.mu.Unlock()
	if _, err := d.stdin.Write(annexB); err != nil {
		return fmt.Errorf("feed ffmpeg: %w", err)
	}
	return nil
}

// CloseWrite ends the input.
func (d *Decoder) CloseWrite() { _ = d.stdin.Close() }

// Images delivers the pictures in decoding order. The channel is closed after the last picture.
func (d *Decoder) Images() <-chan DecodedImage { return d.images }

// Wait waits until ffmpeg has ended. It returns the reason, or nil if ffmpeg ended as asked.
func (d *Decoder) Wait() error {
	<-d.done
	return d.err
}

// readLog reads the position of each picture from ffmpeg's log.
func (d *Decoder) readLog(r io.Reader) {
	defer close(d.positions)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		_, after, ok := strings.Cut(line, " pos:")
		if !ok || !strings.Contains(line, "showinfo") {
			if !strings.Contains(line, "showinfo") {
				_, _ = d.log.Write([]byte(line + "\n"))
			}
			continue
		}
		field, _, _ := strings.Cut(strings.TrimSpace(after), " ")
		pos, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			pos = -1
		}
		d.positions <- pos
	}
}

func (d *Decoder) readImages(ctx context.Context, r io.Reader) {
	defer close(d.images)
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		image, err := readImage(in, d.width, d.height)
		if err != nil {
			// Reading on lets the log reach its end.
			for range d.positions {
			}
			return
		}
		pos, ok := <-d.positions
		if !ok {
			return
		}
		m := DecodedImage{d.unitAt(pos), image}
		select {
		case d.images <- m:
		case <-ctx.Done():
			for range d.positions {
			}
			_, _ = io.Copy(io.Discard, in)
			return
		}
	}
}

// unitAt returns the number of the access unit at a position in the input.
func (d *Decoder) unitAt(pos int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, found := slices.BinarySearch(d.starts, pos)
	if !found {
		i-- // inside the unit before
	}
	return max(i, 0)
}

// Decode decodes access units in Annex B format. It calls each for every picture.
func Decode(ctx context.Context, width, height int, units [][]byte, each func(DecodedImage)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d, err := NewDecoder(ctx, width, height)
	if err != nil {
		return err
	}
	var writer sync.WaitGroup
	var writeErr error
	writer.Go(func() {
		defer d.CloseWrite()
		for _, unit := range units {
			if writeErr = d.Write(unit); writeErr != nil {
				return
			}
		}
	})
	for m := range d.Images() {
		each(m)
	}
	writer.Wait()
	if err := d.Wait(); err != nil {
		return err
	}
	return writeErr
}

// DecodeFile decodes a whole media file, with B-frames. It calls each for every picture in
// presentation order. A viewer's pictures are compared with these.
func DecodeFile(ctx context.Context, path string, width, height int, each func(Image)) error {
	ffmpeg, err := ffmpegPath()
	if err != nil {
		return errNoFFmpeg
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-i", path, "-map", "0:v",
		"-vf", fmt.Sprintf("scale=%d:%d", width, height), "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1")
	var log tail
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	for in := bufio.NewReaderSize(stdout, 1<<20); ; {
		m, err := readImage(in, width, height)
		if err != nil {
			break // ffmpeg's own error says why
		}
		each(m)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ffmpeg: %w\n%s", err, log.String())
	}
	return nil
}

func readImage(r io.Reader, width, height int) (Image, error) {
	n, cn := width*height, (width/2)*(height/2)
	b := make([]byte, n+2*cn)
	if _, err := io.ReadFull(r, b); err != nil {
		return Image{}, err
	}
	return Image{width, height, b[:n], b[n : n+cn], b[n+cn:]}, nil
}

// PSNR returns the peak signal-to-noise ratio of the luma of two pictures of equal
// size, in decibels. It is 100 for equal pictures.
func PSNR(a, b Image) float64 { return psnr(a.Y, b.Y) }
