package measure_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// gop is the GOP of all programmes.
	gop = 2 * time.Second
	// length is that of all programmes.
	length = 24 * time.Second
)

// A programme is made by sources and filters of ffmpeg.
type programme struct {
	name string
	// video and audio are graphs. The size is s=640x360, and the length d=24.
	video, audio string
	fps          int // default 25
	// seen says what the judges see: the programmes are to have all that matters.
	seen verdict
}

// A verdict says whether there is an interval of 2 s or more.
type verdict struct{ Black, Frozen, Silent bool }

// Parts of graphs.
const (
	moving = "testsrc2=s=640x360:r=25:d=24"
	bars   = "smptebars=s=640x360:r=25:d=24"
	// A picture with detail everywhere.
	photograph = "mandelbrot=s=640x360:r=25:maxiter=300,loop=loop=-1:size=1,trim=duration=24"
	blank      = "color=black:s=640x360:r=25:d=24"
	voice      = "anoisesrc=d=24:c=pink:r=48000:a=0.4:seed=1,volume='0.3+0.7*abs(sin(2.3*t))*abs(sin(7*t))':eval=frame,aformat=channel_layouts=stereo"
	nothing    = "anullsrc=r=48000:cl=stereo:d=24"
)

// programmes are what a programme may look and sound like that is not at fault, or is.
var programmes = []programme{
	{name: "moving picture, voice", video: moving, audio: voice},
	{name: "fade to black and back, sound fades too",
		video: moving + ",fade=out:st=6:d=2:enable='lt(t,11)',fade=in:st=14:d=2:enable='gte(t,11)'",
		audio: voice + ",volume='if(lt(t,11),max(0,min(1,(8-t)/2)),max(0,min(1,(t-14)/2)))':eval=frame",
		seen:  verdict{Black: true, Frozen: true, Silent: true}},
	{name: "short blacks and pauses between parts",
		video: moving + ",drawbox=c=black:t=fill:enable='between(t,5,5.4)+between(t,11.9,12.7)+between(t,17,20)'",
		audio: voice + ",volume='1-between(t,5,5.4)-between(t,11.9,13)-between(t,17,20)':eval=frame",
		seen:  verdict{Black: true, Frozen: true, Silent: true}},
	{name: "slides of 6 s, speech with pauses",
		video: "testsrc2=s=640x360:r=1/6:d=24,fps=25",
		audio: voice + ",volume='lt(mod(t,8),5)':eval=frame",
		seen:  verdict{Frozen: true, Silent: true}},
	{name: "applause", video: moving + ",hue=h=20*t",
		audio: "anoisesrc=d=24:c=white:r=48000:a=0.5:seed=3,volume='0.1+0.9*pow(abs(sin(11*t)*sin(1.3*t)),2)':eval=frame,aformat=channel_layouts=stereo"},
	{name: "hum at -55 dBFS", video: moving,
		audio: "aevalsrc=exprs='0.00178*sin(2*PI*50*t)|0.00178*sin(2*PI*50*t)':s=48000:d=24"},
	{name: "noise at -65 dBFS between words", video: moving,
		audio: "aevalsrc=exprs='0.00056*(2*random(0)-1)+0.3*sin(2*PI*300*t)*lt(mod(t,9),4)|0.00056*(2*random(1)-1)+0.3*sin(2*PI*300*t)*lt(mod(t,9),4)':s=48000:d=24",
		seen:  verdict{Silent: true}},
	{name: "one channel dead, then both", video: moving,
		audio: "aevalsrc=exprs='0.3*sin(2*PI*440*t)*lt(t,16)|0':s=48000:d=24",
		seen:  verdict{Silent: true}},
	{name: "noise on black", video: blank + ",noise=alls=12:allf=t", audio: voice,
		seen: verdict{Black: true}},
	{name: "a small logo on black, then a large one",
		video: blank + ",drawbox=x=580:y=20:w=40:h=30:c=white:t=fill,drawbox=x=20:y=20:w=200:h=120:c=white:t=fill:enable='gte(t,13)'", audio: voice,
		seen: verdict{Black: true, Frozen: true}},
	{name: "a clock over a frozen picture",
		video: bars + "[b];testsrc=s=320x240:r=25:d=24[c];[b][c]overlay=x=160:y=60", audio: voice},
	{name: "a blinking dot over a frozen picture",
		video: bars + ",drawbox=x=600:y=20:w=6:h=6:c=red:t=fill:enable='lt(mod(t,2),1)'", audio: voice,
		seen: verdict{Frozen: true}},
	{name: "1 fps", video: "testsrc2=s=640x360:r=1:d=24", audio: voice, fps: 1},
	{name: "1 fps, and still from 10 s on", video: "testsrc2=s=640x360:r=1:d=10,tpad=stop_mode=clone:stop_duration=14", audio: voice, fps: 1,
		seen: verdict{Frozen: true}},
	{name: "bars and tone", video: bars, audio: "sine=f=1000:r=48000:d=24,volume=-2dB,aformat=channel_layouts=stereo",
		seen: verdict{Frozen: true}},
	{name: "frozen for 9 s, then it goes on", video: moving + ",loop=loop=225:size=1:start=175,trim=duration=24", audio: voice,
		seen: verdict{Frozen: true}},
	{name: "blue without sound: the camera is lost", video: "color=blue:s=640x360:r=25:d=24", audio: nothing,
		seen: verdict{Frozen: true, Silent: true}},
	{name: "a still picture with a camera's noise", video: bars + ",noise=alls=10:allf=t", audio: voice},
	{name: "a still picture with weak noise", video: bars + ",noise=alls=3:allf=t", audio: voice},
	{name: "slides of a photograph", video: "mandelbrot=s=640x360:r=1/6:maxiter=300:end_scale=0.003:end_pts=4,fps=25", audio: voice,
		seen: verdict{Frozen: true}},
	{name: "a photograph that comes slowly", video: photograph + ",fade=in:d=10", audio: voice,
		seen: verdict{Frozen: true}},
	{name: "a photograph whose codec never rests", video: photograph + ",noise=alls=25", audio: voice},
	{name: "a small clock over a frozen picture",
		video: bars + "[b];testsrc=s=320x240:r=25:d=24,crop=80:60:120:90[c];[b][c]overlay=x=20:y=20", audio: voice,
		seen: verdict{Frozen: true}},
	{name: "a ticker below a frozen picture",
		video: bars + "[b];" + moving + ",crop=640:30:0:100[c];[b][c]overlay=x=0:y=320", audio: voice},
	{name: "a dark scene that is not black", video: moving + ",lutyuv=y='16+(val-16)*0.3'", audio: voice},
}

// encode makes a programme, encodes it as an ordinary encoder does, and returns the file.
func (p programme) encode(t *testing.T) string {
	t.Helper()
	ffmpeg := mediatest.RequireFFmpeg(t)
	file := filepath.Join(t.TempDir(), "programme.flv")
	rate := p.fps
	if rate == 0 {
		rate = 25
	}
	args := []string{
		"-v", "error", "-nostdin", "-y", "-filter_complex_threads", "1",
		"-filter_complex", p.video + ",format=yuv420p[v];" + p.audio + "[a]", "-map", "[v]", "-map", "[a]", "-t", fmt.Sprint(length.Seconds()),
		"-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k",
		"-r", fmt.Sprint(rate), "-g", fmt.Sprint(rate * int(gop/time.Second)), "-bf", "0",
		"-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", "-flvflags", "no_duration_filesize", file,
	}
	if out, err := exec.Command(ffmpeg, args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return file
}
