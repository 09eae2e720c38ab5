package mediatest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errNoFFmpeg tells what to install, in one line.
var errNoFFmpeg = errors.New("ffmpeg is needed on the PATH: install it, e.g. apt-get install ffmpeg")

// A Programme is a test programme that can be measured. Every picture has a TimeCode. With the
// first picture of each second a square in the middle turns white, and a beep of BeepLength begins.
// A soft tone lies under the beeps, so that a gap differs from the rest between two beeps.
//
// The zero value is 8 s of 640x360 at 30 pictures a second in High profile, and AAC at 48 kHz. The
// GOP is 2 s without B-frames. 8 s and 40 s are whole numbers of AAC frames, so such a programme
// loops without a seam. 40 s suit a GOP of 10 s.
type Programme struct {
	// Leg is the programme's identity, 0 to 3. It shows in the time code, as LegColor,
	// and as the pitch of the soft tone.
	Leg int
	// Duration is a whole number of seconds; default 8 s.
	Duration time.Duration
	// Width and Height are in pixels and even; default 640x360.
	Width, Height int
	// FPS is the number of pictures a second, which is whole; default 30.
	FPS int
	// GOP is the time between IDRs; default 2 s. GOPPhase is when the second GOP
	// begins; default GOP.
	GOP, GOPPhase time.Duration
	// BitrateBPS is the bit rate of the video; noise in the picture fills it. Default
	// 0: as little as the picture needs.
	BitrateBPS int
	// BFrames selects x264's defaults (medium, three B-frames, b-pyramid) instead of
	// veryfast and zerolatency.
	BFrames bool
	// IntraRefresh refreshes the picture column by column, once a GOP. Only the first
	// picture is an IDR.
	IntraRefresh bool
	// PixelFormat is ffmpeg's name of the pixel format; default yuv420p.
	PixelFormat string
	// Profile is x264's name of the H.264 profile; default: the profile that the other
	// fields need, High.
	Profile string
	// NoVideo and NoAudio leave a track out.
	NoVideo, NoAudio bool
	// SampleRate is in Hz; default 48000.
	SampleRate int
	// Channels is the number of sound channels, which are all alike; default 2.
	Channels int
	// Container is the file's format and name extension; default "flv". Only "flv" has a Tape.
	Container string
}

// BeepLength is the length of a programme's beeps and flashes.
const BeepLength = 100 * time.Millisecond

// Levels of a programme's sound, relative to full scale, and the pitch of its beeps.
const (
	beepLevel  = 0.6
	toneLevel  = 0.05
	beepHz     = 1000
	beepEdge   = 0.3 // the level at which a beep has begun
	silentEdge = toneLevel / 4
)

// programmeVersion is part of the cache's key. Raise it when the drawing changes.
const programmeVersion = "1"

func (p Programme) withDefaults() Programme {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if p.Duration == 0 {
		p.Duration = 8 * time.Second
	}
	if p.GOP == 0 {
		p.GOP = 2 * time.Second
	}
	orInt(&p.Width, 640)
	orInt(&p.Height, 360)
	orInt(&p.FPS, 30)
	orInt(&p.SampleRate, 48000)
	orInt(&p.Channels, 2)
	if p.Container == "" {
		p.Container = "flv"
	}
	return p
}

// Frames returns the programme's number of pictures.
func (p Programme) Frames() int {
	p = p.withDefaults()
	return int(p.Duration/time.Second) * p.FPS
}

// File returns the path of a file with the programme. The file is made once, and kept
// in the system's folder for temporary files.
func (p Programme) File(ctx context.Context) (string, error) {
	p = p.withDefaults()
	ffmpeg, err := ffmpegPath()
	if err != nil {
		return "", errNoFFmpeg
	}
	args := p.args()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%+v\x00%s", ffmpegVersion(), programmeVersion, p, strings.Join(args, "\x00")))
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("streampair-mediatest-%d", os.Getuid()))
	path := filepath.Join(folder, "programme-"+hex.EncodeToString(sum[:10])+"."+p.Container)

	makeFile.Lock()
	defer makeFile.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for test media: %w", err)
	}
	tmp, err := os.CreateTemp(folder, "making-*."+p.Container)
	if err != nil {
		return "", fmt.Errorf("make test media: %w", err)
	}
	_ = tmp.Close()
	defer os.Remove(tmp.Name())

	cmd := exec.CommandContext(ctx, ffmpeg, append(args, "-y", tmp.Name())...)
	var log tail
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("make test media: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start ffmpeg: %w", err)
	}
	drawErr := p.drawAll(stdin) // fails only if ffmpeg does, whose error is better
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("ffmpeg %s: %w\n%s", strings.Join(args, " "), err, log.String())
	}
	if drawErr != nil {
		return "", fmt.Errorf("draw test media: %w", drawErr)
	}
	return path, os.Rename(tmp.Name(), path)
}

