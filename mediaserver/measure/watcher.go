package measure

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/measure/picture"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// depth is how many access units wait for the watcher: some 5 s of 60 fps and sound.
	depth = 512
	// reportEvery is how often a Report is made.
	reportEvery = 500 * time.Millisecond
	// firstRetry is the wait after a failure of ffmpeg. Each further failure doubles the wait, up to
	// lastRetry. An ffmpeg that has worked for workedFor starts the count anew.
	firstRetry, lastRetry, workedFor = time.Second, time.Minute, time.Minute
	// retryFull is how often a watcher without a place, or without memory, asks again.
	retryFull = 5 * time.Second
)

// WatcherConfig configures a Watcher.
type WatcherConfig struct {
	// Stream is the stream as its publisher sends it. Required.
	Stream *stream.Stream
	// Epoch is the zero point of the media clock.
	Epoch time.Time
	// FFmpegPath is the ffmpeg that decodes key frames. Default: pictures are not watched.
	FFmpegPath string
	// Places has a place for each ffmpeg that may run. Default: pictures are not watched.
	Places chan struct{}
	// Memory has the memory of each ffmpeg that runs. Required.
	Memory *budget.Children
	// Report is called with each Report. It must not block. Required.
	Report func(Report)
	// Thumbnail is called with a JPEG file for each key frame, at most one a second. It may keep the
	// file. Default: nothing is called.
	Thumbnail func(at time.Duration, jpeg []byte)
	// Recovery confines a panic to the Watcher. Default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Watcher measures the publications of one stream that are sent to this server. What a peer relays
// is left to the peer.
type Watcher struct {
	cfg WatcherConfig
	log *slog.Logger

	publication *stream.Publication // nil: none that is measured
	broken      *stream.Publication // made this Watcher panic, and is not measured any more
	pending     Report
	rates       RateMeter
	sound       SoundMeter
	picture     pictureWatch
}

// pictureWatch measures the pictures of one publication, by an ffmpeg.
type pictureWatch struct {
	decoder  *frameDecoder // nil: none runs
	meter    *picture.Meter
	failures int
	retry    time.Time // when another ffmpeg may be started
	why      Unwatched
}

// NewWatcher returns a Watcher. Call Run.
func NewWatcher(cfg WatcherConfig) *Watcher {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Thumbnail == nil {
		cfg.Thumbnail = func(time.Duration, []byte) {}
	}
	return &Watcher{cfg: cfg, log: cfg.Logger.With("stream", cfg.Stream.Key().ID)}
}

// Run measures until ctx ends. After a panic it begins anew with the next publication.
func (w *Watcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.cfg.Recovery.Do("measure", func() { w.watch(ctx) }) != nil {
			w.broken = w.publication
		}
		w.forget()
		w.publication = nil
	}
}

func (w *Watcher) watch(ctx context.Context) {
	sub := w.cfg.Stream.Subscribe(depth)
	defer sub.Close()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		var frames chan frame
		if w.picture.decoder != nil {
			frames = w.picture.decoder.frames
		}
		select {
		case <-ctx.Done():
			return
		case u := <-sub.C:
			w.take(u)
		case f, ok := <-frames:
			w.takeFrame(f, ok)
		case now := <-tick.C:
			w.supervise(now)
			w.report()
		}
	}
}

// take measures an access unit.
func (w *Watcher) take(u *stream.AccessUnit) {
	if u.Publication != w.publication {
		w.forget()
		w.publication = nil
		if u.Publication == nil || u.Publication.Relayed() || u.Publication == w.broken {
			return
		}
		w.publication = u.Publication
		w.pending = Report{Publication: w.cfg.Epoch.Add(u.Arrival).UnixNano()}
	}
	if rates := w.rates.Add(u); rates != nil {
		w.report() // has the rates of the second before
		w.pending.Rates = rates
	}
	if u.Kind == stream.Audio {
		w.takeSound(u)
	} else if u.IDR {
		w.takeKeyFrame(u)
	}
}

// forget ends what is measured of a publication.
func (w *Watcher) forget() {
	w.stopDecoder()
	w.rates, w.sound, w.picture = RateMeter{}, SoundMeter{}, pictureWatch{retry: w.picture.retry, failures: w.picture.failures, why: w.picture.why}
}

func (w *Watcher) takeSound(u *stream.AccessUnit) {
	blocks := w.sound.Add(u)
	w.pending.Undecoded = w.sound.Undecoded()
	for i := range blocks {
		w.pending.Sound = append(w.pending.Sound, blockOf(&blocks[i]))
		if len(w.pending.Sound) == maxBlocks {
			w.report()
		}
	}
}

