package measure

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

var watchedKey = stream.Key{App: "live", ID: "primary"}

// A watcherTest is a stream with a Watcher, and what the Watcher reports.
type watcherTest struct {
	t        *testing.T
	registry *stream.Registry
	metrics  *metrics.Metrics
	places   chan struct{}
	memory   *budget.Children
	log      *mediatest.LogLines
	stop     func()

	mu      sync.Mutex // guards reports
	reports []Report
}

func newWatcherTest(t *testing.T, ffmpegPath string) *watcherTest {
	t.Helper()
	return newWatcherTestIn(t, ffmpegPath, budget.Unlimited)
}

// newWatcherTestIn is newWatcherTest in a container with so much memory.
func newWatcherTestIn(t *testing.T, ffmpegPath string, container int64) *watcherTest {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	memory := budget.NewChildren(budget.ChildrenConfig{
		Process: budget.Unlimited, Container: container, Budget: budget.New(budget.Default), SetGoLimit: func(int64) {},
	})
	w := &watcherTest{t: t, metrics: m, memory: memory, places: make(chan struct{}, 1), log: &mediatest.LogLines{}, registry: stream.NewRegistry(stream.Config{Metrics: m})}
	ctx, cancel := context.WithCancel(t.Context())
	watcher := NewWatcher(WatcherConfig{
		Stream: w.registry.Stream(watchedKey), Epoch: w.registry.Epoch(), FFmpegPath: ffmpegPath, Places: w.places, Memory: memory,
		Report: w.add, Logger: slog.New(slog.NewTextHandler(w.log, nil)), Metrics: m,
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		watcher.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		w.registry.Close()
		if n := testutil.ToFloat64(m.FFmpegChildren); n != 0 || len(w.places) != 0 || memory.Held() != 0 {
			t.Errorf("%v ffmpeg, %d places and %d bytes are left", n, len(w.places), memory.Held())
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *watcherTest) add(r Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, r)
}

// pictures returns how many pictures were measured.
func (w *watcherTest) pictures() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.reports {
		if r.Picture != nil {
			n++
		}
	}
	return n
}

// play publishes a programme again and again until the test ends.
func (w *watcherTest) play(spec mediatest.Spec, relayed bool) *stream.Publication {
	w.t.Helper()
	units := testunits.Load(w.t, mediatest.File(w.t, spec))
	p, err := w.registry.Publish(stream.PublishRequest{Key: watchedKey, Authenticated: true, Protocol: "test", Relayed: relayed})
	if err != nil {
		w.t.Fatal(err)
	}
	var group sync.WaitGroup
	quit := make(chan struct{})
	group.Go(func() { testunits.Play(p, units, quit) })
	w.t.Cleanup(func() {
		close(quit)
		group.Wait()
	})
	return p
}

// pid returns the process id of the ffmpeg that was started last.
func (w *watcherTest) pid() int {
	found := regexp.MustCompile(`started to watch the picture" .*pid=(\d+)`).FindAllStringSubmatch(w.log.String(), -1)
	if len(found) == 0 {
		return 0
	}
	pid, _ := strconv.Atoi(found[len(found)-1][1])
	return pid
}

var quick = mediatest.Spec{GOP: time.Second}

// An ffmpeg that hangs or dies is replaced, and sound is measured meanwhile.
func TestAnFFmpegThatHangsOrDiesIsReplaced(t *testing.T) {
	path := mediatest.RequireFFmpeg(t)
	for name, signal := range map[string]syscall.Signal{"hangs": syscall.SIGSTOP, "dies": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatcherTest(t, path)
			w.play(quick, false)
			eventually.True(t, "measured pictures", func() bool { return w.pictures() > 1 })
			first := w.pid()
			if err := syscall.Kill(first, signal); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "another ffmpeg", func() bool { return w.pid() != first })
			had := w.pictures()
			eventually.True(t, "measured pictures", func() bool { return w.pictures() > had })
			w.mu.Lock()
			defer w.mu.Unlock()
			failed := false
			for _, r := range w.reports {
				failed = failed || r.Unwatched == UnwatchedFailed
			}
			if !failed {
				t.Error("no report says that ffmpeg failed")
			}
		})
	}
}

