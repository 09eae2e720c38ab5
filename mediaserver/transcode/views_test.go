package transcode

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/internal/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/transcode/internal/testunits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what takes a fraction of a second on a machine
// with nothing else to do.
const patience = 20 * time.Second

// rig is a registry with one view of one stream.
type rig struct {
	t        *testing.T
	registry *stream.Registry
	metrics  *metrics.Metrics
	views    *Views
	raw      *stream.Stream
	view     *View
}

func newRig(t *testing.T, cfg ViewsConfig) *rig {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg.Metrics, cfg.Logger = m, log
	r := &rig{t: t, metrics: m, views: NewViews(cfg)}
	r.registry = stream.NewRegistry(stream.Config{Metrics: m, Logger: log})
	r.raw = r.registry.Stream(stream.Key{App: "live", ID: "primary"})
	r.view = r.views.Open(r.raw)
	t.Cleanup(func() {
		r.view.Close()
		r.registry.Close()
		if n := r.children(); n != 0 {
			t.Errorf("%v ffmpeg children counted at the end", n)
		}
		if pids := ffmpegs(t); len(pids) != 0 {
			t.Errorf("ffmpeg %v are still there", pids)
		}
	})
	return r
}

func (r *rig) children() float64 { return testutil.ToFloat64(r.metrics.FFmpegChildren) }

func (r *rig) publish(key stream.Key) *stream.Publication {
	r.t.Helper()
	p, err := r.registry.Publish(stream.PublishRequest{Key: key, Authenticated: true, Protocol: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// play publishes units in real time, over and over, until the returned function is
// called or the publication ends.
func (r *rig) play(p *stream.Publication, units []*stream.AccessUnit) (stop func()) {
	quit := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		start, span := time.Now(), units[len(units)-1].DTS+33*time.Millisecond
		var format *stream.Format
		for loop := 0; ; loop++ {
			shift := time.Duration(loop) * span
			for _, u := range units {
				select {
				case <-time.After(time.Until(start.Add(u.DTS + shift))):
				case <-quit:
					return
				case <-p.Done():
					return
				}
				if u.Kind == stream.Audio {
					_ = p.SetAudioFormat(*u.Format)
					_ = p.WriteAudio(u.PTS+shift, u.Frame)
					continue
				}
				if format != u.Format {
					format = u.Format
					_ = p.SetVideoParameters(u.Format.SPS, u.Format.PPS)
				}
				nalus := u.NALUs
				if u.IDR {
					nalus = append([][]byte{u.Format.SPS, u.Format.PPS}, nalus...)
				}
				_ = p.WriteVideo(u.DTS+shift, u.PTS+shift, nalus)
			}
		}
	})
	var once sync.Once
	stop = func() {
		once.Do(func() { close(quit) })
		group.Wait()
	}
	r.t.Cleanup(stop)
	return stop
}

// wait waits until ok says so.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// watch collects what the view gives until it has n pictures that ok accepts.
func (r *rig) watch(sub *stream.Subscription, n int, ok func(*stream.AccessUnit) bool) []*stream.AccessUnit {
	r.t.Helper()
	var pictures []*stream.AccessUnit
	deadline := time.After(patience)
	for len(pictures) < n {
		select {
		case u := <-sub.C:
			if u.Kind == stream.Video && (ok == nil || ok(u)) {
				pictures = append(pictures, u)
			}
		case <-deadline:
			r.t.Fatalf("%d of %d pictures within %v", len(pictures), n, patience)
		}
	}
	return pictures
}

// ffmpegs are the ffmpeg processes that this process has started.
func ffmpegs(t *testing.T) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		pid, rest, _ := strings.Cut(string(data), " (")
		i := strings.LastIndex(rest, ") ")
		if i < 0 || rest[:i] != "ffmpeg" {
			continue
		}
		if fields := strings.Fields(rest[i+2:]); fields[1] == strconv.Itoa(os.Getpid()) {
			n, _ := strconv.Atoi(pid)
			pids = append(pids, n)
		}
	}
	return pids
}

var primary = stream.Key{App: "live", ID: "primary"}

// withBFrames is what x264 makes by default; 2 s GOP, AAC beside it.
func withBFrames(t *testing.T) []*stream.AccessUnit {
	t.Helper()
	return testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 6 * time.Second, BFrames: true, SampleRate: 44100}))
}

func withFFmpeg(t *testing.T) ViewsConfig {
	t.Helper()
	return ViewsConfig{FFmpegPath: mediatest.RequireFFmpeg(t), MaxTranscodes: 4}
}

func reencoded(u *stream.AccessUnit) bool { return u.DTS == u.PTS }

func warnings(s *stream.Stream) []string {
	var codes []string
	for _, w := range s.Snapshot().Warnings {
		codes = append(codes, w.Code)
	}
	return codes
}

