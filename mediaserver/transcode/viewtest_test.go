package transcode

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that takes a fraction of a second on
// an idle machine.
const patience = eventually.Patience

// A viewTest is a registry with one view of one stream.
type viewTest struct {
	t        *testing.T
	registry *stream.Registry
	metrics  *metrics.Metrics
	views    *Views
	raw      *stream.Stream
	view     *View
}

func newViewTest(t *testing.T, cfg ViewsConfig) *viewTest {
	t.Helper()
	return newViewTestWithStreams(t, cfg, stream.Config{})
}

func newViewTestWithStreams(t *testing.T, cfg ViewsConfig, streams stream.Config) *viewTest {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg.Metrics, cfg.Logger = m, log
	r := &viewTest{t: t, metrics: m, views: NewViews(cfg)}
	streams.Metrics, streams.Logger = m, log
	r.registry = stream.NewRegistry(streams)
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

func (r *viewTest) children() float64 { return testutil.ToFloat64(r.metrics.FFmpegChildren) }

func (r *viewTest) publish(key stream.Key) *stream.Publication {
	r.t.Helper()
	p, err := r.registry.Publish(stream.PublishRequest{Key: key, Authenticated: true, Protocol: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// play publishes units in real time, again and again. It ends when stop is called or
// the publication ends.
func (r *viewTest) play(p *stream.Publication, units []*stream.AccessUnit) (stop func()) {
	quit := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { testunits.Play(p, units, quit) })
	var once sync.Once
	stop = func() {
		once.Do(func() { close(quit) })
		group.Wait()
	}
	r.t.Cleanup(stop)
	return stop
}

// takePlace publishes another stream that is re-encoded, and returns a view of it. The
// view holds a slot for as long as pictures are demanded.
func (r *viewTest) takePlace(units []*stream.AccessUnit) *View {
	r.t.Helper()
	key := stream.Key{App: "live", ID: "other"}
	other := r.views.Open(r.registry.Stream(key))
	other.Demand(true)
	r.play(r.publish(key), units)
	eventually.True(r.t, "the other stream has a place", func() bool { return r.children() == 1 })
	return other
}

// watch collects the view's access units until it has n pictures that ok accepts.
func (r *viewTest) watch(sub *stream.Subscription, n int, ok func(*stream.AccessUnit) bool) []*stream.AccessUnit {
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

// ffmpegs returns the ffmpeg processes that this process has started.
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
			continue // it has ended meanwhile
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

// withBFrames returns a stream of x264's defaults, with a GOP of 2 s, and AAC.
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
