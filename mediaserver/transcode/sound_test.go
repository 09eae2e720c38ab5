package transcode

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/stream"
)

// surround are the kinds of AAC that only ffmpeg decodes in full, with their numbers
// of channels. ffmpeg's 7.1 has a program config element.
var surround = map[string]int{"5.1": 6, "7.1": 8}

// stereo reports whether u is sound that every player can decode.
func stereo(u *stream.AccessUnit) bool { return u.Kind == stream.Audio && u.Format.Channels == 2 }

// hear collects n frames of sound that ok accepts.
func (r *viewTest) hear(sub *stream.Subscription, n int, ok func(*stream.AccessUnit) bool) []*stream.AccessUnit {
	r.t.Helper()
	var frames []*stream.AccessUnit
	deadline := time.After(patience)
	for len(frames) < n {
		select {
		case u := <-sub.C:
			if ok(u) {
				frames = append(frames, u)
			}
		case <-deadline:
			r.t.Fatalf("%d of %d frames within %v", len(frames), n, patience)
		}
	}
	return frames
}

func TestSurroundSoundIsReencodedToStereo(t *testing.T) {
	for name, channels := range surround {
		t.Run(name, func(t *testing.T) {
			cfg := withFFmpeg(t)
			cfg.Linger = 300 * time.Millisecond
			r := newViewTest(t, cfg)
			raw, sub := r.raw.Subscribe(1024), r.view.Stream().Subscribe(1024)
			defer raw.Close()
			defer sub.Close()
			r.view.Demand(true)
			r.play(r.publish(primary), aac(t, beep, 48000, channels, 4))
			first := r.hear(raw, 1, func(u *stream.AccessUnit) bool { return u.Kind == stream.Audio })[0]
			frames := r.hear(sub, 150, stereo)

			l := newListener(t)
			a := NewAudio(AudioConfig{Emit: l.emit})
			for _, u := range frames {
				a.Write(u)
			}
			l.joins()
			got, want := l.onset(first.PTS)-first.PTS, time.Second+priming(48000)
			t.Logf("beep %v from its place, first frame %v after the publisher's", got-want, frames[0].Arrival-first.Arrival)
			if off := (got - want).Abs(); off > 5*time.Millisecond {
				t.Errorf("beep at %v, want %v", got, want)
			}
			if lv := level(l.between(first.PTS+1200*time.Millisecond, first.PTS+1900*time.Millisecond)); lv < 0.1 {
				t.Errorf("level %.3f", lv)
			}
			if got := warnings(r.view.Stream()); !slices.Equal(got, []string{warningReencodedAudio}) {
				t.Errorf("warnings %v", got)
			}
			if fault := r.view.Stream().Snapshot().Audio.Fault; fault != nil {
				t.Errorf("viewers are said to get %v", fault)
			}
			r.view.Demand(false)
			eventually.True(t, "ffmpeg stops when nobody listens", func() bool { return r.children() == 0 })
		})
	}
}

func TestSurroundSoundGoesOnWhenFFmpegDies(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.view.Demand(true)
	r.play(r.publish(primary), aac(t, tone, 48000, 6, 4))
	publication := r.hear(sub, 10, stereo)[0].Publication
	for _, pid := range ffmpegs(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the end is noticed", func() bool { return r.children() == 0 })
	eventually.True(t, "another ffmpeg", func() bool { return r.children() == 1 })
	r.hear(sub, 500, stereo)
	if got := r.view.Stream().Snapshot().Publication; got == nil || publication.Ended() {
		t.Error("the leg was lost with its sound")
	}
}

func TestSurroundSoundWithoutFFmpegIsAFault(t *testing.T) {
	r := newViewTest(t, ViewsConfig{MaxTranscodes: 4})
	r.view.Demand(true)
	stop := r.play(r.publish(primary), aac(t, tone, 48000, 6, 2))
	eventually.True(t, "a fault", func() bool {
		fault := r.view.Stream().Snapshot().Audio.Fault
		return fault != nil && fault.Code == warningUnsupportedAudio && !fault.Limited
	})
	if got := warnings(r.view.Stream()); !slices.Equal(got, []string{warningUnsupportedAudio}) {
		t.Errorf("warnings %v", got)
	}
	stop()
	r.play(r.publish(primary), aac(t, tone, 48000, 2, 2))
	eventually.True(t, "no fault once the publisher is another", func() bool {
		got := r.view.Stream().Snapshot()
		return got.Audio.Fault == nil && len(got.Warnings) == 0 && got.Audio.Format != nil && got.Audio.Format.Channels == 2
	})
}

// spoilt returns the access units with random bytes as frames of sound.
func spoilt(t *testing.T, units []*stream.AccessUnit) []*stream.AccessUnit {
	t.Helper()
	random := seeded.Rand(t)
	var all []*stream.AccessUnit
	for _, u := range units {
		own := *u
		own.Frame = make([]byte, len(u.Frame))
		seeded.Fill(random, own.Frame)
		all = append(all, &own)
	}
	return all
}

// childrenThatFailed returns how many ffmpegs have ended or hung.
func (r *viewTest) childrenThatFailed() float64 {
	return testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues("hung")) +
		testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues("exited"))
}

func TestSoundThatCannotBeDecodedIsAFault(t *testing.T) {
	for name, tc := range map[string]struct {
		channels int
		code     string
	}{
		"AAC-LC in stereo": {2, warningMalformedAudio},
		"5.1":              {6, warningUnsupportedAudio},
	} {
		t.Run(name, func(t *testing.T) {
			r := newViewTest(t, withFFmpeg(t))
			r.view.Demand(true)
			units := aac(t, tone, 48000, tc.channels, 2)
			p := r.publish(primary)
			stop := r.play(p, spoilt(t, units))
			eventually.True(t, "a fault", func() bool {
				fault := r.view.Stream().Snapshot().Audio.Fault
				return fault != nil && fault.Code == tc.code && !fault.Limited
			})
			if n := r.childrenThatFailed(); n > 1 {
				t.Errorf("%v ffmpegs had failed by then", n)
			}
			stop()
			r.play(p, units)
			eventually.True(t, "no fault once the sound can be decoded", func() bool {
				return r.view.Stream().Snapshot().Audio.Fault == nil
			})
			eventually.True(t, "no warning of it", func() bool { return !slices.Contains(warnings(r.view.Stream()), tc.code) })
		})
	}
}

// The other stream's ffmpeg takes the only place.
func TestSurroundSoundWaitsForAPlace(t *testing.T) {
	cfg := withFFmpeg(t)
	cfg.MaxTranscodes, cfg.Linger = 1, 100*time.Millisecond
	r := newViewTest(t, cfg)
	other := r.takePlace(aac(t, tone, 48000, 6, 2))
	defer other.Close()
	r.view.Demand(true)
	r.play(r.publish(primary), aac(t, tone, 48000, 6, 2))
	eventually.True(t, "a fault", func() bool { return r.view.Stream().Snapshot().Audio.Fault != nil })
	other.Demand(false)
	eventually.True(t, "no fault once the place is free", func() bool { return r.view.Stream().Snapshot().Audio.Fault == nil })
	eventually.True(t, "sound", func() bool { f := r.view.Stream().Snapshot().Audio.Format; return f != nil && f.Channels == 2 })
}
