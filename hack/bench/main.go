// Command bench measures the built media server from outside, as its users see it,
// and prints tables. The server is a process of its own. ffmpeg publishes prepared
// files without encoding them. Chromium and pion viewers watch. `make bench` runs
// this command. The machine should be otherwise idle. Everything stays on loopback.
//
// The operator's part runs the built operator with a
// real API server and a stand-in for its media pods.
//
// The parts with HLS, fan-out, joining and ingest can measure MediaMTX (github.com/bluenviron/mediamtx) too,
// in turns with the media server. Fan-out and ingest are measured only if -only names them.
//
//	bench [-server FILE] [-operator FILE] [-mediamtx FILE] [-runs N] [-viewers N,N,…] [-hls-viewers N,N]
//	      [-hls-sound=false] [-cores N] [-seconds N] [-kbps N] [-publishers N] [-pairs N,N,…] [-kill=false] [-only PART]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/streampair/streampair/hack/interrupt"
)

// options are the values of the command line.
type options struct {
	server   string
	operator string
	mediaMTX string
	// other is a server that runs already, for fan-out; pid 0: there is none. serverFlags are more
	// flags of the media server there.
	other struct {
		pid           int
		publish, play string // the WHIP and the WHEP URL
	}
	serverFlags string
	runs        int
	viewers     []int
	// hlsViewers are the viewers of HLS at the high bit rate, and at the low one.
	hlsViewers []int
	hlsSound   bool
	// cores are those of the server in the parts fanout, fanout-sound, join and ingest. window is how
	// long each run of fan-out and ingest is measured. kbps is the bit rate of the video.
	cores      int
	window     time.Duration
	kbps       int
	publishers int
	pairs      []int
	kill       bool
	only       string
}

