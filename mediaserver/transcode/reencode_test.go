package transcode

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestViewReencodesWhileSomebodyWatches(t *testing.T) {
	cfg := withFFmpeg(t)
	cfg.Linger = 300 * time.Millisecond
	r := newViewTest(t, cfg)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	units := withBFrames(t)
	r.play(r.publish(primary), units)
	eventually.True(t, "an entry point", func() bool { return r.view.Stream().Snapshot().EntryPoint })
	if r.children() != 0 {
		t.Fatal("ffmpeg runs though nobody watches")
	}
	eventually.True(t, "half a GOP", func() bool { return r.raw.Snapshot().GOPFrames > 30 })
	publication := r.view.Stream().Snapshot().Publication.ID

	raw := r.raw.Subscribe(1024)
	defer raw.Close()
	demanded := r.registry.Now()
	r.view.Demand(true)
	pictures := r.watch(sub, 150, reencoded)
	t.Logf("first picture %v after the demand", pictures[0].Arrival-demanded)
	if !pictures[0].IDR {
		t.Error("the first picture is not an IDR")
	}
	var sps h264.SPS
	if err := sps.Unmarshal(pictures[0].Format.SPS); err != nil {
		t.Fatal(err)
	}
	if r := sps.VUI.BitstreamRestriction; r == nil || r.MaxNumReorderFrames != 0 || sps.LevelIdc > 30 {
		t.Errorf("the SPS allows for reordering, or says level %d for 320x180", sps.LevelIdc)
	}
	var lag []time.Duration
	idrs := 0
	for i, u := range pictures {
		lag = append(lag, u.Arrival-u.PTS)
		if u.IDR {
			idrs++
		}
		if i > 0 {
			if step := u.PTS - pictures[i-1].PTS; step < 30*time.Millisecond || step > 40*time.Millisecond {
				t.Errorf("picture %d is %v after the one before: a picture is missing or its time is wrong", i, step)
			}
		}
	}
	slices.Sort(lag)
	t.Logf("%d pictures, %d IDRs; lag behind the presentation time: median %v, worst %v", len(pictures), idrs, lag[len(lag)/2], lag[len(lag)-1])
	if idrs < 2 || idrs > 5 {
		t.Errorf("%d IDRs in 5 s", idrs)
	}
	if got := r.children(); got != 1 {
		t.Errorf("%v children", got)
	}
	// The times that come out are those that went in, to the nanosecond.
	pictures = r.watch(sub, 30, reencoded)
	in := make(map[time.Duration]bool)
	for range len(raw.C) {
		in[(<-raw.C).PTS] = true
	}
	for i, u := range pictures {
		if !in[u.PTS] {
			t.Errorf("picture %d has the time %v, which no picture of the stream has", i, u.PTS)
		}
	}
	if got := r.view.Stream().Snapshot().Publication.ID; got != publication {
		t.Error("starting ffmpeg began a new publication")
	}

	r.view.Demand(false)
	eventually.True(t, "ffmpeg stops when nobody watches", func() bool { return r.children() == 0 })
	eventually.True(t, "exact pictures again", func() bool {
		select {
		case u := <-sub.C:
			return u.Kind == stream.Video && u.IDR && !reencoded(u)
		default:
			return false
		}
	})
	if s := r.view.Stream().Snapshot(); s.Publication == nil || s.Publication.ID != publication {
		t.Error("the leg was lost when ffmpeg stopped")
	}
}

// The clock of a publisher that begins in a hurry settles over its first pictures. These
// pictures have so few bytes that ffmpeg must not wait for many.
func TestViewReencodesEveryPictureOfAnAlmostStillOne(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	units := testunits.Load(t, mediatest.File(t, mediatest.Spec{
		Color: "blue", GOP: 10 * time.Second, BFrames: true, NoAudio: true, VideoArgs: []string{"-refs", "2"},
	}))
	const hurried, early = 6, 30 * time.Millisecond
	var pictures []*stream.AccessUnit
	for i, u := range units {
		own := *u
		back := time.Duration(max(hurried-i, 0)) * early
		own.PTS, own.DTS = u.PTS-back, u.DTS-back
		pictures = append(pictures, &own)
	}
	began := r.registry.Now()
	r.play(r.publish(primary), pictures)
	got := r.watch(sub, 60, reencoded)
	t.Logf("first picture %v after the publisher began", got[0].Arrival-began)
	if limit := 2500 * time.Millisecond; got[0].Arrival-began > limit {
		t.Errorf("the first picture came after %v", got[0].Arrival-began)
	}
	for i, u := range got[1:] {
		limit := 50 * time.Millisecond
		if i < hurried {
			limit += 2 * early
		}
		if step := u.PTS - got[i].PTS; step > limit {
			t.Errorf("picture %d is %v after the one before: a picture is missing", i+1, step)
		}
	}
}

func TestReencodedPicturesAreGood(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	raw := r.raw.Subscribe(1024)
	defer raw.Close()
	r.play(r.publish(primary), withBFrames(t))
	pictures := r.watch(sub, 60, reencoded)
	var source []*stream.AccessUnit
	for u := range drain(raw) {
		if u.Kind == stream.Video {
			source = append(source, u)
		}
	}
	base := source[0].DTS.Round(time.Millisecond)
	decode := func(name string, units []*stream.AccessUnit) map[time.Duration][]byte {
		path := filepath.Join(t.TempDir(), name)
		testunits.Save(t, path, shiftedVideo(units, -base))
		return testunits.Pictures(t, path, 320, 180)
	}
	want, got := decode("in.flv", source), decode("out.flv", pictures)
	worst, compared := 200.0, 0
	for at, p := range got {
		// A file has times in ms, each the sum of two rounded times.
		for _, near := range []time.Duration{at, at - time.Millisecond, at + time.Millisecond} {
			if q := want[near]; q != nil {
				compared++
				worst = min(worst, testunits.PSNR(p, q))
				break
			}
		}
	}
	t.Logf("%d of %d pictures compared, worst PSNR %.1f dB", compared, len(got), worst)
	if compared < 40 || worst < 28 {
		t.Errorf("%d pictures compared, worst PSNR %.1f dB", compared, worst)
	}
}

