package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A front is a proxy that sends each request to the other one of two servers than the request before.
// It goes to the other server where it gets no answer.
type front struct {
	*httptest.Server
	turn  atomic.Uint32
	over  atomic.Bool               // the players' requests do not count any more
	doors [2]*mediatest.FaultyProxy // to each server

	mu      sync.Mutex     // guards all below
	answers map[string]int // by server and status
	refused []refusal
}

// A refusal is an answer with an error.
type refusal struct {
	status int
	name   string // the last segment of the path
}

func newFront(t *testing.T, w *relayedPair) *front {
	f := &front{answers: make(map[string]int)}
	for i := range f.doors {
		f.doors[i] = mediatest.NewFaultyProxy(t)
		f.doors[i].SetTarget(w.servers[i].Addresses().HTTP)
	}
	f.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {},
		Transport: roundTripper(f.roundTrip),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// The report of a player may be lost with a server: it is not sent again.
			if r.Method != http.MethodPost && !errors.Is(err, context.Canceled) && !f.over.Load() {
				t.Errorf("neither server answers %s: %v", r.URL, err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	})
	t.Cleanup(f.Close)
	return f
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f *front) roundTrip(r *http.Request) (res *http.Response, err error) {
	turn := f.turn.Add(1)
	for try := range uint32(2) {
		server := (turn + try) % 2
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = "http", f.doors[server].Addr()
		if res, err = http.DefaultTransport.RoundTrip(out); err == nil {
			f.note(legIDs[server], res)
			return res, nil
		}
	}
	return nil, err
}

func (f *front) note(server string, res *http.Response) {
	answer := fmt.Sprintf("%s %d", server, res.StatusCode)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[answer]++
	if res.StatusCode >= http.StatusBadRequest {
		f.refused = append(f.refused, refusal{res.StatusCode, path.Base(res.Request.URL.Path)})
	}
}

// gaveNoErrors checks that both servers answered, and that no player got an error. r has read all
// playlists. A part that was only announced may not come.
func (f *front) gaveNoErrors(t *testing.T, r *hlsReader) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range legIDs {
		if f.answers[id+" 200"] == 0 {
			t.Errorf("the %s's server gave no answer", id)
		}
	}
	t.Logf("answers: %v", f.answers)
	for _, one := range f.refused {
		if _, listed := r.contents[one.name]; listed || one.status != http.StatusNotFound {
			t.Errorf("status %d for %s", one.status, one.name)
		}
	}
}

// readHLS reads the pair's playlist at a base URL until stop is called.
func readHLS(t *testing.T, base string) (r *hlsReader, stop func()) {
	r = &hlsReader{t: t, url: base + "/live/streams/primary.m3u8?backupStreamId=backup", contents: make(map[string][sha256.Size]byte)}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { r.run(ctx) })
	return r, func() {
		cancel()
		reading.Wait()
	}
}

func (r *hlsReader) segmentCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.segments)
}

// goesOn waits until so many more segments were read.
func (r *hlsReader) goesOn(t *testing.T, why string, segments int) {
	t.Helper()
	want := r.segmentCount() + segments
	eventually.True(t, "the playlist goes on: "+why, func() bool { return r.segmentCount() >= want })
}

// Any request may go to either server.
func TestEitherServerServesTheSameHLS(t *testing.T) {
	w := startRelayedPair(t, sticky)
	encoders := w.publishBoth()
	f := newFront(t, w)
	r, stop := readHLS(t, f.URL)
	defer stop()
	r.goesOn(t, "at first", 3)
	r.stoodStill()

	const switches = 2
	for n := range switches {
		active, other := n%2, 1-n%2
		encoders[active].Kill()
		w.play(other, other == 0, other == 1)
		encoders[active] = w.publish(active, active)
		w.play(other, true, true)
		r.goesOn(t, "after a switch", 2)
		t.Logf("switch %d: the playlist stood still for %v", n, r.stoodStill().Round(ms))
	}
	w.cut((*mediatest.FaultyProxy).Reset) // the connections between the servers are back at once
	w.areConnected()
	r.goesOn(t, "after a reset", 3)
	t.Logf("reset: the playlist stood still for %v", r.stoodStill().Round(ms))
	for leg, id := range legIDs { // the primary is on air
		f.doors[leg].Close()
		w.kill(leg)
		r.goesOn(t, "while one server is away", 2)
		t.Logf("the %s's server ended: the playlist stood still for %v", id, r.stoodStill().Round(ms))
		w.start(leg)
		w.areConnected()
		f.doors[leg].SetTarget(w.servers[leg].Addresses().HTTP)
		encoders[leg].Kill()
		encoders[leg] = w.publish(leg, leg)
		w.play(1-leg, true, true)
		r.goesOn(t, "with the server that began anew", 3)
		t.Logf("the %s's server is back: the playlist stood still for %v", id, r.stoodStill().Round(ms))
	}
	stop()

	t.Logf("%d playlists, %d names, %d segments, %d discontinuities", r.reads, len(r.contents), len(r.segments), len(r.switched))
	f.gaveNoErrors(t, r)
	w.servesTheSame(r)
}

