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

const (
	// hlsWaiting is how many requests wait, and how many more are refused. It is the most that the
	// media server holds.
	hlsWaiting = 5000
	// hlsWaitSegment makes requests wait for 30 s, which is long enough to measure.
	hlsWaitSegment = 10 * time.Second
	// hlsDark is how long the stream is dark while they wait: it has one moment at which all are
	// answered that nothing has come, and ask again a second later.
	hlsDark = 31 * time.Second
)

// measureHLSWaiting measures what requests cost that wait for the next part of a dark stream, and how
// they are answered when the stream starts.
func measureHLSWaiting(t *scope, o options) []table {
	s := startServer(t, o.server, "--hls-segment-seconds", strconv.Itoa(int(hlsWaitSegment.Seconds())))
	defer s.stop()
	file := prepare(t, mediatest.Programme{Width: 640, Height: 360, GOP: 2 * time.Second, BitrateBPS: 1_200_000, Duration: 8 * time.Second})
	target := s.http("streams/primary.m3u8" + pairQuery)
	encoder := publish(t, file, s.rtmp("primary"))
	t.until("the playlist begins", origin{playlist: target}.isPlayable)
	encoder.Stop()
	t.until("off air", func() bool { return !s.pair().OnAir })
	before := s.memory()
	say("%d requests wait on a dark stream", hlsWaiting)
	out := table{
		title:  fmt.Sprintf("HLS, %d requests from %d addresses wait for the next part of a dark stream", hlsWaiting, waitAddresses),
		header: "figure | CPU of the server | memory in all | time",
	}
	c := gather(t, "-wait-hls", target, "-count", strconv.Itoa(hlsWaiting))
	defer c.leave()
	memory := func() string { return megabytes(s.memory() - before) }
	out.row("they wait, and nothing happens", percent(s.load(settle)), memory(), settle.String())
	out.row("they wait, and once all are answered 503 and ask again", percent(s.load(hlsDark)), memory(), hlsDark.String())

	used := s.cpu()
	var more moreReport
	t.must(json.Unmarshal([]byte(c.ask("more "+strconv.Itoa(hlsWaiting))), &more))
	say("%+v", more)
	out.row(fmt.Sprintf("%d more: %d refused (“%s”), %d not", hlsWaiting, more.Refused, more.Words, more.Other),
		milliseconds(s.cpu()-used), memory(), milliseconds(more.Took))

	var r waitReport
	state := func() waitReport {
		t.must(json.Unmarshal([]byte(c.ask("")), &r))
		return r
	}
	ended := state().Ended
	used = s.cpu()
	begun := time.Now()
	encoder = publish(t, file, s.rtmp("primary"))
	defer encoder.Stop()
	t.until("all are answered", func() bool { return state().Answered == hlsWaiting })
	say("%+v, %v after ffmpeg was started, load average %s", r, time.Since(begun).Round(time.Millisecond), loadAverage())
	out.row(fmt.Sprintf("the stream starts: first answer to last, %d answers of 503, %d failures", r.Ended-ended, r.Failures),
		milliseconds(s.cpu()-used), megabytes(peakOf(t, s.process)-before), milliseconds(r.Spread))
	return []table{out}
}

// peakOf returns the highest resident set that a process has had, in bytes.
func peakOf(t *scope, p *process) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	t.must(err)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			t.must(err)
			return n << 10
		}
	}
	t.Fatalf("the kernel does not tell the peak of memory")
	return 0
}