func (w *Watcher) takeKeyFrame(u *stream.AccessUnit) {
	p, now := &w.picture, time.Now()
	if p.decoder != nil && (!bytes.Equal(p.decoder.format.SPS, u.Format.SPS) || !bytes.Equal(p.decoder.format.PPS, u.Format.PPS)) {
		w.stopDecoder()
		p.retry = now.Add(firstRetry) // so that an encoder that changes them all the time costs little
	}
	if p.decoder == nil && !w.startDecoder(u.Format, now) {
		return
	}
	p.decoder.decode(u, now)
}

// startDecoder starts an ffmpeg if there is one, and a place and memory for it. It reports whether one runs.
func (w *Watcher) startDecoder(f *stream.Format, now time.Time) bool {
	p := &w.picture
	if w.cfg.FFmpegPath == "" || cap(w.cfg.Places) == 0 {
		p.why = UnwatchedNoFFmpeg
		return false
	}
	if now.Before(p.retry) {
		return false
	}
	select {
	case w.cfg.Places <- struct{}{}:
	default:
		p.why, p.retry = UnwatchedFull, now.Add(retryFull)
		return false
	}
	if !w.cfg.Memory.Take(AnalyserMemory) {
		<-w.cfg.Places
		p.why, p.retry = UnwatchedNoMemory, now.Add(retryFull)
		return false
	}
	decoder, err := startDecoder(w.cfg.FFmpegPath, f, w.cfg.Recovery)
	if err != nil {
		w.cfg.Memory.Return(AnalyserMemory)
		<-w.cfg.Places
		w.log.Error("ffmpeg cannot be started to watch the picture", "err", err)
		w.failed(now)
		return false
	}
	if p.meter == nil {
		if p.meter, err = picture.NewMeter(picture.Config{Width: width, Height: height}); err != nil {
			panic(err) // the size is a constant
		}
	}
	p.decoder = decoder
	w.cfg.Metrics.FFmpegChildren.Inc()
	w.log.Info("ffmpeg started to watch the picture", "pid", decoder.PID)
	return true
}

// failed notes a failure of ffmpeg.
func (w *Watcher) failed(now time.Time) {
	p := &w.picture
	p.why, p.retry = UnwatchedFailed, now.Add(min(firstRetry<<min(p.failures, 8), lastRetry))
	p.failures++
}

// stopDecoder ends the ffmpeg, if one runs, and waits for its end.
func (w *Watcher) stopDecoder() {
	if d := w.picture.decoder; d != nil {
		w.picture.decoder = nil
		d.Stop()
		<-d.Done
		w.cfg.Memory.Return(AnalyserMemory)
		<-w.cfg.Places
		w.cfg.Metrics.FFmpegChildren.Dec()
	}
}

// takeFrame measures a decoded key frame. ok is false when ffmpeg has ended.
func (w *Watcher) takeFrame(f frame, ok bool) {
	d, p := w.picture.decoder, &w.picture
	if !ok {
		w.stopDecoder()
		w.log.Info("ffmpeg ended, which watched the picture", "err", d.Err)
		w.lose("exited")
		return
	}
	d.since, p.why = time.Time{}, ""
	if time.Since(d.Started) > workedFor {
		p.failures = 0
	}
	measured, err := p.meter.Measure(f.at, f.yuv)
	if err != nil {
		panic(err) // the size is a constant
	}
	if w.pending.Picture != nil {
		w.report()
	}
	w.pending.Picture = sampleOf(&measured)
	if measured.Thumbnail != nil {
		w.cfg.Thumbnail(f.at, bytes.Clone(measured.Thumbnail))
	}
	w.report()
}

// lose counts the end of an ffmpeg that should have gone on.
func (w *Watcher) lose(reason string) {
	w.cfg.Metrics.FFmpegRestarts.WithLabelValues(reason).Inc()
	w.failed(time.Now())
}

// supervise ends an ffmpeg that hangs.
func (w *Watcher) supervise(now time.Time) {
	if d := w.picture.decoder; d != nil && d.hangs(now) {
		w.log.Info("ffmpeg hangs, which watched the picture", "pid", d.PID)
		w.stopDecoder()
		w.lose("hung")
	}
	if p := w.publication; p != nil && p.Ended() {
		w.forget()
		w.publication = nil
	}
}

// report passes on what was measured since the last report.
func (w *Watcher) report() {
	if w.publication == nil {
		return
	}
	r := w.pending
	r.Unwatched = w.picture.why
	w.pending = Report{Publication: r.Publication, Undecoded: r.Undecoded}
	w.cfg.Report(r)
}
