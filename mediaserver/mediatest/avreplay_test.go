package mediatest

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtmp"
	"github.com/streampair/streampair/mediaserver/stream"
)

// startIngest runs an RTMP server until the test ends. Publishers need the token "key".
func startIngest(t *testing.T) (url string, registry *stream.Registry) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	log, m := slog.New(slog.NewTextHandler(t.Output(), nil)), metrics.New(prometheus.NewRegistry())
	registry = stream.NewRegistry(stream.Config{Logger: log, Metrics: m})
	server, err := rtmp.NewServer(rtmp.Config{
		Address: "127.0.0.1:0", Registry: registry, Logger: log, Metrics: m,
		Authorize: func(_ stream.Key, token string) (bool, error) {
			if token != "key" {
				return false, errors.New("the token is wrong")
			}
			return true, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	return "rtmp://" + server.Addr().String(), registry
}

// collect receives access units until enough returns true.
func collect(t *testing.T, sub *stream.Subscription, enough func(*stream.AccessUnit) bool) []*stream.AccessUnit {
	t.Helper()
	var units []*stream.AccessUnit
	limit := time.After(patience)
	for {
		select {
		case u := <-sub.C:
			if units = append(units, u); enough(u) {
				return units
			}
		case <-limit:
			t.Fatalf("only %d access units came", len(units))
		}
	}
}

func of(kind stream.Kind, units []*stream.AccessUnit) []*stream.AccessUnit {
	var out []*stream.AccessUnit
	for _, u := range units {
		if u.Kind == kind {
			out = append(out, u)
		}
	}
	return out
}

func TestReplayerSendsTheProgrammeInRealTime(t *testing.T) {
	tests := []struct {
		name      string
		programme Programme
		options   ReplayOptions
		// act is called after one second.
		act func(*Replayer)
		// videoStep and audioStep are the steps between access units of each track. others is the
		// most other steps that each track may have. audioLate is the median lateness of audio.
		videoStep, audioStep time.Duration
		others               int
		audioLate            time.Duration
	}{
		{"plain and looped", Programme{Duration: 2 * time.Second}, ReplayOptions{}, nil, 33 * ms, 21 * ms, 2, 0},
		{"audio 400 ms late", Programme{Duration: 2 * time.Second}, ReplayOptions{AudioDelay: 400 * ms}, nil, 33 * ms, 21 * ms, 2, 400 * ms},
		{"timestamps that wrap", Programme{Duration: 2 * time.Second}, ReplayOptions{Timestamp: 1<<32*ms - time.Second}, nil, 33 * ms, 21 * ms, 2, 0},
		{"extended timestamps", Programme{Duration: 2 * time.Second}, ReplayOptions{Timestamp: 16777*time.Second - time.Second}, nil, 33 * ms, 21 * ms, 2, 0},
		{"a jump", Programme{Duration: 2 * time.Second}, ReplayOptions{}, func(r *Replayer) { r.Jump(time.Hour) }, 33 * ms, 21 * ms, 4, 0},
		{"B-frames", Programme{Duration: 2 * time.Second, BFrames: true}, ReplayOptions{}, nil, 33 * ms, 21 * ms, 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, registry := startIngest(t)
			sub := registry.Stream(stream.Key{App: "live", ID: "a"}).Subscribe(1000)
			defer sub.Close()
			tape, err := tt.programme.Tape(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r, err := Replay(t.Context(), url+"/live/a?token=key", tape, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Kill()
			acted := false
			units := collect(t, sub, func(*stream.AccessUnit) bool {
				if since := time.Since(r.Epoch()); tt.act != nil && !acted && since > time.Second {
					acted = true
					tt.act(r)
				}
				return time.Since(r.Epoch()) > 3*time.Second
			})
			for kind, step := range map[stream.Kind]time.Duration{stream.Video: tt.videoStep, stream.Audio: tt.audioStep} {
				track := of(kind, units)
				others := 0
				var late []time.Duration
				for i, u := range track {
					late = append(late, u.Arrival-u.DTS)
					if i == 0 {
						continue
					}
					if d := (u.DTS - track[i-1].DTS - step).Abs(); d > 2*ms {
						others++
						t.Logf("%v: step of %v", kind, u.DTS-track[i-1].DTS)
					}
				}
				want := time.Duration(0)
				if kind == stream.Audio {
					want = tt.audioLate
				}
				median := median(late)
				t.Logf("%v: %d access units, %v late at the median", kind, len(track), median)
				// The mapping follows the promptest access unit, so a busy machine
				// adds to the lateness.
				if others > tt.others+len(track)/10 || median < want-50*ms || median > want+300*ms {
					t.Errorf("%v: %d other steps, %v late, want %v", kind, others, median, want)
				}
			}
		})
	}
}

func median(d []time.Duration) time.Duration {
	sorted := append([]time.Duration(nil), d...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}

func TestReplayerIsPausedResumedAndLeavesTracksOut(t *testing.T) {
	url, registry := startIngest(t)
	s := registry.Stream(stream.Key{App: "live", ID: "a"})
	sub := s.Subscribe(1000)
	defer sub.Close()
	tape, err := Programme{Duration: 2 * time.Second, GOP: time.Second}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Replay(t.Context(), url+"/live/a?token=key", tape, ReplayOptions{Epoch: time.Now().Add(-300 * ms)})
	if err != nil {
		t.Fatal(err)
	}
	first := collect(t, sub, func(u *stream.AccessUnit) bool { return len(sub.C) == 0 && u.Kind == stream.Video })[0]
	if first.Kind != stream.Video || !first.IDR {
		t.Errorf("began with %v, IDR %v", first.Kind, first.IDR)
	}

	silent := func() bool {
		snap := s.Snapshot()
		return registry.Now()-snap.Video.LastArrival > 500*ms && registry.Now()-snap.Audio.LastArrival > 500*ms
	}
	r.Pause()
	eventually.True(t, "silence while paused", silent)
	r.Resume()
	eventually.True(t, "pictures again", func() bool { return !silent() })

	since := func(track stream.TrackSnapshot) time.Duration { return registry.Now() - track.LastArrival }
	r.Drop(true, false)
	eventually.True(t, "audio alone", func() bool {
		snap := s.Snapshot()
		return since(snap.Video) > 500*ms && since(snap.Audio) < 200*ms
	})
	r.Drop(false, true)
	eventually.True(t, "video alone", func() bool {
		snap := s.Snapshot()
		return since(snap.Audio) > 500*ms && since(snap.Video) < 200*ms
	})
	r.Stop()
	if err := r.Err(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	eventually.True(t, "the end of the publication", func() bool { return s.Snapshot().Publication == nil })
}

func TestReplayerEnds(t *testing.T) {
	url, registry := startIngest(t)
	tape, err := Programme{Duration: 2 * time.Second, GOP: time.Second}.Tape(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"no stream id": url + "/live", "not RTMP": strings.Replace(url, "rtmp", "http", 1) + "/live/a?token=key",
		"nobody there": "rtmp://127.0.0.1:1/live/a",
	} {
		if _, err := Replay(t.Context(), bad, tape, ReplayOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var refused *RefusedError
	if _, err := Replay(t.Context(), url+"/live/a", tape, ReplayOptions{}); !errors.As(err, &refused) {
		t.Errorf("without the token: %v", err)
	} else {
		t.Log(refused)
	}

	once, err := Replay(t.Context(), url+"/live/once?token=key", tape, ReplayOptions{Once: true, Epoch: time.Now().Add(-500 * ms)})
	if err != nil {
		t.Fatal(err)
	}
	if err := once.Err(); err != nil {
		t.Errorf("the end of the tape: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, err := Replay(ctx, url+"/live/cancelled?token=key", tape, ReplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cancelled.Err(); err != nil {
		t.Errorf("the end of the context: %v", err)
	}
	ended, err := Replay(t.Context(), url+"/live/ended?token=key", tape, ReplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	registry.Close()
	if err := ended.Err(); err == nil {
		t.Error("the server ended it, and there is no error")
	}
}
