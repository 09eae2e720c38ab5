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
	// quietLimit without a picture tells, beside a broken feed, that the pod has gone;
	// frozenLimit without one tells so by itself.
	quietLimit  = 300 * time.Millisecond
	frozenLimit = 5 * time.Second
	// openLimit is for the answer, pictureLimit for the first picture after it.
	openLimit    = time.Second
	pictureLimit = 2 * time.Second
	// pollInterval is how often a watcher looks at what it has.
	pollInterval = 20 * time.Millisecond
	// retryDelay lies between two attempts.
	retryDelay = 100 * time.Millisecond
)

// WatcherConfig says what a Watcher watches.
type WatcherConfig struct {
	// Base is where it begins: a base URL without a slash at the end.
	Base string
	// Others are base URLs to be tried in turn with Base when the session is lost, and
	// before it when its server is about to end.
	Others []string
	// Direct has the media come from the host of the base URL, where the server has that
	// address, and not by way of a load balancer that it tells of too: pion, unlike
	// browsers, does not go over to another address when the one it uses is lost.
	Direct bool
	// App and the streams of the pair.
	App, StreamID, BackupStreamID string
	// Logf tells of sessions opened and lost; default: nobody.
	Logf func(format string, args ...any)
}

// A Watcher is a viewer made of pion: one WHEP session after another, the next one when
// the server says that it is about to end, or has gone.
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

// Watch opens a session at the base, and waits for its first picture. Close must be called.
// ctx bounds the opening only.
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

// Learn gives it other base URLs to try, in place of Base and Others: pods that are made anew
// have new addresses, of which the event stream tells a browser.
func (w *Watcher) Learn(bases ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bases = bases
}

// Pictures are those seen so far.
func (w *Watcher) Pictures() measure.Pictures {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pictures)
}

// Opened is how many sessions it has had.
func (w *Watcher) Opened() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// Session is the URL of the session.
func (w *Watcher) Session() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

// seat is one session, and how many of its pictures were taken note of.
type seat struct {
	base   string
	viewer *mediatest.Viewer
	feed   *feed
	leave  context.CancelFunc // ends the feed
	seen   int
	last   time.Time
}

func (w *Watcher) watch(ctx context.Context, s *seat) {
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
		// Telling a dead server takes a time-out.
		w.running.Go(s.viewer.Close)
		if next == nil {
			return
		}
		s = next
	}
}

var errDraining = errors.New("the server is about to end")

// follow notes pictures until the session must be left, and says why.
func (w *Watcher) follow(ctx context.Context, s *seat) error {
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

// note takes over what the session has shown since.
func (w *Watcher) note(s *seat) {
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

// reopen tries all bases in turn until one plays; nil: ctx has ended. The old session goes
// on meanwhile as long as it can.
func (w *Watcher) reopen(ctx context.Context, old *seat, draining bool) *seat {
	w.mu.Lock()
	bases := slices.Clone(w.bases)
	w.mu.Unlock()
	// The one that is left comes last.
	slices.SortStableFunc(bases, func(a, b string) int { return btoi(a == old.base) - btoi(b == old.base) })
	for n := 0; ctx.Err() == nil; n++ {
		attempt, cancel := context.WithCancel(ctx)
		opened := make(chan *seat, 1)
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
func (w *Watcher) open(ctx context.Context, base string) (*seat, error) {
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
			w.running.Go(viewer.Close) // the server may be gone: this takes a while
			return nil, fmt.Errorf("no picture within %v", pictureLimit)
		}
	}
	w.mu.Lock()
	w.opened++
	w.session = viewer.Session().String()
	w.mu.Unlock()
	// Its life is that of the session, which has no context of its own.
	life, leave := context.WithCancel(context.WithoutCancel(ctx))
	events := base + "/" + w.cfg.App + "/events" + pair + "&session=" + path.Base(viewer.Session().Path)
	s := &seat{base: base, viewer: viewer, leave: leave, last: time.Now()}
	s.feed = followFeed(life, w.client, events, time.Now(), &w.running)
	w.cfg.Logf("%s session %s", time.Now().Format(clock), viewer.Session())
	return s, nil
}

// onlyHost leaves the candidates of a base URL's host in an answer, if it has any.
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
