package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
)

// Errors of Registry.Publish, and of functions that ask whether a publisher may come. Each text is
// one sentence for the publisher.
var (
	ErrStreamInUse       = errors.New("another publisher is live on this stream id; stop it first, or publish with a token to take over")
	ErrTooManyTakeovers  = errors.New("two encoders keep taking this stream id from each other; give each its own stream id")
	ErrTooManyStreams    = errors.New("the server has as many streams as it accepts; try again later")
	ErrInvalidStreamID   = errors.New("app and stream id must be 1 to 128 letters, digits, '.', '_' or '-', and begin with a letter or digit")
	ErrPublicationEnded  = errors.New("the publication has ended")
	ErrTakenOver         = errors.New("a newer publisher took over this stream id")
	ErrSameStream        = errors.New("name and backupStreamId must be two different streams")
	ErrUndeclared        = errors.New("no StreamPair names this stream; use a stream id that the StreamPair declares")
	ErrRevoked           = errors.New("the token that this publisher came with was replaced; publish with the new one")
	ErrPaused            = errors.New("the StreamPair of this stream is paused")
	ErrShuttingDown      = errors.New("the server is shutting down")
	errNoParameterSets   = errors.New("picture before its SPS and PPS")
	errNoPicture         = errors.New("no slice in access unit")
	errPresentationTime  = errors.New("presentation time too far from decoding time")
	errMalformedSPS      = errors.New("malformed SPS")
	errUnsupportedFormat = errors.New("unsupported audio format")
)

// IsUnknown reports whether err says that a stream or a pair is not here and never will be: each
// later attempt with the same ids fails too.
func IsUnknown(err error) bool {
	return errors.Is(err, ErrUndeclared) || errors.Is(err, ErrInvalidStreamID) || errors.Is(err, ErrSameStream)
}

// A Key names a stream. The app is the first path segment of every URL of the stream.
type Key struct{ App, ID string }

// String returns "app/id".
func (k Key) String() string { return k.App + "/" + k.ID }

var segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Valid reports whether app and id are usable as URL path segments.
func (k Key) Valid() bool { return segment.MatchString(k.App) && segment.MatchString(k.ID) }

// Config configures a Registry.
type Config struct {
	// InputLoss is how long a publisher may be silent before a newcomer replaces it at once;
	// default 1 s. (The time after which viewers are switched is the pair's own setting.)
	InputLoss time.Duration
	// MaxCacheBytes and MaxCacheDuration bound the GOP cache of each stream;
	// defaults 16 MiB and 12 s.
	MaxCacheBytes    int
	MaxCacheDuration time.Duration
	// Budget bounds the memory of the GOP caches of all streams together; default: no limit.
	Budget *budget.Budget
	// MaxStreams bounds the number of streams that are known at a time; default 256.
	MaxStreams int
	// OnChange is called when any stream's Snapshot changed in more than figures. OnChange must not
	// block, and must not call the registry. Default: nothing is called.
	OnChange func()
	// Logger logs who publishes. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics has the counters. Default: counters that nobody reads.
	Metrics *metrics.Metrics
}

// A Registry holds the streams of one server.
type Registry struct {
	cfg   Config
	epoch time.Time

	mu       recovery.Mutex // guards all below; taken before any Stream's
	streams  map[Key]*Stream
	declared *declaration
	closed   bool
	draining bool
}

// NewRegistry returns an empty Registry whose media clock starts now.
func NewRegistry(cfg Config) *Registry {
	if cfg.InputLoss == 0 {
		cfg.InputLoss = time.Second
	}
	if cfg.MaxCacheBytes == 0 {
		cfg.MaxCacheBytes = 16 << 20
	}
	if cfg.MaxCacheDuration == 0 {
		cfg.MaxCacheDuration = 12 * time.Second
	}
	if cfg.Budget == nil {
		cfg.Budget = budget.New(budget.Unlimited)
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 256
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New(prometheus.NewRegistry())
	}
	// The epoch is a second before now, so that no event has the zero time.
	return &Registry{cfg: cfg, epoch: time.Now().Add(-time.Second), streams: make(map[Key]*Stream)}
}

