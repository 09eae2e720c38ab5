package mediatest

import (
	"context"
	"errors"
	"net/url"
	"path"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
)

// ReplayOptions are the options of Replay.
type ReplayOptions struct {
	// Epoch is the wall-clock time of the programme's first picture. Two replayers with the
	// same epoch are in step, and a picture's age follows from its time code. If Epoch is
	// past, the replay begins with the next IDR that is due. Default: now.
	Epoch time.Time
	// Once ends the replay at the end of the programme. Otherwise the programme is
	// looped, with timestamps that go on.
	Once bool
	// AudioDelay sends audio that much later than it is due, with unchanged
	// timestamps. That is a stream whose audio is interleaved late.
	AudioDelay time.Duration
	// Timestamp is the first timestamp on the wire, in whole milliseconds. It is sent
	// modulo 2^32 ms.
	Timestamp time.Duration
	// Edit returns the tags to send instead of a tag. It imitates encoders that differ
	// from ffmpeg. Default: the tag itself.
	Edit func(flv.Tag) []flv.Tag
}

// A Replayer is an RTMP publisher that sends a tape in real time, in step with the
// wall clock. It is safe for concurrent use.
type Replayer struct {
	tape    *Tape
	options ReplayOptions
	conn    *rtmpConn
	name    string
	done    chan struct{}
	stop    context.CancelFunc

	mu sync.Mutex // guards all below
	// changed is closed and replaced when a field below changes.
	changed            chan struct{}
	paused             bool
	dropVideo, dropAud bool
	keyFramesOnly      bool
	shift              time.Duration
	err                error
}

// Replay connects to an rtmp:// URL and sends the tape. It ends when ctx ends, when the tape
// ends, with Kill or Stop, or when the server closes the connection.
func Replay(ctx context.Context, rtmpURL string, tape *Tape, options ReplayOptions) (*Replayer, error) {
	conn, err := dialRTMP(ctx, rtmpURL)
	if err != nil {
		return nil, err
	}
	if options.Epoch.IsZero() {
		options.Epoch = time.Now()
	}
	u, _ := url.Parse(rtmpURL) // can't fail: dialRTMP has parsed it
	ctx, cancel := context.WithCancel(ctx)
	r := &Replayer{
		tape: tape, options: options, conn: conn, name: path.Base(u.Path),
		done: make(chan struct{}), stop: cancel, changed: make(chan struct{}),
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer cancel()
		r.fail(conn.drain())
	})
	go func() {
		defer close(r.done)
		r.fail(r.send(ctx))
		_ = conn.conn.Close() // ends the reader
		reader.Wait()
		cancel()
	}()
	return r, nil
}

// Epoch returns the wall-clock time of the programme's first picture.
func (r *Replayer) Epoch() time.Time { return r.options.Epoch }

// Kill ends the connection without unpublishing, like a crash.
func (r *Replayer) Kill() {
	r.fail(errKilled)
	_ = r.conn.conn.Close()
	r.stop()
	<-r.done
}

// Stop unpublishes and ends the connection, like a user.
func (r *Replayer) Stop() {
	r.stop()
	<-r.done
}

// Pause stops sending: the connection stays open and silent. After Resume, everything that was due
// meanwhile is sent at once, as by a process that was stopped and goes on.
func (r *Replayer) Pause() { r.set(func() { r.paused = true }) }

// Resume ends a Pause.
func (r *Replayer) Resume() { r.set(func() { r.paused = false }) }

// Drop sets which tracks are left out from now on.
func (r *Replayer) Drop(video, audio bool) { r.set(func() { r.dropVideo, r.dropAud = video, audio }) }

// KeyFramesOnly sets whether all pictures but IDRs are left out from now on. That is
// like a shared still screen, with one picture each GOP.
func (r *Replayer) KeyFramesOnly(only bool) { r.set(func() { r.keyFramesOnly = only }) }

// Jump adds to all timestamps from now on.
func (r *Replayer) Jump(by time.Duration) { r.set(func() { r.shift += by }) }

// Done is closed when nothing is sent any more. Err then returns the reason.
func (r *Replayer) Done() <-chan struct{} { return r.done }

// Err waits for Done and returns why sending ended. It is nil after Stop, and at the
// end of the context or of the tape.
func (r *Replayer) Err() error {
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(r.err, errKilled) || errors.Is(r.err, context.Canceled) || errors.Is(r.err, errTapeEnd) {
		return nil
	}
	return r.err
}

