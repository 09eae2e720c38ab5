package transcode

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// limited are kinds of pictures that many players can't show, with ffmpeg's arguments for each.
var limited = map[string][]string{
	"4:2:2":      {"-pix_fmt", "yuv422p"},
	"4:4:4":      {"-pix_fmt", "yuv444p"},
	"10-bit":     {"-pix_fmt", "yuv420p10le"},
	"interlaced": {"-flags", "+ildct+ilme", "-x264-params", "interlaced=1"},
}

func pictures(t *testing.T, args ...string) []*stream.AccessUnit {
	t.Helper()
	return testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second, VideoArgs: args, NoAudio: true}))
}

func TestPicturesThatManyPlayersCannotShowAreReencoded(t *testing.T) {
	for name, args := range limited {
		t.Run(name, func(t *testing.T) {
			r := newViewTest(t, withFFmpeg(t))
			r.view.Demand(true)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			units := pictures(t, args...)
			r.play(r.publish(primary), units)
			if got := r.watch(sub, 1, func(u *stream.AccessUnit) bool { return u.Format.Limitation == "" })[0]; !got.IDR {
				t.Error("the first re-encoded picture is no IDR")
			}
			for i, u := range r.watch(sub, 30, nil) {
				if u.Format.Limitation != "" {
					t.Fatalf("picture %d after it is %s", i, u.Format.Limitation)
				}
			}
			if got := r.raw.Snapshot().Video.Format.Limitation; got != name {
				t.Errorf("the publisher's pictures are %q", got)
			}
			if got := warnings(r.raw); !slices.Equal(got, []string{warningLimited}) {
				t.Errorf("warnings %v", got)
			}
			if fault := r.view.Stream().Snapshot().Video.Fault; fault != nil {
				t.Errorf("viewers are said to get %v", fault)
			}
		})
	}
}

func TestPicturesThatManyPlayersCannotShowAreWorthLessWithoutFFmpeg(t *testing.T) {
	r := newViewTest(t, ViewsConfig{MaxTranscodes: 4})
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	stop := r.play(r.publish(primary), pictures(t, limited["4:2:2"]...))
	r.watch(sub, 30, nil) // some players can show them
	if got := r.view.Stream().Snapshot(); got.Video.Fault == nil || !got.Video.Fault.Limited || !slices.Equal(warnings(r.view.Stream()), []string{warningLimited}) {
		t.Errorf("fault %v, warnings %v", got.Video.Fault, got.Warnings)
	}
	stop()
	r.play(r.publish(primary), pictures(t))
	eventually.True(t, "no fault once the publisher is another", func() bool {
		got := r.view.Stream().Snapshot()
		return got.Video.Fault == nil && got.Video.Format != nil && got.Video.Format.Limitation == ""
	})
}

// withoutIDR returns streams in which no IDR follows the first picture. The first
// picture is left out here, so a viewer never sees an IDR.
func withoutIDR(t *testing.T) map[string][]*stream.AccessUnit {
	t.Helper()
	streams := map[string][]*stream.AccessUnit{
		"intra refresh": pictures(t, "-x264-params", "intra-refresh=1:keyint=30"),
		"open GOPs":     pictures(t, "-tune", "film", "-preset", "veryfast", "-x264-params", "open-gop=1:keyint=30:min-keyint=30:bframes=2"),
	}
	for name, units := range streams {
		units = units[1:]
		if slices.ContainsFunc(units, func(u *stream.AccessUnit) bool { return u.IDR }) {
			t.Fatalf("%s: the test's stream has IDRs", name)
		}
		first := units[0].DTS
		for _, u := range units {
			u.DTS, u.PTS = u.DTS-first, u.PTS-first
		}
		streams[name] = units
	}
	return streams
}

func TestAStreamWithoutIDRsIsReencodedFromARecoveryPoint(t *testing.T) {
	for name, units := range withoutIDR(t) {
		t.Run(name, func(t *testing.T) {
			r := newViewTest(t, withFFmpeg(t))
			r.play(r.publish(primary), units)
			eventually.True(t, "viewers can begin as soon as they come", func() bool { return r.view.Stream().Snapshot().EntryPoint })
			if n := r.children(); n != 0 {
				t.Errorf("%v ffmpeg children while nobody watches", n)
			}
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			r.view.Demand(true)
			if got := r.watch(sub, 1, nil)[0]; !got.IDR {
				t.Error("the first picture is no IDR")
			}
			r.watch(sub, 60, nil)
			if got := warnings(r.view.Stream()); !slices.Contains(got, warningWithoutIDR) || slices.Contains(got, "NoEntryPoint") {
				t.Errorf("warnings %v", got)
			}
		})
	}
}

