package stream

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
)

const (
	// maxTakeovers is how many takeovers are allowed within takeoverWindow. If there are more, two
	// encoders seem to share a stream id.
	maxTakeovers   = 3
	takeoverWindow = time.Minute
)

// A Stream is one programme feed: its current publication, the access units since the last IDR, and
// its subscribers.
type Stream struct {
	key      Key
	registry *Registry
	metrics  *metrics.Metrics
	log      *slog.Logger
	parent   *Stream // nil: not a derived stream. A derived stream is not counted as ingest
	declared atomic.Bool

	mu            recovery.Mutex // guards all below, and the state of its publications
	current       *Publication
	pending       *Publication // a newcomer that waits for its first IDR
	contenders    []*Publication
	takeovers     []time.Duration
	subscriptions map[*Subscription]struct{}
	seq           uint64
	warnings      []Warning
	logged        []string // codes of warnings that were logged since the publication on air began
	lastUse       time.Duration
	undeclaredIn  *declaration  // nil: a StreamPair names the stream, or there are no StreamPairs
	advisedFor    *declaration  // the declaration that advice is about; nil: there is no advice yet
	advice        string        // the warning to the publisher of an undeclared stream; "": none yet
	refused       time.Duration // when a publisher was last refused because of the incumbent
	expulsions    []expulsion
	ignoresGaps   bool // see TolerateGaps
}

// A Warning tells users that a stream works less well than it could.
type Warning struct {
	// Code is stable, PascalCase: BFrames, NoEntryPoint, UnsupportedAudio, SharedStreamID …
	Code string `json:"code"`
	// Message is one sentence that says what to do.
	Message string `json:"message"`
}

func (r *Registry) newStream(k Key) *Stream {
	return &Stream{
		key: k, registry: r, metrics: r.cfg.Metrics,
		log:           r.cfg.Logger.With("stream", k.String()),
		subscriptions: make(map[*Subscription]struct{}),
	}
}

// NewDerived returns a stream outside the registry that shares its parent's name and clock. It is
// for the stream that package transcode makes from the parent.
func NewDerived(parent *Stream) *Stream {
	s := parent.registry.newStream(parent.key)
	s.parent = parent
	s.log = slog.New(slog.DiscardHandler) // the parent's log has it all
	return s
}

// Key returns the stream's name.
func (s *Stream) Key() Key { return s.key }

// Now returns the time on the media clock.
func (s *Stream) Now() time.Duration { return s.now() }

func (s *Stream) now() time.Duration { return s.registry.Now() }

func (s *Stream) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUse = s.now()
}

// idle reports whether nobody publishes or reads the stream, and when somebody last did or asked
// for it. A stream that refuses an expelled publisher is not idle.
func (s *Stream) idle() (idle bool, lastUse time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == nil && len(s.subscriptions) == 0 && len(s.inForce(s.now())) == 0, s.lastUse
}

// Cached returns the access units since the last IDR and the last 2 s of audio, in the order of
// their Seq. It returns none when nobody publishes.
func (s *Stream) Cached() []*AccessUnit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	return s.current.cache.units()
}

// RequestIDR asks the publisher for an IDR, and also newcomers that wait for their first IDR. It
// reports whether there is anybody who can be asked.
func (s *Stream) RequestIDR() bool {
	s.mu.Lock()
	publishers := append([]*Publication{s.current, s.pending}, s.contenders...)
	s.mu.Unlock()
	asked := false
	for _, p := range publishers {
		if p != nil && p.req.RequestIDR != nil {
			p.req.RequestIDR()
			asked = true
		}
	}
	return asked
}

// Warn shows a warning with the stream until the publication ends. A second warning with the same
// code replaces the message of the first.
func (s *Stream) Warn(code, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warn(code, message)
}

func (s *Stream) warn(code, message string) {
	i := slices.IndexFunc(s.warnings, func(w Warning) bool { return w.Code == code })
	switch {
	case i < 0:
		s.warnings = append(s.warnings, Warning{code, message})
	case s.warnings[i].Message == message:
		return
	default:
		s.warnings[i].Message = message
	}
	if !slices.Contains(s.logged, code) { // a warning that comes and goes is logged once for a publication
		s.logged = append(s.logged, code)
		s.log.Warn(message, "code", code)
	}
	s.notify()
}

// Unwarn withdraws a warning.
func (s *Stream) Unwarn(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwarn(code)
}

func (s *Stream) unwarn(code string) {
	n := len(s.warnings)
	s.warnings = slices.DeleteFunc(s.warnings, func(w Warning) bool { return w.Code == code })
	if len(s.warnings) != n {
		s.notify()
	}
}

// ParentChanged tells the subscribers of a derived stream to look at its Snapshot: the state of the
// parent in it may have changed.
func (s *Stream) ParentChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify()
}

// warnOfOverflow shows or withdraws the warning of a missing entry point. s.mu must be held.
func (s *Stream) warnOfOverflow() {
	const code = "NoEntryPoint"
	switch cache := &s.current.cache; {
	case cache.starved:
		s.warn(code, "The server's memory for caches is spent: viewers cannot join or switch to this stream until its next keyframe; set the encoder's keyframe interval to 2 seconds, or give the server more memory.")
	case cache.overflowed && s.parent == nil: // the warnings of a derived stream's parent say more
		s.warn(code, "No IDR within the cache bound: viewers cannot join or switch to this stream; set the encoder's keyframe interval to 2 seconds.")
	default:
		s.unwarn(code)
	}
}

