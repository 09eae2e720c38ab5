package rtc

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// RTP clock rates, RFC 6184 section 8.2.1 and RFC 7587 section 4.1.
const (
	videoClockRate = 90_000
	audioClockRate = 48_000
)

const (
	defaultPacketSize = 1200
	rtpHeaderSize     = 12

	maxVideoPackets = 16384 // half of what the 16-bit sequence number can distinguish
	maxVideoBytes   = 16 << 20
	maxAudioPackets = 512
	maxAudioBytes   = 1 << 20
	// nackWindow is how long packets older than the last entry point remain available to NACKs.
	nackWindow = 2 * time.Second

	// edgeMargin is how much earlier than expected the next picture may come without its timestamp
	// being in use already. A joining viewer's first pictures use timestamps up to then.
	edgeMargin = 50 * time.Millisecond

	// askInterval is the least time between two requests for an IDR while a viewer has no picture.
	askInterval = time.Second

	// idleInterval is the longest sleep of a fanout. Work that is due by the clock,
	// such as a sender report, is at most this late.
	idleInterval = 100 * time.Millisecond
)

// ErrOutputClosed is returned for viewers that come after the output has stopped.
var ErrOutputClosed = errors.New("this stream is being shut down; try again")

// OutputConfig configures an Output.
type OutputConfig struct {
	// Name of the pair or stream, for logs.
	Name string
	// Now is the media clock, Registry.Now. Required.
	Now func() time.Duration
	// RequestIDR asks the active source for an IDR, because a viewer needs one. It
	// limits the rate of requests itself and must not block. It reports whether the
	// source can be asked at all. Default: it can't.
	RequestIDR func() bool
	// SPS returns the sequence parameter set of the pictures to come, before the first
	// picture. It returns nil while that is unknown. Default: always unknown.
	SPS func() []byte
	// Egress is shared by all outputs of a server. Default: a new Egress of DefaultEgressBPS.
	Egress *Egress
	// ViewerBPS is the rate of bursts to one viewer, in bits per second. Bursts are
	// the pictures since the last IDR, after a join or a splice, and very large
	// pictures. Default: DefaultViewerBPS.
	ViewerBPS int64
	// PacketSize is the largest RTP packet in bytes, with its header but without
	// encryption and lower layers. Default: 1200.
	PacketSize int
	// HistoryPackets and HistoryBytes bound the video history. Defaults: 16384 (which
	// is also the maximum) and 16 MiB.
	HistoryPackets, HistoryBytes int
	// Budget bounds the memory of the histories of all outputs and of other caches
	// together; default: no limit. Declared reports whether StreamPairs name all that
	// the output plays; default: they do not.
	Budget   *budget.Budget
	Declared func() bool
	// Senders is the number of goroutines among which viewers are divided. Default: the number of
	// processor cores.
	Senders int
	// ConnectTimeout is how long a viewer may take from AddViewer to connected;
	// default 15 s. StallTimeout is how long nothing may get through to a connected
	// viewer; default 10 s.
	ConnectTimeout, StallTimeout time.Duration
	// Recovery confines a panic to its viewer; default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged. Metrics is required.
	Logger  *slog.Logger
	Metrics *metrics.Metrics

	// start replaces the random first numbers of a viewer's tracks. Tests use it to make them wrap.
	start *startNumbers
}

// class returns the class of the budget to which the histories belong.
func (cfg *OutputConfig) class() budget.Class {
	if cfg.Declared() {
		return budget.Histories
	}
	return budget.Undeclared
}

// startNumbers are the first sequence numbers and timestamps. They are random (RFC 3550
// section 5.1). A first sequence number is at most 2^15: otherwise the loss of the
// first packets could make the receiver miscount SRTP's roll-over.
type startNumbers struct {
	videoSequence, audioSequence   uint16
	videoTimestamp, audioTimestamp uint32
}

// An Output is the packetised RTP of one pair, or of one stream, and its viewers.
//
// Access units are packetised once, when they are written, into one history per track. The fanouts,
// which are goroutines of Run, then send to each viewer from its own position in the history to the
// end. Live media go at once, bursts are paced. Per viewer, only the RTP header is written and the
// packet encrypted. A viewer that can't take its packets loses them; no other viewer waits for it.
type Output struct {
	cfg     OutputConfig
	log     *slog.Logger
	start   startNumbers
	ntpZero time.Time // wall-clock time at the media clock's zero
	fanouts []*fanout
	changed chan struct{}

	video, audio *history
	lag          atomic.Int64 // how far the last live picture was behind the clock, ns
	format       atomic.Pointer[stream.Format]
	nextAsk      atomic.Int64 // when the source may next be asked for an IDR, ns on the media clock

	writeMu              sync.Mutex // guards what the Write methods use; one goroutine writes anyway
	videoFrame           uint64
	videoLast, audioLast int64 // last RTP time in ticks; -1 before the first
	audioNext            time.Duration
	silence              silence
	payloads             [][]byte // scratch
	packets              []packet // scratch

	mu      recovery.Mutex // guards viewers, closed and the fanouts' lists
	viewers map[*Viewer]struct{}
	closed  bool
	leaving sync.WaitGroup // viewers that have not finished yet
}