func TestAStreamWithoutIDRsCannotBeEnteredWithoutFFmpeg(t *testing.T) {
	r := newViewTest(t, ViewsConfig{})
	r.view.Demand(true)
	r.play(r.publish(primary), withoutIDR(t)["intra refresh"])
	eventually.True(t, "a warning", func() bool { return slices.Contains(warnings(r.view.Stream()), warningWithoutIDR) })
	snap := r.view.Stream().Snapshot()
	if snap.EntryPoint || snap.LastIDR != 0 {
		t.Error("there is an entry point")
	}
	if f := snap.Video.Fault; f == nil || f.Code != warningWithoutIDR || !f.Limited {
		t.Errorf("the fault is %v", f)
	}
}

// Each picture says that decoding can start there, but no decoder can start.
func TestPicturesThatFFmpegCannotDecodeAreAFaultAtOnce(t *testing.T) {
	units := withoutIDR(t)["intra refresh"]
	var spoilt []*stream.AccessUnit
	for _, u := range units {
		own := *u
		recoveryPoint, inter := []byte{0x06, 0x06, 0x01, 0xc4, 0x80}, []byte{0x41, 0x9a, 0x24}
		own.NALUs = [][]byte{recoveryPoint, append(inter, bytes.Repeat([]byte{0x55}, 500)...)}
		spoilt = append(spoilt, &own)
	}
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	p := r.publish(primary)
	stop := r.play(p, spoilt)
	eventually.True(t, "a fault", func() bool {
		fault := r.view.Stream().Snapshot().Video.Fault
		return fault != nil && fault.Code == warningWithoutIDR
	})
	if n := r.childrenThatFailed(); n != 1 {
		t.Errorf("%v ffmpegs had failed by then", n)
	}
	if got := warnings(r.raw); !slices.Contains(got, warningFails) {
		t.Errorf("warnings %v", got)
	}
	stop()
	r.play(p, units)
	eventually.True(t, "no fault once the pictures can be decoded", func() bool {
		return r.view.Stream().Snapshot().Video.Fault == nil
	})
}

// An encoder with intra refresh begins with an IDR and sends none after it. Viewers
// that watch from the start go on. No other viewer can join.
func TestAnIDRLongAgoIsNoEntry(t *testing.T) {
	units := pictures(t, "-x264-params", "intra-refresh=1:keyint=30")
	if !units[0].IDR || slices.ContainsFunc(units[1:], func(u *stream.AccessUnit) bool { return u.IDR }) {
		t.Fatal("the test's stream has other IDRs")
	}
	r := newViewTestWithStreams(t, ViewsConfig{}, stream.Config{MaxCacheDuration: time.Second})
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.view.Demand(true)
	stop := r.play(r.publish(primary), units)
	eventually.True(t, "a fault", func() bool {
		f := r.view.Stream().Snapshot().Video.Fault
		return f != nil && f.Code == warningWithoutIDR && f.Limited
	})
	r.watch(sub, 60, nil) // the first viewer goes on
	stop()
	r.play(r.publish(primary), pictures(t))
	eventually.True(t, "no fault with IDRs again", func() bool {
		snap := r.view.Stream().Snapshot()
		return snap.Video.Fault == nil && snap.EntryPoint && len(snap.Warnings) == 0
	})
}

// Warnings about pictures say what is done with them.
func TestWarningsOfPicturesSayWhatIsDone(t *testing.T) {
	cfg := withFFmpeg(t)
	cfg.MaxTranscodes, cfg.Linger = 1, 100*time.Millisecond
	r := newViewTest(t, cfg)
	other := r.takePlace(pictures(t, limited["4:2:2"]...))
	defer other.Close()
	says := func(text string) func() bool {
		return func() bool {
			return slices.ContainsFunc(r.raw.Snapshot().Warnings, func(w stream.Warning) bool {
				return w.Code == warningLimited && strings.Contains(w.Message, text)
			})
		}
	}
	r.view.Demand(true)
	stop := r.play(r.publish(primary), pictures(t, limited["4:2:2"]...))
	eventually.True(t, "not re-encoded", says("does not re-encode"))
	if r.view.Stream().Snapshot().Video.Fault == nil {
		t.Error("no fault")
	}
	other.Demand(false)
	eventually.True(t, "re-encoded", says("is re-encoded"))
	eventually.True(t, "no fault", func() bool { return r.view.Stream().Snapshot().Video.Fault == nil })
	stop()
	r.play(r.publish(primary), pictures(t))
	eventually.True(t, "no warning of an encoder that was mended", func() bool { return len(r.view.Stream().Snapshot().Warnings) == 0 })
}
