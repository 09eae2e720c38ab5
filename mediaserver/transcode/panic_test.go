package transcode

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestAViewBeginsAnewAfterAPanicWithoutThePublisher(t *testing.T) {
	var r *viewTest
	recovering := recovery.New(recovery.Config{})
	r = newViewTest(t, ViewsConfig{Recovery: recovering})
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	units := testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second}))
	first := r.publish(primary)
	stop := r.play(first, units)
	r.watch(sub, 10, nil)
	stop()
	// A picture without a format makes the view panic. No publisher can send one.
	if err := first.Forward(&stream.AccessUnit{Kind: stream.Video, NALUs: [][]byte{{0x41, 1}}}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the end of the publication", first.Ended)
	eventually.True(t, "the end of what is made of it", func() bool { return r.view.Stream().Snapshot().Publication == nil })
	if _, err := r.registry.Publish(stream.PublishRequest{Key: primary, Authenticated: true}); !errors.Is(err, stream.ErrExpelled) {
		t.Errorf("its publisher gets %v", err)
	}
	second, err := r.registry.Publish(stream.PublishRequest{Key: primary, Authenticated: true, Remote: "192.0.2.2:1"})
	if err != nil {
		t.Fatal(err)
	}
	r.play(second, units)
	for len(sub.C) > 0 {
		<-sub.C
	}
	r.watch(sub, 10, func(u *stream.AccessUnit) bool { return u.Format.Width > 0 })
	if recovering.Reason() != nil {
		t.Errorf("the server gives up: %v", recovering.Reason())
	}
}

func TestParametersThatChangeAtEachIDRStartFewFFmpegs(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(4096)
	defer sub.Close()
	units := testunits.Of(stream.Video, withBFrames(t))
	var changing []*stream.AccessUnit
	for _, u := range units { // the first GOP again and again, each time with another PPS
		if len(changing) > 0 && u.IDR {
			break
		}
		changing = append(changing, u)
	}
	changing = changing[:min(len(changing), 6)]
	p := r.publish(primary)
	span := changing[len(changing)-1].DTS - changing[0].DTS + 33*time.Millisecond
	start := time.Now()
	for gop := 0; time.Since(start) < 6*time.Second && gop < 60; gop++ {
		for _, u := range changing {
			shift := time.Duration(gop) * span
			time.Sleep(time.Until(start.Add(u.DTS + shift)))
			nalus := u.NALUs
			if u.IDR {
				// Trailing zero bytes make another PPS for a comparison, but mean the
				// same to ffmpeg.
				pps := append(append([]byte{}, u.Format.PPS...), make([]byte, gop%2+1)...)
				nalus = append([][]byte{u.Format.SPS, pps}, nalus...)
			}
			if err := p.WriteVideo(u.DTS+shift, u.PTS+shift, nalus); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually.True(t, "a warning", func() bool {
		for _, code := range warnings(r.raw) {
			if code == "ParametersChange" {
				return true
			}
		}
		return false
	})
	// Four launches come at once, then one after 0.5, 1, 2, 4 … s: see launches.
	started := testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues("parameters"))
	if started > 8 {
		t.Errorf("ffmpeg was started %v times", started)
	}
	if n := testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues("postponed")); n == 0 {
		t.Error("no start was put off")
	}
	// Pictures that need no re-encoding go on, and the leg is not lost.
	if s := r.view.Stream().Snapshot(); s.Publication == nil {
		t.Error("the stream is lost")
	}
	r.watch(sub, 5, func(u *stream.AccessUnit) bool { return u.IDR })
}