var (
	errKilled  = errors.New("killed")
	errTapeEnd = errors.New("the tape has ended")
)

// fail keeps the first error.
func (r *Replayer) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *Replayer) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// lateStart is how late a replay may start and still begin with the first picture. The
// pictures that are late are then sent at once.
const lateStart = 100 * time.Millisecond

// A trackCursor is one track of a tape, with the position up to which it has been sent.
type trackCursor struct {
	media      []tapeTag
	next       int
	loopOffset time.Duration // length of all earlier rounds of the loop
	delay      time.Duration
}

// due returns when the next tag is to be sent, on the programme's clock.
func (e *trackCursor) due(zero time.Duration) time.Duration {
	return e.loopOffset + e.media[e.next].at - zero + e.delay
}

// advance goes to the next tag. It reports false at the end of the tape.
func (e *trackCursor) advance(duration time.Duration, once bool) bool {
	if e.next++; e.next == len(e.media) {
		if once {
			return false
		}
		e.next, e.loopOffset = 0, e.loopOffset+duration
	}
	return true
}

func (r *Replayer) send(ctx context.Context) error {
	zero := r.tape.zero
	reels := []*trackCursor{{media: r.tape.track(flv.VideoTag)}, {media: r.tape.track(flv.AudioTag), delay: r.options.AudioDelay}}
	if len(reels[1].media) == 0 {
		reels = reels[:1]
	}
	if len(reels[0].media) == 0 {
		reels = reels[1:]
	}
	if elapsed := time.Since(r.options.Epoch); elapsed > lateStart {
		start := elapsed
		for _, e := range reels {
			for e.due(zero)-e.delay < start || (e.media[e.next].tag == flv.VideoTag && !e.media[e.next].key) {
				if !e.advance(r.tape.Duration, r.options.Once) {
					return errTapeEnd
				}
			}
			start = e.due(zero) - e.delay // audio begins with the picture
		}
	}
	began := false
	for {
		e := reels[0]
		if len(reels) > 1 && reels[1].due(zero) < e.due(zero) {
			e = reels[1]
		}
		if err := r.wait(ctx, r.options.Epoch.Add(e.due(zero))); err != nil {
			if ctx.Err() != nil && r.alive() {
				_ = r.conn.conn.SetWriteDeadline(time.Now().Add(time.Second))
				_ = r.conn.bye(r.name) // the server need not wait for a timeout; an error does not matter
			}
			return err
		}
		unit := e.media[e.next]
		if !began {
			began = true
			for _, h := range r.tape.headers {
				h.at = unit.at
				if err := r.write(h, e.loopOffset); err != nil {
					return err
				}
			}
		}
		if err := r.write(unit, e.loopOffset); err != nil {
			return err
		}
		if !e.advance(r.tape.Duration, r.options.Once) {
			return errTapeEnd
		}
	}
}

func (r *Replayer) alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err == nil
}

// wait waits until t, and for as long as sending is paused.
func (r *Replayer) wait(ctx context.Context, t time.Time) error {
	for {
		r.mu.Lock()
		paused, changed := r.paused, r.changed
		r.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if paused {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		d := time.Until(t)
		if d <= 0 {
			return nil
		}
		timer := time.NewTimer(d)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (r *Replayer) write(unit tapeTag, loopOffset time.Duration) error {
	r.mu.Lock()
	drop, shift := r.dropAud, r.shift
	chunks := byte(rtmpAudioChunks)
	if unit.tag == flv.VideoTag {
		drop, chunks = r.dropVideo || r.keyFramesOnly && !unit.key, rtmpVideoChunks
	}
	r.mu.Unlock()
	if drop && !unit.sequence {
		return nil
	}
	timestamp := uint32((unit.at + loopOffset + r.options.Timestamp + shift) / time.Millisecond)
	_ = r.conn.conn.SetWriteDeadline(time.Now().Add(rtmpTimeout))
	tags := []flv.Tag{{Type: unit.tag, Timestamp: timestamp, Body: unit.body}}
	if r.options.Edit != nil {
		tags = r.options.Edit(tags[0])
	}
	for _, tag := range tags {
		if err := r.conn.write(chunks, tag.Timestamp, byte(tag.Type), r.conn.stream, tag.Body); err != nil {
			return err
		}
	}
	return nil
}