// An ffmpeg that needs more memory than it may have ends, and is not started again at once.
func TestAnFFmpegThatGrowsEnds(t *testing.T) {
	mediatest.SkipInShort(t)
	path := filepath.Join(t.TempDir(), "ffmpeg")
	// Its memory is limited from outside; 1 GB is more than that.
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec python3 -c 'import sys; sys.stdin.buffer.read(1); b = bytearray(1 << 30); print(len(b))'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWatcherTest(t, path)
	w.play(quick, false)
	eventually.True(t, "its end", func() bool { return testutil.ToFloat64(w.metrics.FFmpegRestarts.WithLabelValues("exited")) >= 2 })
	if said := w.log.String(); !regexp.MustCompile(`MemoryError|Cannot allocate`).MatchString(said) {
		t.Errorf("it did not end for want of memory:\n%s", said)
	}
}

// While an ffmpeg runs, its memory is taken. Where there is too little, none is started.
func TestAnFFmpegHasItsMemory(t *testing.T) {
	path := mediatest.RequireFFmpeg(t)
	t.Run("enough", func(t *testing.T) {
		w := newWatcherTestIn(t, path, 640<<20)
		w.play(quick, false)
		eventually.True(t, "a measured picture", func() bool { return w.pictures() > 0 })
		if got := w.memory.Held(); got != AnalyserMemory {
			t.Errorf("%d bytes are taken, want %d", got, AnalyserMemory)
		}
	})
	t.Run("too little", func(t *testing.T) {
		w := newWatcherTestIn(t, path, 256<<20)
		w.play(quick, false)
		eventually.True(t, "a report of it", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.reports) > 0 && w.reports[len(w.reports)-1].Unwatched == UnwatchedNoMemory
		})
		if w.pid() != 0 || len(w.places) != 0 || w.memory.Held() != 0 {
			t.Errorf("ffmpeg %d, %d places and %d bytes are taken", w.pid(), len(w.places), w.memory.Held())
		}
	})
}

func TestWhatAWatcherMeasures(t *testing.T) {
	path := mediatest.RequireFFmpeg(t)
	t.Run("a relayed publication is left to the peer", func(t *testing.T) {
		w := newWatcherTest(t, path)
		w.play(quick, true)
		eventually.True(t, "it is live", func() bool { return w.registry.Stream(watchedKey).Snapshot().EntryPoint })
		time.Sleep(2 * reportEvery)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.reports) > 0 {
			t.Errorf("reports: %+v", w.reports)
		}
	})
	t.Run("a tone, a picture and the rates", func(t *testing.T) {
		w := newWatcherTest(t, path)
		p := w.play(quick, false)
		eventually.True(t, "a few seconds", func() bool { return w.pictures() >= 5 })
		p.End(stream.EndUnpublished)
		w.stop()
		var blocks []SoundBlock
		var rates []*Rates
		for _, r := range w.reports {
			blocks = append(blocks, r.Sound...)
			if r.Rates != nil {
				rates = append(rates, r.Rates)
			}
			if r.Publication == 0 || r.Unwatched != "" || r.Undecoded {
				t.Errorf("a report: %+v", r)
			}
		}
		if len(blocks) < 30 || len(rates) < 3 {
			t.Fatalf("%d blocks of sound and %d rates", len(blocks), len(rates))
		}
		// The tone has a peak of 1/8 of full scale, and ffmpeg takes 3 dB off to make stereo of it.
		if b := blocks[10]; b.Peak < -22 || b.Peak > -20 || b.RMS < -25 || b.RMS > -23 {
			t.Errorf("a tone with a peak of -21 dBFS is measured as %+v", b)
		}
		for i := range blocks[1:] {
			if step := blocks[i+1].At - blocks[i].At; step != 100*time.Millisecond {
				t.Errorf("block %d is %v after the one before", i+1, step)
			}
		}
		if r := rates[2]; r.FrameRate < 29 || r.FrameRate > 31 || r.KeyFrameInterval != time.Second || r.BitrateBPS < 50_000 {
			t.Errorf("30 pictures a second and a key frame each second are measured as %+v", r)
		}
	})
}
