package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// hlsRounds is how often each server is measured. The servers take turns.
const hlsRounds = 2

// An hlsCase is a stream that many watch.
type hlsCase struct {
	title     string
	programme mediatest.Programme
	part      time.Duration
}

// An hlsLoad is what viewers of HLS cost a server, and what they got.
type hlsLoad struct {
	origin
	viewers int
	cost    shares // of one core
	memory  int    // for all of them, in bytes
	// others is what all else on the machine used meanwhile, as a share of one core.
	others float64
	hlsReport
}

// inTime reports whether the viewers had their reloads within a part.
func (l hlsLoad) inTime(c hlsCase) bool { return l.P99 < c.part && l.Failures == 0 }

func (l hlsLoad) row(out *table) {
	cells := l.cost.cells(float64(l.viewers))
	out.row(fmt.Sprintf("%s, one viewer of %d", l.name, l.viewers), cells[0], cells[1],
		milliseconds(l.Median), milliseconds(l.P99), milliseconds(l.Max), megabytes(l.memory/l.viewers),
		fmt.Sprintf("%.0f %%", 100*l.others))
}

// measureHLSLoad and measureLowHLSLoad measure what viewers of low-latency HLS cost the server, and how
// late their playlists come; and the same of MediaMTX.
func measureHLSLoad(t *scope, o options) []table {
	return hlsLoads(t, o, hlsCase{
		"2.5 Mbit/s, parts of 500 ms",
		mediatest.Programme{Width: 1280, Height: 720, GOP: 2 * time.Second, BitrateBPS: 2_500_000}, 500 * time.Millisecond,
	}, o.hlsViewers[0])
}

func measureLowHLSLoad(t *scope, o options) []table {
	return hlsLoads(t, o, hlsCase{
		"300 kbit/s, parts of 1 s",
		mediatest.Programme{Width: 640, Height: 360, GOP: 2 * time.Second, BitrateBPS: 300_000}, time.Second,
	}, o.hlsViewers[len(o.hlsViewers)-1])
}

// hlsLoads measures n viewers, or half as many until all servers serve them in time.
func hlsLoads(t *scope, o options, c hlsCase, n int) []table {
	out := table{
		title:  "HLS, " + c.title + ", shares of one core; lateness is that of the reload",
		header: "figure | median | worst | lateness, median | 99 % | worst | memory | all else used meanwhile",
	}
	if !o.hlsSound {
		c.programme.NoAudio, out.title = true, out.title+"; no sound"
	}
	file := prepare(t, c.programme)
	servers := []func(*scope) origin{func(t *scope) origin {
		return startServer(t, o.server, "--hls-part-milliseconds", strconv.FormatInt(c.part.Milliseconds(), 10)).hlsOrigin()
	}}
	if o.mediaMTX != "" {
		servers = append(servers, func(t *scope) origin {
			return startMediaMTX(t, o.mediaMTX, "hlsPartDuration: "+c.part.String(), "hlsSegmentDuration: 2s")
		})
	}
	for round := 0; round < hlsRounds; round++ {
		inTime := true
		for _, start := range servers {
			measured := hlsLoadOf(t, start, file, n)
			measured.row(&out)
			inTime = inTime && measured.inTime(c)
		}
		if !inTime && n > 1 {
			n, round = n/2, -1
		}
	}
	return []table{out}
}

// hlsLoadOf measures what n viewers cost a server that has just been started.
func hlsLoadOf(t *scope, start func(*scope) origin, file string, n int) hlsLoad {
	t = t.child()
	defer t.CleanUp()
	l := hlsLoad{origin: start(t), viewers: n}
	say("%s: %d viewers of HLS", l.name, n)
	encoder := publish(t, file, l.rtmp)
	defer encoder.Stop()
	t.until("the playlist begins", l.isPlayable)
	base, memory := l.load(settle), l.process.memory()
	c := gather(t, "-watch-hls", l.playlist, "-count", strconv.Itoa(n))
	c.ask("")
	pids := []int{l.cmd.Process.Pid, c.cmd.Process.Pid}
	begun, busy := time.Now(), othersOf(t, pids)
	l.cost = loads(l.process).less(base)
	l.others = float64(othersOf(t, pids)-busy) / float64(time.Since(begun))
	l.memory = l.process.memory() - memory
	t.must(json.Unmarshal([]byte(c.ask("")), &l.hlsReport))
	c.leave()
	say("%.2f cores, %+v; %.2f cores elsewhere, load average %s", l.cost.median(), l.hlsReport, l.others, loadAverage())
	return l
}

// othersOf returns the CPU time that all other processes of the machine have used.
func othersOf(t *scope, pids []int) time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	t.must(err)
	line, _, _ := strings.Cut(string(stat), "\n")
	var busy time.Duration
	// After the name these are user, nice, system, idle, iowait, irq, softirq and steal, in ticks of
	// 10 ms (proc(5)).
	for i, field := range strings.Fields(line)[1:9] {
		n, err := strconv.Atoi(field)
		t.must(err)
		if i != 3 && i != 4 {
			busy += time.Duration(n) * 10 * time.Millisecond
		}
	}
	for _, pid := range pids {
		busy -= cpuOf(t, pid)
	}
	return busy
}

// loadAverage returns the load averages of the last 1, 5 and 15 minutes.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // without it nothing is shown
	return strings.Join(strings.Fields(string(text))[:min(3, len(strings.Fields(string(text))))], " ")
}