func TestViewHandsOnWhatNeedsNoChange(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
	r.view.Demand(true)
	raw, derived := r.raw.Subscribe(512), r.view.Stream().Subscribe(512)
	defer raw.Close()
	defer derived.Close()
	r.play(r.publish(primary), testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second})))
	for range 90 {
		a, b := <-raw.C, <-derived.C
		if a.Kind != b.Kind || a.PTS != b.PTS || a.DTS != b.DTS || a.Arrival != b.Arrival || a.IDR != b.IDR || a.Format != b.Format {
			t.Fatalf("%+v became %+v", a, b)
		}
		if a.Kind == stream.Video && &a.NALUs[0][0] != &b.NALUs[0][0] || a.Kind == stream.Audio && &a.Frame[0] != &b.Frame[0] {
			t.Fatal("the media was copied")
		}
	}
	if got := warnings(r.raw); len(got) != 0 {
		t.Errorf("warnings %v", got)
	}
	if r.children() != 0 {
		t.Error("ffmpeg runs")
	}
}

func TestViewBeginsWithWhatIsCached(t *testing.T) {
	r := newRig(t, ViewsConfig{})
	r.view.Close()
	r.play(r.publish(primary), testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second})))
	wait(t, "some pictures", func() bool { return r.raw.Snapshot().GOPFrames > 10 })
	r.view = r.views.Open(r.raw)
	other := r.views.Open(r.raw)
	defer other.Close()
	if other.Stream() != r.view.Stream() {
		t.Error("two views of one stream do not share")
	}
	wait(t, "an entry point", func() bool { return r.view.Stream().Snapshot().EntryPoint })
	a, b := r.view.Stream().Snapshot(), r.raw.Snapshot()
	if a.Video.Interval != b.Video.Interval || !a.Audio.Announced || a.Publication.Protocol != "test" {
		t.Errorf("the view is %+v, the stream %+v", a, b)
	}
}

func TestViewWithoutFFmpegShowsOnlyExactPictures(t *testing.T) {
	r := newRig(t, ViewsConfig{MaxTranscodes: 4})
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.play(r.publish(primary), withBFrames(t))
	last := time.Duration(0)
	idrs := 0
	for _, u := range r.watch(sub, 6, nil) {
		if u.Format.Reordered {
			t.Error("a picture is said to be reordered")
		}
		if u.PTS <= last {
			t.Errorf("a picture at %v after one at %v", u.PTS, last)
		}
		last = u.PTS
		if u.IDR {
			idrs++
		}
	}
	if idrs == 6 {
		t.Error("only IDRs are shown")
	}
	if got := warnings(r.raw); !slices.Equal(got, []string{"BFrames"}) {
		t.Errorf("warnings %v, want BFrames", got)
	}
	// Though most pictures are left out, the stream is as live as its publisher.
	derived, raw := r.view.Stream().Snapshot(), r.raw.Snapshot()
	if derived.Video.Interval > 100*time.Millisecond || raw.Video.LastArrival-derived.Video.LastArrival > time.Second {
		t.Errorf("the view's video is %+v, the publisher's %+v", derived.Video, raw.Video)
	}
	if r.children() != 0 {
		t.Error("ffmpeg runs")
	}
}