// NewOutput returns an Output without media or viewers. Viewers are served only while Run runs.
func NewOutput(cfg OutputConfig) *Output {
	if cfg.RequestIDR == nil {
		cfg.RequestIDR = func() bool { return false }
	}
	if cfg.SPS == nil {
		cfg.SPS = func() []byte { return nil }
	}
	if cfg.Budget == nil {
		cfg.Budget = budget.New(budget.Unlimited)
	}
	if cfg.Declared == nil {
		cfg.Declared = func() bool { return false }
	}
	if cfg.Egress == nil {
		cfg.Egress = NewEgress(0)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&cfg.ViewerBPS, DefaultViewerBPS)
	setDefault(&cfg.PacketSize, defaultPacketSize)
	setDefault(&cfg.HistoryPackets, maxVideoPackets)
	cfg.HistoryPackets = min(cfg.HistoryPackets, maxVideoPackets)
	setDefault(&cfg.HistoryBytes, maxVideoBytes)
	setDefault(&cfg.Senders, runtime.GOMAXPROCS(0))
	setDefault(&cfg.ConnectTimeout, 15*time.Second)
	setDefault(&cfg.StallTimeout, 10*time.Second)
	o := &Output{
		cfg:       cfg,
		log:       cfg.Logger.With("output", cfg.Name),
		ntpZero:   time.Now().Add(-cfg.Now()),
		changed:   make(chan struct{}, 1),
		video:     newHistory(cfg.HistoryPackets, cfg.HistoryBytes, ticks(nackWindow, videoClockRate), cfg.Budget, cfg.class),
		audio:     newHistory(maxAudioPackets, maxAudioBytes, ticks(nackWindow, audioClockRate), cfg.Budget, cfg.class),
		videoLast: -1, audioLast: -1,
		viewers: map[*Viewer]struct{}{},
	}
	if cfg.start != nil {
		o.start = *cfg.start
	} else {
		o.start = startNumbers{videoTimestamp: rand.Uint32(), audioTimestamp: rand.Uint32()}
	}
	for number := range cfg.Senders {
		o.fanouts = append(o.fanouts, newFanout(o, number))
	}
	return o
}

func setDefault[T comparable](value *T, fallback T) {
	if *value == *new(T) {
		*value = fallback
	}
}

// Run serves viewers until ctx is done, then disconnects them. It returns ctx's error.
func (o *Output) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range o.fanouts {
		group.Go(func() error { return s.keepRunning(ctx) })
	}
	err := group.Wait()
	o.mu.Lock()
	o.closed = true
	viewers := o.viewerList()
	o.mu.Unlock()
	for _, v := range viewers { // all at once: one of them may be slow
		v.end(ClosedByUs)
	}
	for _, v := range viewers {
		<-v.done
	}
	o.leaving.Wait()
	o.video.close()
	o.audio.close()
	return err
}

// WriteVideo packetises a picture and wakes the fanouts. at, on the media clock,
// becomes the RTP timestamp. It must increase from call to call; otherwise the picture
// gets the timestamp one tick after the picture before. burst marks a picture that is
// one of many written at once, as in a splice, so that it may be paced.
//
// WriteVideo never waits for a viewer.
func (o *Output) WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool) {
	o.writeMu.Lock()
	defer o.writeMu.Unlock()
	o.payloads = appendH264Payloads(o.payloads[:0], u, o.cfg.PacketSize-rtpHeaderSize)
	if len(o.payloads) == 0 {
		return
	}
	if !burst {
		o.lag.Store(int64(o.cfg.Now() - at))
	}
	if u.IDR && u.Format != nil {
		o.format.Store(u.Format)
	}
	timestamp := max(ticks(at, videoClockRate), o.videoLast+1)
	o.videoLast = timestamp
	o.videoFrame++
	o.packets = o.packets[:0]
	for i, payload := range o.payloads {
		o.packets = append(o.packets, packet{
			payload:   payload,
			timestamp: timestamp,
			frame:     o.videoFrame,
			marker:    i == len(o.payloads)-1,
			entry:     i == 0 && u.IDR,
			burst:     burst,
		})
	}
	o.publish(o.video)
}

