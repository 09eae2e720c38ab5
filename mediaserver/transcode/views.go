package transcode

import (
	"context"
	"log/slog"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// FindFFmpeg returns the path of the ffmpeg on the PATH, or "" if there is none.
func FindFFmpeg() string {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return ""
	}
	return path
}

// ViewsConfig configures Views.
type ViewsConfig struct {
	// FFmpegPath is the ffmpeg that re-encodes video with B-frames; "" means none. See FindFFmpeg.
	FFmpegPath string
	// MaxTranscodes is how many streams may be re-encoded at one time; 0 means none.
	MaxTranscodes int
	// Linger is how long a stream is re-encoded after the last viewer has left; default 10 s.
	Linger time.Duration
	// Recovery confines a panic to its view; default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger; default none.
	Logger  *slog.Logger
	Metrics *metrics.Metrics
}

// Views are the views of all streams that are played. There is one view per stream.
type Views struct {
	cfg   ViewsConfig
	slots chan struct{} // one for each stream that is being re-encoded

	mu    recovery.Mutex // guards views and the refs of each view
	views map[*stream.Stream]*view
}

// NewViews returns Views without views.
func NewViews(cfg ViewsConfig) *Views {
	if cfg.Linger == 0 {
		cfg.Linger = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Views{cfg: cfg, slots: make(chan struct{}, max(cfg.MaxTranscodes, 0)), views: make(map[*stream.Stream]*view)}
}

// Open returns a View of raw, the stream as its publisher sends it. Views of one
// stream share the work. The caller must close the View.
func (vs *Views) Open(raw *stream.Stream) *View {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v := vs.views[raw]
	if v == nil {
		ctx, cancel := context.WithCancel(context.Background())
		v = newView(vs.cfg, vs.slots, raw)
		v.cancel = cancel
		vs.views[raw] = v
		go func() {
			defer close(v.ended)
			v.keepRunning(ctx)
		}()
	}
	v.refs++
	return &View{views: vs, shared: v}
}

// A View is a stream in a form that WebRTC can play: without B-frames.
//
// While nobody demands its pictures, a stream with B-frames gets only the pictures that need no
// re-encoding. The View's state always follows the publisher's. It is live when the publisher is
// live. It is lost at once when the publisher is lost or when ffmpeg fails.
type View struct {
	views    *Views
	shared   *view
	demands  atomic.Bool
	closedBy sync.Once
}

// Stream returns the derived stream. All Views of one stream have the same one.
func (v *View) Stream() *stream.Stream { return v.shared.derived }

// Demand sets whether somebody needs the pictures.
func (v *View) Demand(on bool) {
	if v.demands.Swap(on) == on {
		return
	}
	if on {
		v.shared.demand.Add(1)
	} else {
		v.shared.demand.Add(-1)
	}
	select {
	case v.shared.wake <- struct{}{}:
	default:
	}
}

// Close ends the View. With the last View of a stream the shared work ends too, and
// Close waits for that.
func (v *View) Close() {
	v.closedBy.Do(func() {
		v.Demand(false)
		v.views.mu.Lock()
		v.shared.refs--
		last := v.shared.refs == 0
		if last {
			delete(v.views.views, v.shared.raw)
		}
		v.views.mu.Unlock()
		if last {
			v.shared.cancel()
			<-v.shared.ended
		}
	})
}