// servesTheSame checks that both servers have all that a reader has read of the last segments.
func (w *relayedPair) servesTheSame(r *hlsReader) {
	w.t.Helper()
	names := 0
	for _, s := range r.last.segments {
		for _, name := range append([]string{s.init, s.uri}, s.parts...) {
			if name == "" {
				continue
			}
			names++
			for i, server := range w.servers {
				res, err := http.Get(server.url("streams/" + name))
				if err != nil {
					w.t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK || sha256.Sum256(body) != r.contents[name[len("primary/"):]] {
					w.t.Errorf("%s at the %s's server: status %d, %d bytes, %v", name, legIDs[i], res.StatusCode, len(body), err)
				}
			}
		}
	}
	if names < 10 {
		w.t.Errorf("only %d names to compare", names)
	}
}

// While the servers do not hear each other, each goes on with its own playlist for its own players.
// After that, there is one playlist again.
func TestHLSGoesOnWhileTheServersAreCutOff(t *testing.T) {
	w := startRelayedPair(t, sticky)
	w.publishBoth()
	var readers [2]*hlsReader
	var screens [2]screen // of a viewer of each server
	for i, s := range w.servers {
		r, stop := readHLS(t, "http://"+s.Addresses().HTTP)
		defer stop()
		r.goesOn(t, "at first", 2)
		r.stoodStill()
		readers[i] = r
		screens[i] = screen{&page{t, mediatest.Browser(t)}, "the viewer of the " + legIDs[i] + "'s server", "streampair.video()"}
		screens[i].do(chromedp.Navigate(s.url("play.html", "name", "primary", "backupStreamId", "backup", "playOrder", "hls")))
		screens[i].sees(0)
		screens[i].record()
	}
	w.cut(func(g *mediatest.FaultyProxy) { g.Blackhole(true) })
	for i, r := range readers {
		r.goesOn(t, "while the servers are cut off", 5)
		screens[i].sees(i)
		t.Logf("cut off: the playlist of the %s's server stood still for %v, and hls.js had no new picture for %v", legIDs[i], r.stoodStill().Round(ms), screens[i].longest())
	}
	for _, r := range readers {
		r.mayShorten.Store(true) // one playlist goes on, and the other one's segments are not in it
	}
	w.heal()
	for i, r := range readers {
		r.goesOn(t, "after the cut", 3)
		active := slices.Index(legIDs[:], w.servers[i].pair("sunday").ActiveStreamID)
		screens[i].sees(active)
		t.Logf("healed: the playlist of the %s's server stood still for %v, and hls.js had no new picture for %v", legIDs[i], r.stoodStill().Round(ms), screens[i].longest())
	}
	eventually.True(t, "both servers have the same playlist again", func() bool {
		for i, r := range readers {
			other := readers[1-i]
			r.mu.Lock()
			newest := r.segments[len(r.segments)-1]
			r.mu.Unlock()
			other.mu.Lock()
			_, both := other.contents[newest.uri[len("primary/"):]]
			other.mu.Unlock()
			if !both {
				return false
			}
		}
		return true
	})
}

// A playlist of one stream alone is the same at both servers, too.
func TestEitherServerServesTheSameStreamAlone(t *testing.T) {
	w := startRelayedPair(t, sticky)
	w.publishBoth()
	f := newFront(t, w)
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	r := &hlsReader{t: t, url: f.URL + "/live/streams/backup.m3u8?backupStreamId=", contents: make(map[string][sha256.Size]byte)}
	r.run(ctx)
	if len(r.segments) < 2 {
		t.Errorf("%d segments in 8 s", len(r.segments))
	}
}