func TestViewReencodesWhileSomebodyWatches(t *testing.T) {
	cfg := withFFmpeg(t)
	cfg.Linger = 300 * time.Millisecond
	r := newRig(t, cfg)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	units := withBFrames(t)
	r.play(r.publish(primary), units)
	wait(t, "an entry point", func() bool { return r.view.Stream().Snapshot().EntryPoint })
	if r.children() != 0 {
		t.Fatal("ffmpeg runs though nobody watches")
	}
	wait(t, "half a GOP", func() bool { return r.raw.Snapshot().GOPFrames > 30 })
	publication := r.view.Stream().Snapshot().Publication.ID

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
	// The times are those that went in, to the nanosecond.
	in := make(map[time.Duration]bool)
	for _, u := range r.raw.Cached() {
		in[u.PTS] = true
	}
	found := 0
	for _, u := range r.watch(sub, 30, reencoded) {
		if in[u.PTS] {
			found++
		}
	}
	if found < 2 {
		t.Errorf("%d of 30 times are those of the stream", found)
	}
	if got := r.view.Stream().Snapshot().Publication.ID; got != publication {
		t.Error("starting ffmpeg began a new publication")
	}

	r.view.Demand(false)
	wait(t, "ffmpeg stops when nobody watches", func() bool { return r.children() == 0 })
	wait(t, "exact pictures again", func() bool {
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

func TestReencodedPicturesAreGood(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	r.play(r.publish(primary), withBFrames(t))
	raw := r.raw.Subscribe(1024)
	defer raw.Close()
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
		if q := want[at]; q != nil {
			compared++
			worst = min(worst, testunits.PSNR(p, q))
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

func TestViewIsLostWhenItsChildFailsAndComesBack(t *testing.T) {
	for name, tc := range map[string]struct {
		signal syscall.Signal
		reason string
	}{
		"killed":  {syscall.SIGKILL, "exited"},
		"stopped": {syscall.SIGSTOP, "hung"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withFFmpeg(t))
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
			wait(t, "the leg is lost", func() bool { return r.view.Stream().Snapshot().Publication == nil })
			lost := time.Since(failed)
			wait(t, "the leg is back", func() bool { return r.view.Stream().Snapshot().EntryPoint })
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
			r := newRig(t, withFFmpeg(t))
			r.view.Demand(demand)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			p := r.publish(primary)
			stop := r.play(p, withBFrames(t))
			r.watch(sub, 2, func(u *stream.AccessUnit) bool { return reencoded(u) || !demand })
			stop()
			ended := time.Now()
			p.End(stream.EndClosed)
			wait(t, "the view is lost", func() bool { return r.view.Stream().Snapshot().Publication == nil })
			t.Logf("lost after %v", time.Since(ended))
			wait(t, "ffmpeg is gone", func() bool { return r.children() == 0 })

			r.play(r.publish(primary), withBFrames(t)) // and it comes back
			r.watch(sub, 2, func(u *stream.AccessUnit) bool { return reencoded(u) || !demand })
		})
	}
}

func TestViewFollowsATakeoverWithoutLoss(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
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
	wait(t, "one ffmpeg is left", func() bool { return r.children() == 1 && len(ffmpegs(t)) == 1 })
}

func TestViewFollowsChangedParameters(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
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
	r := newRig(t, cfg)
	r.view.Demand(true)
	units := withBFrames(t)
	r.play(r.publish(primary), units)
	wait(t, "the first is re-encoded", func() bool { return r.children() == 1 })

	key := stream.Key{App: "live", ID: "backup"}
	other := r.views.Open(r.registry.Stream(key))
	defer other.Close()
	other.Demand(true)
	r.play(r.publish(key), units)
	wait(t, "the second says that it has no place", func() bool {
		return slices.Contains(warnings(r.registry.Stream(key)), "TranscodesFull")
	})
	wait(t, "but has exact pictures", func() bool { return other.Stream().Snapshot().EntryPoint })
	if r.children() != 1 {
		t.Errorf("%v children", r.children())
	}
	r.view.Demand(false)
	wait(t, "the place is free for the second", func() bool {
		return r.children() == 1 && !slices.Contains(warnings(r.registry.Stream(key)), "TranscodesFull")
	})
}

func TestViewGoesOnWithoutAnFFmpegThatFails(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho \"Unknown encoder 'libx264'\" >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"ends at once": broken, "is not there": broken + "-not"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ViewsConfig{FFmpegPath: path, MaxTranscodes: 1})
			r.view.Demand(true)
			sub := r.view.Stream().Subscribe(1024)
			defer sub.Close()
			r.play(r.publish(primary), withBFrames(t))
			wait(t, "a warning", func() bool { return slices.Contains(warnings(r.raw), "TranscodeFailed") })
			r.watch(sub, 4, nil)
			if r.view.Stream().Snapshot().Publication == nil {
				t.Error("the leg is lost")
			}
		})
	}
}

func TestViewReencodesASlideshow(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
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

func TestViewNeedsNoFFmpegForBFramesThatNeverCome(t *testing.T) {
	r := newRig(t, withFFmpeg(t))
	r.view.Demand(true)
	sub := r.view.Stream().Subscribe(1024)
	defer sub.Close()
	plain := testunits.Of(stream.Video, testunits.Load(t, mediatest.File(t, mediatest.Spec{Duration: 2 * time.Second, NoAudio: true})))
	// Nobody decodes this: it only has to say that pictures may be reordered.
	format := *testunits.Of(stream.Video, withBFrames(t))[0].Format
	for _, u := range plain {
		u.Format = &format
	}
	r.play(r.publish(primary), plain)
	for i, u := range r.watch(sub, 90, nil) {
		if u.Format.Reordered {
			t.Fatalf("picture %d is said to be reordered", i)
		}
	}
	if !r.raw.Snapshot().Video.Format.Reordered {
		t.Error("the test's stream does not allow for B-frames")
	}
	if got := warnings(r.raw); len(got) != 0 || r.children() != 0 {
		t.Errorf("warnings %v, %v ffmpeg children", got, r.children())
	}
}

func TestViewWarnsOfAudioThatCannotBeDecoded(t *testing.T) {
	r := newRig(t, ViewsConfig{})
	p := r.publish(primary)
	if err := p.SetAudioFormat(stream.Format{Codec: stream.AAC, Config: []byte{0x11, 0xb0}, SampleRate: 48000, Channels: 6}); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteAudio(0, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a warning", func() bool { return slices.Contains(warnings(r.raw), "UnsupportedAudio") })
}
