package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// ingestGOP is the GOP of the publishers of RTMP.
const ingestGOP = 2 * time.Second

// An ingestServer is a server whose ingest of RTMP is measured.
type ingestServer struct {
	*process
	name   string
	prefix string // the URL of each stream without its number
}

// An ingestRun is what publishers cost a server that has just been started.
type ingestRun struct {
	cpu    time.Duration // for a publisher-second
	memory int           // for a publisher, in bytes
	idle   float64       // share of the time of the load's cores that the load left
}

// ingestServers returns how to start each server that is measured.
func ingestServers(o options) []func(*scope) ingestServer {
	servers := []func(*scope) ingestServer{func(t *scope) ingestServer {
		s := startServer(t, o.server)
		return ingestServer{s.process, "Streampair", s.rtmp("publisher-")}
	}}
	if o.mediaMTX != "" {
		servers = append(servers, func(t *scope) ingestServer {
			address := freeAddress(t)
			settings := strings.NewReplacer("RTMP", address).Replace(mediaMTXIngestSettings)
			p := runMediaMTX(t, o.mediaMTX, settings)
			t.until("MediaMTX answers", listens(address))
			return ingestServer{p, "MediaMTX", "rtmp://" + address + "/live/publisher-"}
		})
	}
	return servers
}

// mediaMTXIngestSettings is the default configuration but for the addresses and what is off.
const mediaMTXIngestSettings = `
logLevel: error
rtsp: no
webrtc: no
hls: no
srt: no
rtmpAddress: RTMP
paths: {all_others: {}}
`

// measureIngest measures what publishers of RTMP cost the server, and the same of MediaMTX. The
// servers take turns.
func measureIngest(t *scope, o options) []table {
	file := prepare(t, mediatest.Programme{Width: 1920, Height: 1080, GOP: ingestGOP, BitrateBPS: o.kbps * 1000})
	out := table{
		title: fmt.Sprintf("Ingest by RTMP, 1080p30 at %d kbit/s and AAC, GOP %v, %d publishers, %d core(s) for the server, medians of %d runs of %v",
			o.kbps, ingestGOP, o.publishers, o.cores, o.runs, o.window),
		header: "figure | CPU a publisher-second | memory a publisher | load's cores idle",
	}
	servers := ingestServers(o)
	runs := make([][]ingestRun, len(servers))
	names := make([]string, len(servers))
	for range o.runs {
		for i, start := range servers {
			r, name := ingestOf(t, o, start, file)
			runs[i], names[i] = append(runs[i], r), name
		}
	}
	for i, of := range runs {
		out.row(names[i],
			fmt.Sprintf("%.2f ms", medianOf(of, func(r ingestRun) time.Duration { return r.cpu }).Seconds()*1000),
			fmt.Sprintf("%.0f kB", float64(medianOf(of, func(r ingestRun) int { return r.memory }))/1000),
			fmt.Sprintf("%.0f %%", 100*medianOf(of, func(r ingestRun) float64 { return r.idle })))
	}
	return []table{out}
}

// ingestOf measures what the publishers cost a server that has just been started, and returns its name.
func ingestOf(t *scope, o options, start func(*scope) ingestServer, file string) (ingestRun, string) {
	t = t.child()
	defer t.CleanUp()
	serverCores, loadCores := o.splitCores(runtime.NumCPU())
	pause := min(settle, o.window)
	var s ingestServer
	onCores(t, serverCores, func() { s = start(t) })
	say("%s: %d publishers", s.name, o.publishers)
	t.sleep(pause)
	alone, memory := s.load(pause), s.memory()
	var publishers *crowd
	onCores(t, loadCores, func() {
		publishers = gather(t, "-publish-rtmp", s.prefix, "-video", file, "-count", strconv.Itoa(o.publishers))
	})
	t.sleep(2 * pause)
	begun, cpu, loaded := time.Now(), s.cpu(), publishers.cpu()
	t.sleep(o.window)
	publishers.ask("") // it fails when a publisher has ended
	took, n := time.Since(begun), o.publishers
	used := s.cpu() - cpu - time.Duration(alone*float64(took))
	cores := len(loadCores)
	if cores == 0 {
		cores = runtime.NumCPU()
	}
	r := ingestRun{
		cpu:    time.Duration(float64(used) / float64(n) / took.Seconds()),
		memory: (s.memory() - memory) / n,
		idle:   1 - float64(publishers.cpu()-loaded)/float64(took)/float64(cores),
	}
	publishers.leave()
	say("%.2f ms a publisher-second, %d kB a publisher, load's cores %.0f %% idle, load average %s",
		r.cpu.Seconds()*1000, r.memory/1000, 100*r.idle, loadAverage())
	return r, s.name
}

// bePublishers publishes a prepared FLV file as n streams by RTMP, whose GOPs begin at different
// times. It prints "ready" once all are accepted, answers each line, and ends with its standard input.
// It fails when a stream has ended.
func bePublishers(ctx context.Context, prefix, file string, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tape, err := mediatest.Load(file, 0)
	if err != nil {
		return err
	}
	sending, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for i := range n {
		epoch := begun.Add(ingestGOP * time.Duration(i) / time.Duration(n))
		r, err := mediatest.Replay(ctx, prefix+strconv.Itoa(i), tape, mediatest.ReplayOptions{Epoch: epoch})
		if err != nil {
			return err
		}
		sending.Go(r.Err)
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if ctx.Err() != nil {
			break
		}
		fmt.Println("publishing")
	}
	cancel()
	if err := sending.Wait(); err != nil {
		return err
	}
	return in.Err()
}