func main() {
	var o options
	var viewers, hlsViewers, pairs, watch, watchHLS, waitHLS, watchLight, publish, publishRTMP, video, sound string
	var count, seconds, every, leg int
	flag.StringVar(&o.server, "server", "bin/streampair-mediaserver", "the media server's `FILE`")
	flag.IntVar(&o.runs, "runs", 20, "`N` faults of each kind, joins, or measurements of fan-out")
	flag.StringVar(&viewers, "viewers", "50,100,200", "measure the cost of `N,N,…` viewers")
	flag.StringVar(&hlsViewers, "hls-viewers", "500,2000", "measure the cost of HLS with `N,N` viewers of the two streams")
	flag.BoolVar(&o.hlsSound, "hls-sound", true, "measure the cost of HLS with sound, which MediaMTX has in a playlist of its own")
	flag.StringVar(&o.operator, "operator", "bin/streampair-operator", "the operator's `FILE`")
	flag.StringVar(&pairs, "pairs", "500,2000", "measure the operator with `N,N,…` pairs")
	flag.BoolVar(&o.kill, "kill", true, "kill the leading operator, too, and wait for 2 minutes until its lease ends")
	flag.StringVar(&o.only, "only", "", "measure one `PART`: kill, long-gop, silent, start, load, hls, hls-kill, hls-load, hls-load-low, hls-waiting, fanout, fanout-sound, fanout-kill, join, ingest, operator")
	flag.StringVar(&o.mediaMTX, "mediamtx", "", "measure HLS, fan-out, joining and ingest of MediaMTX, too: its `FILE`")
	flag.IntVar(&o.other.pid, "pid", 0, "fan-out: measure the running server with that `PID`, too, whose cores are yours to choose; with -publish-url and -play-url")
	flag.StringVar(&o.other.publish, "publish-url", "", "with -pid: the WHIP `URL`")
	flag.StringVar(&o.other.play, "play-url", "", "with -pid: the WHEP `URL`")
	flag.StringVar(&o.serverFlags, "server-flags", "", "fan-out: more `FLAGS` of the media server")
	flag.IntVar(&o.cores, "cores", 1, "fan-out, joining and ingest: `N` cores for the server, and as many others for its load")
	flag.IntVar(&seconds, "seconds", 15, "fan-out and ingest: measure for `N` seconds")
	flag.IntVar(&o.kbps, "kbps", 2500, "fan-out, joining and ingest: `N` kbit/s of video")
	flag.IntVar(&o.publishers, "publishers", 50, "ingest: `N` publishers")
	flag.StringVar(&watch, "watch", "", "be the viewers of a WHEP `URL` (started by bench itself)")
	flag.StringVar(&watchHLS, "watch-hls", "", "be the viewers of an HLS playlist's `URL` (started by bench itself)")
	flag.StringVar(&waitHLS, "wait-hls", "", "be requests that wait for an HLS playlist's `URL` (started by bench itself)")
	flag.StringVar(&watchLight, "watch-light", "", "be viewers of a WHEP `URL` that cost little (started by bench itself)")
	flag.IntVar(&every, "sample-every", sampleEvery, "with -watch-light: one viewer of `N` decrypts and measures")
	flag.StringVar(&publish, "publish", "", "publish to a WHIP `URL` (started by bench itself)")
	flag.StringVar(&publishRTMP, "publish-rtmp", "", "publish many streams to RTMP `URL`s that begin so (started by bench itself)")
	flag.StringVar(&video, "video", "", "with -publish: the `FILE` of H.264; with -publish-rtmp: the FLV file")
	flag.IntVar(&leg, "leg", 0, "with -publish: the leg, 0 or 1")
	flag.StringVar(&sound, "sound", "", "with -publish: the `FILE` of Opus, or none")
	flag.IntVar(&count, "count", 0, "with -watch, -watch-light, -watch-hls and -wait-hls: `N` viewers; with -publish-rtmp: `N` streams")
	flag.Parse()

	ctx, stop := interrupt.Context(os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case watch != "":
		exitOn(beViewers(ctx, watch, count))
		return
	case watchLight != "":
		exitOn(beLightViewers(ctx, watchLight, count, every))
		return
	case publish != "":
		exitOn(bePublisher(ctx, publish, video, sound, leg))
		return
	case publishRTMP != "":
		exitOn(bePublishers(ctx, publishRTMP, video, count))
		return
	case watchHLS != "":
		exitOn(beHLSViewers(ctx, watchHLS, count))
		return
	case waitHLS != "":
		exitOn(beWaiting(ctx, waitHLS, count))
		return
	}
	var err error
	o.viewers, err = numbers("-viewers", viewers, 3000)
	exitOn(err)
	o.hlsViewers, err = numbers("-hls-viewers", hlsViewers, 5000)
	exitOn(err)
	o.pairs, err = numbers("-pairs", pairs, 5000)
	exitOn(err)
	o.window = time.Duration(seconds) * time.Second
	if o.cores < 1 || seconds < 1 || o.kbps < 100 || o.runs < 1 || o.publishers < 1 {
		exitOn(errors.New("-cores, -seconds, -publishers and -runs take a number from 1, and -kbps from 100"))
	}
	if (o.other.pid != 0) != (o.other.publish != "" && o.other.play != "") {
		exitOn(errors.New("-pid, -publish-url and -play-url belong together"))
	}
	exitOn(run(ctx, o))
}

// numbers parses a flag's value, which is a list of numbers.
func numbers(flag, text string, highest int) ([]int, error) {
	var list []int
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > highest {
			return nil, fmt.Errorf("%s takes numbers from 1 to %d with commas, not %q", flag, highest, text)
		}
		list = append(list, n)
	}
	return list, nil
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	t := newScope(ctx)
	defer t.CleanUp()
	return t.try(func() {
		begun := time.Now()
		var tables []table
		for _, part := range []struct {
			name    string
			measure func(*scope, options) []table
		}{
			{"kill", measureKill}, {"long-gop", measureLongGOP}, {"silent", measureSilence}, {"start", measureStart}, {"load", measureLoad},
			{"hls", measureHLS}, {"hls-kill", measureHLSKill}, {"hls-load", measureHLSLoad}, {"hls-load-low", measureLowHLSLoad}, {"hls-waiting", measureHLSWaiting},
			{"join", measureJoin}, {"ingest", measureIngest}, {"operator", measureOperator}, {"fanout", measureFanout}, {"fanout-sound", measureFanoutSound}, {"fanout-kill", measureFanoutKill},
		} {
			if o.only == part.name || o.only == "" && !strings.HasPrefix(part.name, "fanout") && part.name != "ingest" {
				tables = append(tables, part.measure(t, o)...)
			}
		}
		fmt.Printf("\nMeasured on %s: %s, %d cores, %s, %v in all.\n",
			begun.Format("2006-01-02"), processor(), runtime.NumCPU(), runtime.Version(), time.Since(begun).Round(time.Second))
		for _, one := range tables {
			fmt.Printf("\n%s", one)
		}
	})
}

// processor returns the name of the machine's processor.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