func (s *Stream) notify() {
	for sub := range s.subscriptions {
		sub.notify()
	}
	if f := s.registry.cfg.OnChange; f != nil {
		f()
	}
}

// Publish begins a publication. The newest authenticated publisher wins. While the incumbent is
// live, the newcomer waits for its own first IDR, so that the takeover is a splice. Among
// publishers without a token, the first that sends media wins. Errors: ErrStreamInUse,
// ErrTooManyTakeovers, ErrExpelled.
func (s *Stream) Publish(req PublishRequest) (*Publication, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, loss := s.now(), s.registry.cfg.InputLoss
	switch {
	case req.Relayed:
		return s.publishRelayed(req, now)
	case s.isExpelled(req.Remote, now):
		return nil, fmt.Errorf("publish %s: %w", s.key, ErrExpelled)
	}
	if !req.Authenticated {
		return s.publishOpen(req, now)
	}
	if s.pending != nil && s.current.silent(now, loss) {
		if s.pending.waitsBehindLocal() {
			s.end(s.pending, EndTakenOver, ErrTakenOver) // p replaces the silent publisher in its stead
		} else {
			s.end(s.current, EndTakenOver, ErrTakenOver) // the newcomer that waited is the incumbent now
		}
	}
	p := s.newPublication(req, now)
	if s.current == nil {
		s.begin(p)
		return p, nil
	}
	if s.current.silent(now, loss) {
		s.end(s.current, EndTakenOver, ErrTakenOver)
		s.begin(p)
		return p, nil
	}
	if s.current.req.Relayed || !s.current.decodable && s.parent == nil {
		return s.waitForIDR(p), nil // a relayed publication gives way, and so does a publisher that has sent nothing
	}
	s.takeovers = slices.DeleteFunc(s.takeovers, func(t time.Duration) bool { return now-t > takeoverWindow })
	if len(s.takeovers) >= maxTakeovers && s.parent == nil { // takeovers of derived streams are not limited
		s.refuse()
		s.warn("SharedStreamID", fmt.Sprintf("More than %d takeovers of %s in %v: two encoders seem to share this stream id; give each its own.", maxTakeovers, s.key, takeoverWindow))
		return nil, fmt.Errorf("publish %s: %w", s.key, ErrTooManyTakeovers)
	}
	s.takeovers = append(s.takeovers, now)
	return s.waitForIDR(p), nil
}

// refuse notes that a publisher is refused because of the incumbent. s.mu must be held.
func (s *Stream) refuse() {
	known := s.conflict()
	s.refused = s.now()
	if !known {
		s.notify()
	}
}

func (s *Stream) conflict() bool { return s.refused != 0 && s.now()-s.refused < takeoverWindow }

// waitForIDR makes p the newcomer that is to replace the incumbent. s.mu must be held.
func (s *Stream) waitForIDR(p *Publication) *Publication {
	if s.pending != nil {
		s.end(s.pending, EndTakenOver, ErrTakenOver)
	}
	s.pending = p
	return p
}

// begin puts p on air. s.mu must be held.
func (s *Stream) begin(p *Publication) {
	s.current = p
	if s.pending == p {
		s.pending = nil
	}
	// The media that a newcomer sent while it waited comes after its predecessor's media.
	for _, u := range p.cache.units() {
		s.seq++
		u.Seq = s.seq
	}
	s.warnings = slices.DeleteFunc(s.warnings, func(w Warning) bool { return w.Code != "SharedStreamID" })
	s.logged = nil
	if s.parent == nil {
		s.metrics.StreamsLive.Inc()
		s.metrics.Publications.WithLabelValues(p.req.Protocol).Inc()
	}
	p.log(slog.LevelInfo, "publication began", "protocol", p.req.Protocol, "remote", p.req.Remote, "publication", p.id)
	s.warnUndeclared()
	s.notify()
}

// end takes p off air. s.mu must be held.
func (s *Stream) end(p *Publication, reason EndReason, err error) {
	if p.ended {
		return
	}
	p.ended = true
	close(p.done)
	p.cache.close()
	p.connectionMemory.Close()
	if p.silence != nil {
		p.silence.Stop()
	}
	if err != nil && p.req.Close != nil {
		go p.req.Close(err)
	}
	switch p {
	case s.pending:
		s.pending = nil
		return
	case s.current:
	default:
		s.removeContender(p)
		return // p was refused before it went on air
	}
	s.current = nil
	s.lastUse = s.now()
	if s.parent == nil {
		s.metrics.StreamsLive.Dec()
		s.metrics.IngestBitrateBPS.DeleteLabelValues(s.key.App, s.key.ID)
	}
	p.log(slog.LevelInfo, "publication ended", "reason", string(reason), "publication", p.id,
		"duration", (s.now() - p.since).Round(time.Millisecond), "frames", p.video.frames, "malformed", p.malformed,
		"clockJumps", p.clock.anchors)
	if s.pending != nil {
		s.begin(s.pending)
		return
	}
	if len(s.contenders) > 0 {
		next := s.contenders[0]
		s.removeContender(next)
		s.begin(next)
		return
	}
	s.warnings = nil
	s.notify()
}

// End ends all publications of the stream. Their publishers are told err.
func (s *Stream) End(reason EndReason, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range slices.Clone(s.contenders) {
		s.end(p, reason, err)
	}
	if s.pending != nil {
		s.end(s.pending, reason, err)
	}
	if s.current != nil {
		s.end(s.current, reason, err)
	}
}

// publish hands u to the subscribers. s.mu must be held.
func (s *Stream) publish(u *AccessUnit) {
	for sub := range s.subscriptions {
		sub.deliver(u)
	}
}