func drain(sub *stream.Subscription) func(func(*stream.AccessUnit) bool) {
	return func(yield func(*stream.AccessUnit) bool) {
		for {
			select {
			case u := <-sub.C:
				if !yield(u) {
					return
				}
			default:
				return
			}
		}
	}
}

func shiftedVideo(units []*stream.AccessUnit, d time.Duration) []*stream.AccessUnit {
	out := make([]*stream.AccessUnit, len(units))
	for i, u := range units {
		own := *u
		own.PTS, own.DTS = u.PTS+d, u.DTS+d
		out[i] = &own
	}
	return out
}

func TestViewFollowsATakeoverWithoutLoss(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(2048)
	defer sub.Close()
	r.play(r.publish(primary), withBFrames(t))
	r.watch(sub, 40, reencoded)
	before := r.view.Stream().Snapshot().Publication.ID

	lost := make(chan struct{})
	quit, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
			}
			if r.view.Stream().Snapshot().Publication == nil {
				close(lost)
				return
			}
		}
	})
	other := testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 6 * time.Second, BFrames: true, Width: 640, Height: 360}))
	r.play(r.publish(primary), other)
	r.watch(sub, 40, func(u *stream.AccessUnit) bool { return u.Format.Width == 640 && reencoded(u) })
	close(quit)
	watching.Wait()
	select {
	case <-lost:
		t.Error("the leg was lost during the takeover")
	default:
	}
	if r.view.Stream().Snapshot().Publication.ID == before {
		t.Error("the publication is the same as before")
	}
	eventually.True(t, "one ffmpeg is left", func() bool { return r.children() == 1 && len(ffmpegs(t)) == 1 })
}

func TestViewFollowsChangedParameters(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(2048)
	defer sub.Close()
	small := testunits.Of(stream.Video, testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second, BFrames: true, NoAudio: true})))
	large := testunits.Of(stream.Video, testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second, BFrames: true, NoAudio: true, Width: 640, Height: 360})))
	span := small[len(small)-1].DTS + 33*time.Millisecond
	r.play(r.publish(primary), append(slices.Clone(small), shiftedVideo(large, span)...))

	r.watch(sub, 30, func(u *stream.AccessUnit) bool { return u.Format.Width == 320 && reencoded(u) })
	publication := r.view.Stream().Snapshot().Publication.ID
	first := r.watch(sub, 30, func(u *stream.AccessUnit) bool { return u.Format.Width == 640 && reencoded(u) })
	if !first[0].IDR {
		t.Error("the first picture of the new size is not an IDR")
	}
	if s := r.view.Stream().Snapshot(); s.Publication == nil || s.Publication.ID != publication {
		t.Error("the leg was lost")
	}
	if got := testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues("parameters")); got < 1 {
		t.Errorf("%v restarts counted", got)
	}
}

func TestViewsKeepToTheLimit(t *testing.T) {
	cfg := withFFmpeg(t)
	cfg.MaxTranscodes, cfg.Linger = 1, 100*time.Millisecond
	r := newViewTest(t, cfg)
	r.view.Demand(true)
	units := withBFrames(t)
	r.play(r.publish(primary), units)
	eventually.True(t, "the first is re-encoded", func() bool { return r.children() == 1 })

	key := stream.Key{App: "live", ID: "backup"}
	other := r.views.Open(r.registry.Stream(key))
	defer other.Close()
	other.Demand(true)
	r.play(r.publish(key), units)
	eventually.True(t, "the second says that it has no place", func() bool {
		return slices.Contains(warnings(r.registry.Stream(key)), "TranscodesFull")
	})
	eventually.True(t, "but has exact pictures", func() bool { return other.Stream().Snapshot().EntryPoint })
	if r.children() != 1 {
		t.Errorf("%v children", r.children())
	}
	r.view.Demand(false)
	eventually.True(t, "the place is free for the second", func() bool {
		return r.children() == 1 && !slices.Contains(warnings(r.registry.Stream(key)), "TranscodesFull")
	})
}

func TestViewReencodesASlideshow(t *testing.T) {
	r := newViewTest(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.play(r.publish(primary), testunits.Load(t, mediatest.File(t, mediatest.Spec{
		Duration: 30 * time.Second, FPS: "2", GOP: 10 * time.Second, BFrames: true, NoAudio: true, VideoArgs: []string{"-refs", "2"},
	})))
	pictures := r.watch(sub, 12, reencoded)
	for i := 1; i < len(pictures); i++ {
		if step := (pictures[i].PTS - pictures[i-1].PTS).Round(10 * time.Millisecond); step != 500*time.Millisecond {
			t.Errorf("picture %d is %v after the one before", i, step)
		}
	}
	for _, reason := range []string{"hung", "exited"} {
		if got := testutil.ToFloat64(r.metrics.FFmpegRestarts.WithLabelValues(reason)); got != 0 {
			t.Errorf("%v restarts counted as %s", got, reason)
		}
	}
}
