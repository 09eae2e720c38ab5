package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A fanoutMedia is what the publisher sends.
type fanoutMedia struct{ video, sound string } // files; sound is empty for none

// A fanoutRun is what viewers cost a server that has just been started, and what they got.
type fanoutRun struct {
	name       string
	viewers    int
	cpu        time.Duration // for a viewer-second
	perPacket  time.Duration // CPU for a packet that a viewer received
	packets    float64       // a second, at each viewer
	pictures   float64       // a second, at each viewer
	memory     int           // for a viewer, in bytes
	goroutines float64       // for a viewer
	idle       float64       // share of the time of the load's cores that the load left
	lightReport
}

// measureFanout and measureFanoutSound measure what viewers of WebRTC cost the server, and how late
// they get the pictures; and the same of MediaMTX.
func measureFanout(t *scope, o options) []table {
	video, _ := fanoutFiles(t, o)
	return fanouts(t, o, "video only", fanoutMedia{video: video})
}

func measureFanoutSound(t *scope, o options) []table {
	video, sound := fanoutFiles(t, o)
	return fanouts(t, o, "with sound", fanoutMedia{video, sound})
}

// fanoutFiles prepares H.264 in Annex B, and Opus with one packet a page of Ogg.
func fanoutFiles(t *scope, o options) (video, sound string) {
	file := prepare(t, mediatest.Programme{Width: 1920, Height: 1080, GOP: fanoutGOP, BitrateBPS: o.kbps * 1000, Profile: "baseline"})
	dir := t.TempDir()
	video, sound = filepath.Join(dir, "video.h264"), filepath.Join(dir, "sound.ogg")
	out, err := exec.CommandContext(t.ctx, mediatest.RequireFFmpeg(t), "-hide_banner", "-loglevel", "error", "-i", file,
		"-map", "0:v", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", video,
		"-map", "0:a", "-c:a", "libopus", "-b:a", "64k", "-vbr", "off", "-frame_duration", "20", "-page_duration", "20000", sound).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	return video, sound
}

// fanouts measures each number of viewers in as many runs as there are to be. The servers take turns.
func fanouts(t *scope, o options, title string, media fanoutMedia) []table {
	out := table{
		title: fmt.Sprintf("Fan-out by WebRTC, 1080p30 at %d kbit/s, %s, %d core(s) for the server, medians of %d runs of %v",
			o.kbps, title, o.cores, o.runs, o.window),
		header: "figure | CPU a viewer-second | CPU a packet | packets a second | pictures a second | delay, median | 99 % | memory | goroutines | " +
			"load's cores idle | packets missing | reordered | viewers without a picture",
	}
	servers := fanoutServers(o)
	for _, n := range o.viewers {
		runs := make([][]fanoutRun, len(servers))
		for range o.runs {
			for i, start := range servers {
				runs[i] = append(runs[i], fanoutOf(t, o, start, media, n))
			}
		}
		for _, of := range runs {
			fanoutRow(&out, of)
		}
	}
	return []table{out}
}

// fanoutOf measures what n viewers cost a server that has just been started.
func fanoutOf(t *scope, o options, start func(*scope) fanoutServer, media fanoutMedia, n int) fanoutRun {
	t = t.child()
	defer t.CleanUp()
	serverCores, loadCores := o.splitCores(runtime.NumCPU())
	pause := min(settle, o.window)
	var s fanoutServer
	onCores(t, serverCores, func() { s = start(t) })
	say("%s: %d viewers", s.name, n)
	var publisher, viewers *crowd
	onCores(t, loadCores, func() { publisher = gather(t, "-publish", s.publish, "-video", media.video, "-sound", media.sound) })
	t.sleep(pause)
	alone := s.load(o.window)
	memory, goroutines := s.memory(), s.goroutineCount()

	onCores(t, loadCores, func() { viewers = gather(t, "-watch-light", s.play, "-count", strconv.Itoa(n)) })
	t.sleep(pause)
	r := fanoutRun{name: s.name, viewers: n}
	load := func() time.Duration { return viewers.cpu() + publisher.cpu() }
	viewers.ask("")
	begun, cpu, loaded := time.Now(), s.cpu(), load()
	t.sleep(o.window)
	t.must(json.Unmarshal([]byte(viewers.ask("")), &r.lightReport))
	took := time.Since(begun)
	used := s.cpu() - cpu - time.Duration(alone*float64(took))
	cores := cmp.Or(len(loadCores), runtime.NumCPU())
	r.idle = 1 - float64(load()-loaded)/float64(took)/float64(cores)

	r.cpu = time.Duration(float64(used) / float64(n) / took.Seconds())
	r.perPacket = used / time.Duration(max(1, r.Packets))
	r.packets = float64(r.Packets) / float64(n) / took.Seconds()
	r.pictures = float64(r.Frames) / float64(n) / took.Seconds()
	r.memory = (s.memory() - memory) / n
	r.goroutines = float64(s.goroutineCount()-goroutines) / float64(n)
	viewers.leave()
	publisher.leave()
	say("%.2f ms a viewer-second, %+v, load's cores %.0f %% idle, load average %s", r.cpu.Seconds()*1000, r.lightReport, 100*r.idle, loadAverage())
	return r
}

// splitCores returns the cores of the server, and as many others for the publisher and the viewers.
// Without enough others those have all cores, which nil stands for.
func (o options) splitCores(all int) (server, load []int) {
	if o.cores >= all {
		return nil, nil
	}
	for core := range o.cores {
		server = append(server, core)
		load = append(load, o.cores+core)
	}
	if 2*o.cores > all {
		load = nil
	}
	return server, load
}

// fanoutRow adds the medians of the runs of one server.
func fanoutRow(out *table, runs []fanoutRun) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	out.row(fmt.Sprintf("%s, %d viewers", runs[0].name, runs[0].viewers),
		fmt.Sprintf("%.2f ms", medianOf(runs, func(r fanoutRun) time.Duration { return r.cpu }).Seconds()*1000),
		fmt.Sprintf("%.2f µs", medianOf(runs, func(r fanoutRun) time.Duration { return r.perPacket }).Seconds()*1e6),
		fmt.Sprintf("%.0f", medianOf(runs, func(r fanoutRun) float64 { return r.packets })),
		fmt.Sprintf("%.1f", medianOf(runs, func(r fanoutRun) float64 { return r.pictures })),
		ms(medianOf(runs, func(r fanoutRun) time.Duration { return r.P50 })),
		ms(medianOf(runs, func(r fanoutRun) time.Duration { return r.P99 })),
		fmt.Sprintf("%.0f kB", float64(medianOf(runs, func(r fanoutRun) int { return r.memory }))/1000),
		fmt.Sprintf("%.1f", medianOf(runs, func(r fanoutRun) float64 { return r.goroutines })),
		fmt.Sprintf("%.0f %%", 100*medianOf(runs, func(r fanoutRun) float64 { return r.idle })),
		fmt.Sprint(medianOf(runs, func(r fanoutRun) int64 { return r.Missing })),
		fmt.Sprint(medianOf(runs, func(r fanoutRun) int64 { return r.Reordered })),
		fmt.Sprint(medianOf(runs, func(r fanoutRun) int { return r.Dark })))
}

// medianOf returns the upper median of one figure.
func medianOf[R any, F cmp.Ordered](runs []R, figure func(R) F) F {
	var all []F
	for _, r := range runs {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
