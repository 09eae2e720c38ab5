package audience

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// quietLimit without a picture, together with a broken feed, means
	// that the pod is gone. frozenLimit without a picture means so alone.
	quietLimit  = 300 * time.Millisecond
	frozenLimit = 5 * time.Second
	// openLimit bounds the wait for the answer, and
	// pictureLimit the wait for the first picture after it.
	openLimit    = time.Second
	pictureLimit = 2 * time.Second
	// pollInterval is how often a watcher checks its session.
	pollInterval = 20 * time.Millisecond
	// retryDelay is the time between two attempts.
	retryDelay = 100 * time.Millisecond
)

// WatcherConfig says what a Watcher watches.
type WatcherConfig struct {
	// Base is the base URL at which the watcher begins, without a slash at the end.
	Base string
	// Others are base URLs that are tried in turn with Base when the session is lost.
	// If the server is about to end, they are tried while the session still plays.
	Others []string
	// Direct makes the media come from the host of the base URL, if the server
	// has that address, and not through a load balancer. Unlike browsers, pion
	// does not move to another address when the one in use is lost.
	Direct bool
	// App, StreamID and BackupStreamID name the pair's streams.
	App, StreamID, BackupStreamID string
	// Logf logs sessions that are opened and lost. Default: nothing is logged.
	Logf func(format string, args ...any)
}

// A Watcher is a viewer made of pion. It has one WHEP session after another. The
// next one is opened when the server says that it is about to end, or is gone.
type Watcher struct {
	cfg     WatcherConfig
	client  *http.Client
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex // guards all below
	bases    []string
	pictures measure.Pictures
	opened   int
	session  string
}

// Watch opens a session at the base, and waits for its first
// picture. Close must be called. ctx only bounds the opening.
func Watch(ctx context.Context, cfg WatcherConfig) (*Watcher, error) {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	w := &Watcher{
		cfg: cfg, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		bases: append([]string{cfg.Base}, cfg.Others...),
	}
	first, err := w.open(ctx, cfg.Base)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.running.Go(func() { w.watch(life, first) })
	return w, nil
}

// Close ends the session.
func (w *Watcher) Close() {
	w.stop()
	w.running.Wait()
}

// Learn replaces the base URLs to try. New pods have new
// addresses, which a browser gets from the event stream.
func (w *Watcher) Learn(bases ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bases = bases
}

// Pictures returns the pictures seen so far.
func (w *Watcher) Pictures() measure.Pictures {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pictures)
}

// Opened returns how many sessions the watcher has had.
func (w *Watcher) Opened() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// Session returns the URL of the session.
func (w *Watcher) Session() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

// An openSession is one session, with the number of its pictures that were noted.
type openSession struct {
	base   string
	viewer *mediatest.Viewer
	feed   *feed
	leave  context.CancelFunc // ends the feed
	seen   int
	last   time.Time
}

func (w *Watcher) watch(ctx context.Context, s *openSession) {
	for {
		why := w.follow(ctx, s)
		if ctx.Err() != nil {
			s.leave()
			s.viewer.Close()
			return
		}
		w.cfg.Logf("%s left %s: %v", time.Now().Format(clock), s.base, why)
		next := w.reopen(ctx, s, errors.Is(why, errDraining))
		s.leave()
		// Closing the session of a dead server takes a timeout.
		w.running.Go(s.viewer.Close)
		if next == nil {
			return
		}
		s = next
	}
}

var errDraining = errors.New("the server is about to end")

// follow notes pictures until the session must be left, and returns why.
func (w *Watcher) follow(ctx context.Context, s *openSession) error {
	for {
		w.note(s)
		now := time.Now()
		quiet := now.Sub(s.last)
		lost := s.feed.lost(now)
		switch {
		case s.feed.isDraining():
			return errDraining
		case lost != nil && quiet > quietLimit:
			return lost
		case s.feed.isOnAir() && quiet > frozenLimit:
			return fmt.Errorf("no picture for %v", quiet.Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.viewer.Failed():
			return errors.New("the connection has failed or was closed")
		case <-time.After(pollInterval):
		}
	}
}

// note adds the session's new pictures.
func (w *Watcher) note(s *openSession) {
	pictures := s.viewer.PicturesFrom(s.seen)
	s.seen += len(pictures)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range pictures {
		s.last = p.Arrival
		w.pictures = append(w.pictures, p.Arrival)
	}
	if len(pictures) > 0 {
		slices.SortFunc(w.pictures[max(0, len(w.pictures)-2*len(pictures)-10):], time.Time.Compare)
	}
}

// reopen tries all bases in turn until one plays; nil: ctx has
// ended. Meanwhile the old session continues as long as it can.
func (w *Watcher) reopen(ctx context.Context, old *openSession, draining bool) *openSession {
	w.mu.Lock()
	bases := slices.Clone(w.bases)
	w.mu.Unlock()
	// The base of the old session comes last.
	slices.SortStableFunc(bases, func(a, b string) int { return btoi(a == old.base) - btoi(b == old.base) })
	for n := 0; ctx.Err() == nil; n++ {
		attempt, cancel := context.WithCancel(ctx)
		opened := make(chan *openSession, 1)
		go func() {
			defer cancel()
			s, err := w.open(attempt, bases[n%len(bases)])
			if err != nil {
				w.cfg.Logf("%s not at %s: %v", time.Now().Format(clock), bases[n%len(bases)], err)
			}
			opened <- s
		}()
		for waiting := true; waiting; {
			select {
			case s := <-opened:
				if s != nil {
					w.note(old)
					return s
				}
				waiting = false
			case <-time.After(pollInterval):
				w.note(old)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryDelay):
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// open opens a session and waits for its first picture.
func (w *Watcher) open(ctx context.Context, base string) (*openSession, error) {
	pair := "/" + w.cfg.StreamID + "?backupStreamId=" + w.cfg.BackupStreamID
	limited, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	options := mediatest.WatchOptions{Client: w.client, TimesOnly: true}
	if w.cfg.Direct {
		options.Answer = func(sdp string) string { return onlyHost(sdp, base) }
	}
	viewer, err := mediatest.WatchWHEP(limited, base+"/"+w.cfg.App+"/whep"+pair, options)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(pictureLimit); ; time.Sleep(pollInterval) {
		if p := viewer.PicturesFrom(0); len(p) > 0 {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			w.running.Go(viewer.Close) // this takes a while if the server is gone
			return nil, fmt.Errorf("no picture within %v", pictureLimit)
		}
	}
	w.mu.Lock()
	w.opened++
	w.session = viewer.Session().String()
	w.mu.Unlock()
	// The feed lives as long as the session, which has no context.
	life, leave := context.WithCancel(context.WithoutCancel(ctx))
	events := base + "/" + w.cfg.App + "/events" + pair + "&session=" + path.Base(viewer.Session().Path)
	s := &openSession{base: base, viewer: viewer, leave: leave, last: time.Now()}
	s.feed = followFeed(life, w.client, events, time.Now(), &w.running)
	w.cfg.Logf("%s session %s", time.Now().Format(clock), viewer.Session())
	return s, nil
}

// onlyHost keeps only the candidates of the base URL's host in an answer, if there are any.
func onlyHost(sdp, base string) string {
	u, err := url.Parse(base)
	if err != nil || !strings.Contains(sdp, " "+u.Hostname()+" ") {
		return sdp
	}
	var kept []string
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "a=candidate:") || strings.Contains(line, " "+u.Hostname()+" ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