// args returns ffmpeg's arguments without the output file. Pictures come from ffmpeg's
// standard input.
func (p Programme) args() []string {
	args := []string{"-hide_banner", "-loglevel", "error"}
	input := 0
	var maps []string
	if !p.NoVideo {
		args = append(args, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", fmt.Sprintf("%dx%d", p.Width, p.Height),
			"-r", strconv.Itoa(p.FPS), "-i", "pipe:0")
		maps = append(maps, "-map", fmt.Sprintf("%d:v", input))
		input++
	}
	if !p.NoAudio {
		sound := fmt.Sprintf("if(lt(mod(t,1),%g),%g*sin(2*PI*%d*mod(t,1)),%g*sin(2*PI*%d*t))",
			BeepLength.Seconds(), beepLevel, beepHz, toneLevel, 300+100*p.Leg)
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc=exprs='%s':s=%d:d=%g", strings.Join(slices.Repeat([]string{sound}, p.Channels), "|"), p.SampleRate, p.Duration.Seconds()))
		maps = append(maps, "-map", fmt.Sprintf("%d:a", input))
	}
	args = append(args, maps...)
	if !p.NoVideo {
		gop := max(1, int(p.GOP.Seconds()*float64(p.FPS)+0.5))
		phase := int(p.GOPPhase.Seconds()*float64(p.FPS)+0.5) % gop
		args = append(args, "-c:v", "libx264", "-sc_threshold", "0")
		if p.IntraRefresh {
			args = append(args, "-g", strconv.Itoa(gop), "-x264-params", "intra-refresh=1")
		} else {
			args = append(args, "-g", "100000", "-force_key_frames", fmt.Sprintf("expr:eq(n,0)+eq(mod(n,%d),%d)", gop, phase))
		}
		if p.PixelFormat != "" {
			args = append(args, "-pix_fmt", p.PixelFormat)
		}
		if p.BFrames {
			args = append(args, "-preset", "medium")
		} else {
			args = append(args, "-preset", "veryfast", "-tune", "zerolatency", "-bf", "0")
		}
		if p.Profile != "" {
			args = append(args, "-profile:v", p.Profile)
		}
		if p.BitrateBPS > 0 {
			rate := strconv.Itoa(p.BitrateBPS)
			args = append(args, "-b:v", rate, "-maxrate", rate, "-bufsize", rate)
		}
	}
	if !p.NoAudio {
		args = append(args, "-c:a", "aac", "-b:a", fmt.Sprintf("%dk", 48*p.Channels))
	}
	if p.Container == "flv" {
		args = append(args, "-flvflags", "no_duration_filesize")
	}
	return append(args, "-f", p.Container)
}

// drawAll writes all pictures as raw video.
func (p Programme) drawAll(w io.Writer) error {
	if p.NoVideo {
		return nil
	}
	out := bufio.NewWriterSize(w, 1<<20)
	picture := make([]byte, p.Width*p.Height*3/2)
	for n := range p.Frames() {
		p.draw(picture, n)
		if _, err := out.Write(picture); err != nil {
			return err
		}
	}
	return out.Flush()
}

// draw draws picture n. From the top it has the time code, something that moves, the
// square that flashes, and the leg's colour.
func (p Programme) draw(picture []byte, n int) {
	w, h := p.Width, p.Height
	luma, chroma := picture[:w*h], picture[w*h:]
	leg := LegColor(p.Leg)
	fillRect(luma, w, 0, 0, w, h, leg.Y)
	cw, ch := w/2, h/2
	for i, c := range [2]byte{leg.Cb, leg.Cr} {
		plane := chroma[i*cw*ch:]
		fillRect(plane, cw, 0, 0, cw, ch/2, 128)
		fillRect(plane, cw, 0, ch/2, cw, ch, c)
		fillRect(plane, cw, cw*3/8, ch/2, cw*5/8, ch*5/6, 128)
	}
	TimeCode{p.Leg, n}.draw(luma, w, h)
	if p.BitrateBPS > 0 {
		noise(luma, w, h/codeRows, h/2, uint64(n))
	} else {
		x := n * 4 % (w * 15 / 16)
		fillRect(luma, w, x, h/codeRows, x+w/16, h/2, 180)
	}
	flash := byte(lumaBlack)
	if time.Duration(n%p.FPS)*time.Second/time.Duration(p.FPS) < BeepLength {
		flash = lumaWhite
	}
	fillRect(luma, w, w*3/8, h/2, w*5/8, h*5/6, flash)
}

// noise fills rows y0 to y1 with unpredictable blocks of 4x4 pixels.
func noise(luma []byte, w, y0, y1 int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	row := make([]byte, w)
	for y := y0; y < y1; y++ {
		if (y-y0)%4 == 0 {
			for x := 0; x < w; x += 4 {
				v := byte(64 + random.Uint32()%128)
				for i := x; i < min(x+4, w); i++ {
					row[i] = v
				}
			}
		}
		copy(luma[y*w:], row)
	}
}