// WriteOpus adds one Opus packet of that duration and wakes the fanouts. at is on the same
// clock as in WriteVideo, so that sound and picture stay together. Most packets of a long silence
// are not sent.
func (o *Output) WriteOpus(at, duration time.Duration, opus []byte) {
	o.writeMu.Lock()
	defer o.writeMu.Unlock()
	late := o.audioLast < 0 || at > o.audioNext+duration/2
	o.audioNext = at + duration
	if late {
		o.silence = silence{} // receivers conceal the gap
	}
	payload, resumes := o.silence.transmit(at, duration, opus)
	if payload == nil {
		return
	}
	o.audioLast = max(ticks(at, audioClockRate), o.audioLast+1)
	// RFC 3551 section 4.1: the marker is set on the first packet after a pause.
	o.packets = append(o.packets[:0], packet{payload: payload, timestamp: o.audioLast, marker: late || resumes, entry: true})
	o.publish(o.audio)
}

// SPS returns the sequence parameter set of the last IDR. Before the first IDR it
// returns that of the pictures to come, or nil while that is unknown.
func (o *Output) SPS() []byte {
	if f := o.format.Load(); f != nil {
		return f.SPS
	}
	return o.cfg.SPS()
}

func (o *Output) publish(h *history) {
	h.add(o.packets)
	clear(o.packets)
	clear(o.payloads)
	for _, s := range o.fanouts {
		s.signal()
	}
}

// ViewerCount returns the number of viewers, including those that are still connecting.
func (o *Output) ViewerCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.viewers)
}

// IsWatched reports whether media has been sent to a viewer that is still connected.
func (o *Output) IsWatched() bool {
	return slices.ContainsFunc(o.viewerList(), func(v *Viewer) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.hasMedia && !v.closed
	})
}

// ViewersChanged receives after ViewerCount has changed. Several changes may be received as one.
func (o *Output) ViewersChanged() <-chan struct{} { return o.changed }

// BurstDuration estimates how long it takes to send that many bytes to every viewer
// besides the live media. That is the cost of a splice from a cache.
func (o *Output) BurstDuration(bytes int) time.Duration {
	n := o.ViewerCount()
	if n == 0 {
		return 0
	}
	seconds := func(bytes, bps float64) time.Duration {
		return time.Duration(bytes * 8 / bps * float64(time.Second))
	}
	perViewer := seconds(max(0, float64(bytes-viewerBurst)), float64(o.cfg.ViewerBPS))
	return max(perViewer, seconds(float64(bytes)*float64(n), o.cfg.Egress.left())-egressBurst)
}

// viewerList returns all viewers. The caller must hold o.mu.
func (o *Output) viewerList() []*Viewer {
	list := make([]*Viewer, 0, len(o.viewers))
	for v := range o.viewers {
		list = append(list, v)
	}
	return list
}

// liveEdge returns the least video timestamp that a picture written now would have,
// judged by the last picture.
func (o *Output) liveEdge(now time.Duration) int64 {
	return ticks(now-time.Duration(o.lag.Load())-edgeMargin, videoClockRate)
}

// askForIDR asks the source for an IDR, at most once in askInterval. It is called each
// time that a viewer without a picture is served.
func (o *Output) askForIDR(now time.Duration) {
	if next := o.nextAsk.Load(); int64(now) >= next && o.nextAsk.CompareAndSwap(next, int64(now+askInterval)) {
		o.cfg.RequestIDR()
	}
}

// attach registers v and gives it to the fanout with the fewest viewers.
func (o *Output) attach(v *Viewer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrOutputClosed
	}
	if o.cfg.Egress.overloaded(o.cfg.Now()) {
		return ErrOverloaded
	}
	v.fanout = slices.MinFunc(o.fanouts, func(a, b *fanout) int { return len(a.list()) - len(b.list()) })
	v.wake = v.fanout.signal
	v.fanout.set(append(slices.Clone(v.fanout.list()), v))
	o.viewers[v] = struct{}{}
	o.leaving.Add(1)
	o.notifyChanged()
	return nil
}

// detach undoes attach. Run ends when all viewers are detached.
func (o *Output) detach(v *Viewer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v.fanout.set(slices.DeleteFunc(slices.Clone(v.fanout.list()), func(w *Viewer) bool { return v == w }))
	delete(o.viewers, v)
	o.leaving.Done()
	o.notifyChanged()
}

func (o *Output) notifyChanged() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// ticks returns a time on the media clock in RTP clock ticks.
func ticks(d time.Duration, rate int64) int64 {
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}