// Epoch returns the zero of the media clock as time of day.
func (r *Registry) Epoch() time.Time { return r.epoch }

// Now returns the time on the media clock.
func (r *Registry) Now() time.Duration { return time.Since(r.epoch) }

// Stream returns the stream with the name k. It makes the stream if there is none. Beyond
// MaxStreams, the new stream replaces a stream that nobody uses. If all are in use, there is one
// more.
func (r *Registry) Stream(k Key) *Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream(k)
}

func (r *Registry) stream(k Key) *Stream {
	s := r.streams[k]
	if s == nil {
		if len(r.streams) >= r.cfg.MaxStreams {
			r.forgetIdle()
		}
		s = r.newStream(k)
		s.setDeclared(r.declared)
		r.streams[k] = s
	}
	s.touch()
	return s
}

// forgetGrace is how long a stream that nobody publishes or reads is kept. Whoever asked for it may
// be about to use it.
const forgetGrace = time.Minute

// forgetIdle removes the streams that nobody publishes, reads or has lately asked for. If there are
// none, it removes the idle stream that was not asked for for the longest time. mu must be held.
func (r *Registry) forgetIdle() {
	var oldest *Stream
	var oldestUse time.Duration
	forgot := false
	for _, s := range r.streams {
		idle, lastUse := s.idle()
		switch {
		case !idle:
		case r.Now()-lastUse >= forgetGrace:
			r.forget(s)
			forgot = true
		case oldest == nil || lastUse < oldestUse:
			oldest, oldestUse = s, lastUse
		}
	}
	if !forgot && oldest != nil {
		r.forget(oldest)
	}
}

func (r *Registry) forget(s *Stream) {
	delete(r.streams, s.key)
	labels := prometheus.Labels{"app": s.key.App, "stream": s.key.ID}
	r.cfg.Metrics.IngestBytes.DeletePartialMatch(labels)
	r.cfg.Metrics.SRTPackets.DeletePartialMatch(labels)
}

// Streams returns the streams that somebody publishes or subscribes to, sorted by name.
func (r *Registry) Streams() []*Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Stream
	for _, s := range r.streams {
		if idle, _ := s.idle(); !idle {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Stream) int { return strings.Compare(a.key.String(), b.key.String()) })
	return out
}

// Publish begins a publication of req.Key. Errors: ErrInvalidStreamID,
// ErrStreamInUse, ErrTooManyTakeovers, ErrTooManyStreams, ErrShuttingDown, ErrExpelled.
func (r *Registry) Publish(req PublishRequest) (*Publication, error) {
	p, err := r.publish(req)
	if err != nil {
		return nil, err
	}
	p.stream.advise()
	return p, nil
}

// publish does what Publish does, but does not advise the publisher.
func (r *Registry) publish(req PublishRequest) (*Publication, error) {
	if !req.Key.Valid() {
		return nil, fmt.Errorf("publish %q: %w", req.Key, ErrInvalidStreamID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.draining && !req.Relayed {
		return nil, ErrShuttingDown
	}
	s := r.streams[req.Key]
	if s == nil {
		if len(r.streams) >= r.cfg.MaxStreams {
			r.forgetIdle()
		}
		if len(r.streams) >= r.cfg.MaxStreams {
			return nil, ErrTooManyStreams
		}
		s = r.stream(req.Key)
	}
	return s.Publish(req)
}

// Drain refuses new publications from now on. Publications that run go on, and are marked as
// leaving. Relayed publications may still begin, for the viewers that have not left.
func (r *Registry) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	for _, s := range r.streams {
		s.leave()
	}
}

// Close ends every publication and refuses new ones.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	streams := make([]*Stream, 0, len(r.streams))
	for _, s := range r.streams {
		streams = append(streams, s)
	}
	r.mu.Unlock()
	for _, s := range streams {
		s.End(EndShutdown, ErrShuttingDown)
	}
}
