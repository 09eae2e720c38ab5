package transcode

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestViewIsLostWhenItsChildFailsAndComesBack(t *testing.T) {
	for name, tc := range map[string]struct {
		signal syscall.Signal
		reason string
	}{
		"killed":  {syscall.SIGKILL, "exited"},
		"stopped": {syscall.SIGSTOP, "hung"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newViewTest(t, withFFmpeg(t))
			r.view.Demand(true)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			r.play(r.publish(primary), withBFrames(t))
			r.watch(sub, 40, reencoded)
			before := r.view.Stream().Snapshot().Publication.ID
			pids := ffmpegs(t)
			if len(pids) != 1 {
				t.Fatalf("ffmpeg processes %v, want one", pids)
			}
			failed := time.Now()
			if err := syscall.Kill(pids[0], tc.signal); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "the leg is lost", func() bool { return r.view.Stream().Snapshot().Publication == nil })
			lost := time.Since(failed)
			eventually.True(t, "the leg is back", func() bool { return r.view.Stream().Snapshot().EntryPoint })
			t.Logf("lost after %v, back after %v", lost, time.Since(failed))
			if r.view.Stream().Snapshot().Publication.ID == before {
				t.Error("the publication is the same as before")
			}
			r.watch(sub, 40, reencoded)
			if r.raw.Snapshot().Publication == nil {
				t.Error("the publisher suffered")
			}
			if got := testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues(tc.reason)); got != 1 {
				t.Errorf("%v restarts counted as %s", got, tc.reason)
			}
			if pids := ffmpegs(t); len(pids) != 1 {
				t.Errorf("ffmpeg processes %v, want one", pids)
			}
		})
	}
}

func TestViewIsLostAtOnceWithItsPublisher(t *testing.T) {
	for _, demand := range []bool{false, true} {
		t.Run(fmt.Sprintf("demand %v", demand), func(t *testing.T) {
			r := newViewTest(t, withFFmpeg(t))
			r.view.Demand(demand)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			p := r.publish(primary)
			stop := r.play(p, withBFrames(t))
			r.watch(sub, 2, func(u *stream.AccessUnit) bool { return reencoded(u) || !demand })
			stop()
			ended := time.Now()
			p.End(stream.EndClosed)
			eventually.True(t, "the view is lost", func() bool { return r.view.Stream().Snapshot().Publication == nil })
			t.Logf("lost after %v", time.Since(ended))
			eventually.True(t, "ffmpeg is gone", func() bool { return r.children() == 0 })

			r.play(r.publish(primary), withBFrames(t)) // the stream comes back
			r.watch(sub, 2, func(u *stream.AccessUnit) bool { return reencoded(u) || !demand })
		})
	}
}

func TestViewGoesOnWithoutAnFFmpegThatFails(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho \"Unknown encoder 'libx264'\" >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"ends at once": broken, "is not there": broken + "-not"} {
		t.Run(name, func(t *testing.T) {
			r := newViewTest(t, ViewsConfig{FFmpegPath: path, MaxTranscodes: 1})
			r.view.Demand(true)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			r.play(r.publish(primary), withBFrames(t))
			eventually.True(t, "a warning", func() bool { return slices.Contains(warnings(r.raw), "TranscodeFailed") })
			r.watch(sub, 4, nil)
			if r.view.Stream().Snapshot().Publication == nil {
				t.Error("the leg is lost")
			}
		})
	}
}
