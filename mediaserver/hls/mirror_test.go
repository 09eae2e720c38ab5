package hls

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/replica"
)

// A mirror is two rigs that are peers. Each has its own copy of the streams, as by the relay.
type mirror struct {
	rigs  [2]*rig
	mu    sync.Mutex // guards all below
	isCut bool
	held  chan struct{} // nothing passes until the channel is closed; nil: all passes
	open  map[*io.PipeReader]bool
}

var errCut = errors.New("the test cut the connection")

// inMirror runs a test with two rigs in one bubble.
func inMirror(t *testing.T, test func(m *mirror)) {
	m := &mirror{open: make(map[*io.PipeReader]bool)}
	link := func(i int) func(*Config) {
		return func(c *Config) {
			c.BootID = []string{"aaaa", "bbbb"}[i]
			pulls := make(map[failover.PairKey]context.CancelFunc)
			c.Peers = &Peers{
				First: i == 0, Names: func() []string { return []string{"peer"} },
				Follow: func(keys []failover.PairKey) { m.follow(i, keys, pulls) },
			}
		}
	}
	inBubble(t, func(a *rig) {
		b := newRig(a.t, link(1))
		defer b.end()
		m.rigs = [2]*rig{a, b}
		for _, r := range m.rigs {
			r.RegisterPeers(r.mux, func(http.ResponseWriter, *http.Request) (<-chan struct{}, bool) { return nil, true })
		}
		test(m)
	}, link(0))
}

// follow is what package peer does for the rig i.
func (m *mirror) follow(i int, keys []failover.PairKey, pulls map[failover.PairKey]context.CancelFunc) {
	for key, stop := range pulls {
		if !slices.Contains(keys, key) {
			stop()
			delete(pulls, key)
		}
	}
	for _, key := range keys {
		if pulls[key] == nil {
			ctx, stop := context.WithCancel(m.rigs[i].ctx)
			pulls[key] = stop
			go m.rigs[i].Pull(ctx, mirrorLink{m, 1 - i}, key)
		}
	}
}

// A mirrorLink reads from the rig to.
type mirrorLink struct {
	*mirror
	to int
}

func (l mirrorLink) Name() string { return "peer" }

func (l mirrorLink) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, errCut
	}
	in, out := io.Pipe()
	l.open[in] = true
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) })
	w := &pipeAnswer{header: make(http.Header), PipeWriter: out}
	go func() {
		defer cancel()
		l.rigs[l.to].mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		_ = out.Close()
	}()
	return heldReader{in, l.mirror}, nil
}

// A heldReader reads from the other rig, unless the test holds that up.
type heldReader struct {
	*io.PipeReader
	m *mirror
}

func (r heldReader) Read(b []byte) (int, error) {
	n, err := r.PipeReader.Read(b)
	r.m.mu.Lock()
	held := r.m.held
	r.m.mu.Unlock()
	if held != nil {
		<-held
	}
	return n, err
}

// hold lets nothing pass between the rigs until release is called. Connections stay.
func (m *mirror) hold() (release func()) {
	held := make(chan struct{})
	m.mu.Lock()
	m.held = held
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		m.held = nil
		m.mu.Unlock()
		close(held)
	}
}

// A pipeAnswer is a ResponseWriter that writes to a pipe.
type pipeAnswer struct {
	header http.Header
	*io.PipeWriter
}

func (w *pipeAnswer) Header() http.Header              { return w.header }
func (w *pipeAnswer) WriteHeader(int)                  {}
func (w *pipeAnswer) Flush()                           {}
func (w *pipeAnswer) SetWriteDeadline(time.Time) error { return nil }

// cut ends all connections between the rigs, and lets none begin until heal.
func (m *mirror) cut(isCut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isCut = isCut
	for in := range m.open {
		_ = in.CloseWithError(errCut)
		delete(m.open, in)
	}
}

// modes returns the mode of the only programme of each rig.
func (m *mirror) modes() (modes [2]replica.Mode) {
	for i, r := range m.rigs {
		for _, p := range r.programmes() {
			p.mu.Lock()
			modes[i] = p.mode
			p.mu.Unlock()
		}
	}
	return modes
}

func (h *Handler) programmes() (all []*programme) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.all {
		all = append(all, p)
	}
	return all
}

const alone = "/live/streams/primary.m3u8?backupStreamId="

// publish publishes the stream at both rigs.
func (m *mirror) publish() (stop func()) {
	a, b := m.rigs[0].publish("primary"), m.rigs[1].publish("primary")
	return func() {
		a()
		b()
	}
}

func TestEitherServerGivesTheSameTextAndTag(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[1].text(m.rigs[1].get(alone), http.StatusOK) // either server may be asked first
		time.Sleep(10*time.Second + 10*ms)
		var texts, tags [2]string
		for i, r := range m.rigs {
			res := r.get(alone)
			tags[i], texts[i] = res.Header.Get("ETag"), r.text(res, http.StatusOK)
		}
		if texts[0] != texts[1] || tags[0] != tags[1] || tags[0] == "" {
			t.Errorf("%s\n%s\nand %s\n%s", tags[0], texts[0], tags[1], texts[1])
		}
		if modes := m.modes(); modes != [2]replica.Mode{replica.Write, replica.Follow} {
			t.Errorf("modes %v", modes)
		}
		for _, name := range append(uris(texts[0], ""), uris(texts[0], "#EXT-X-PART")...) {
			a, b := m.rigs[0].text(m.rigs[0].get("/live/streams/"+name), http.StatusOK), m.rigs[1].text(m.rigs[1].get("/live/streams/"+name), http.StatusOK)
			if a != b || a == "" {
				t.Errorf("%s differs", name)
			}
		}
	})
}

func TestTheOtherServerGoesOnWithThePlaylist(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(5 * time.Second)
		before := m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		m.cut(true) // the server that writes is gone
		m.rigs[0].Close()
		time.Sleep(5 * time.Second)
		after := m.rigs[1].text(m.rigs[1].get(alone), http.StatusOK)
		for _, name := range uris(before, "") {
			if !strings.Contains(after, name) {
				t.Errorf("%s is not in\n%s", name, after)
			}
		}
		if strings.Count(after, "#EXT-X-DISCONTINUITY\n") != 1 || number(t, after, "#EXT-X-MEDIA-SEQUENCE") != number(t, before, "#EXT-X-MEDIA-SEQUENCE") {
			t.Errorf("%s", after)
		}
	})
}

// A connection that brought nothing for some time brings what was sent before. Nothing of that gets
// into the list of the server that has taken over.
func TestWhatComesLateChangesNothing(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(5 * time.Second)
		for _, d := range []time.Duration{200 * ms, 700 * ms, 1200 * ms, 3 * time.Second} {
			release := m.hold()
			time.Sleep(d)
			release()
			time.Sleep(6 * time.Second)
			var texts [2]string
			for i, r := range m.rigs {
				texts[i] = r.text(r.get(alone), http.StatusOK)
			}
			// One of the two may begin later: see list.ShowAfter.
			names := [2][]string{uris(texts[0], ""), uris(texts[1], "")}
			common := min(len(names[0]), len(names[1]))
			if common < 2 || !slices.Equal(names[0][len(names[0])-common:], names[1][len(names[1])-common:]) {
				t.Errorf("held for %v:\n%s\nand\n%s", d, texts[0], texts[1])
			}
			if modes := m.modes(); modes[0] == modes[1] {
				t.Errorf("held for %v: modes %v", d, modes)
			}
		}
	})
}

// A server that was alone for some time has a list of its own, with other numbers. If no player has been
// told of them, the server shows all of the list that it follows then.
func TestAListThatNobodyWasToldOfHidesNothing(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.cut(true)
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(8 * time.Second)
		m.rigs[1].text(m.rigs[1].get(strings.Replace(alone, ".m3u8", "_adaptive.m3u8", 1)), http.StatusOK) // which has no numbers
		time.Sleep(8 * time.Second)
		if modes := m.modes(); modes != [2]replica.Mode{replica.Write, replica.Write} {
			t.Errorf("cut off, the modes are %v", modes)
		}
		m.cut(false)
		time.Sleep(2 * time.Second)
		if modes := m.modes(); modes != [2]replica.Mode{replica.Write, replica.Follow} {
			t.Errorf("after the cut, the modes are %v", modes)
		}
		var numbers [2]int64
		for i, r := range m.rigs {
			numbers[i] = number(t, r.text(r.get(alone), http.StatusOK), "#EXT-X-MEDIA-SEQUENCE")
		}
		if numbers[0] != numbers[1] {
			t.Errorf("the lists begin with the numbers %d", numbers)
		}
	})
}

// Under a number, players of the server whose playlist does not go on find no other segment than
// before.
func TestNumbersKeepTheirSegmentsAfterACut(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(5 * time.Second)
		m.cut(true)
		time.Sleep(8 * time.Second)
		if modes := m.modes(); modes != [2]replica.Mode{replica.Write, replica.Write} {
			t.Errorf("cut off, the modes are %v", modes)
		}
		known := make([]map[int64]string, 2)
		note := func() {
			for i, r := range m.rigs {
				text := r.text(r.get(alone), http.StatusOK)
				if known[i] == nil {
					known[i] = make(map[int64]string)
				}
				for n, name := range uris(text, "") {
					at := number(t, text, "#EXT-X-MEDIA-SEQUENCE") + int64(n)
					if was := known[i][at]; was != "" && was != name {
						t.Errorf("at server %d, %d was %s and is %s", i, at, was, name)
					}
					known[i][at] = name
				}
			}
		}
		note()
		m.cut(false)
		for range 40 {
			time.Sleep(250 * ms)
			note()
		}
		if modes := m.modes(); modes != [2]replica.Mode{replica.Follow, replica.Write} {
			t.Errorf("after the cut, the modes are %v: the server that took over has the higher discontinuity", modes)
		}
		newest := slices.Max(slices.Collect(keysOf(known[0])))
		if known[0][newest] != known[1][newest] || known[0][newest] == "" {
			t.Errorf("%d is %s and %s", newest, known[0][newest], known[1][newest])
		}
	})
}

func keysOf(m map[int64]string) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A server that is asked for media before it has the playlist of its peer waits for the playlist.
func TestMediaIsHeldUntilThePlaylistIsThere(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(2 * time.Second)
		var name cut.Name
		for name.Part < 1 || name.Part > 4 {
			time.Sleep(50 * ms)
			hint := uris(m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK), "#EXT-X-PRELOAD-HINT")[0]
			name, _ = cut.ParseName(strings.TrimPrefix(hint, "primary/"))
		}
		name.Part++ // neither server has announced this one
		began := time.Now()
		if m.rigs[1].text(m.rigs[1].get("/live/streams/primary/"+name.String()), http.StatusOK) == "" {
			t.Error("no media")
		}
		if held := time.Since(began); held < 200*ms {
			t.Errorf("held for %v: the part cannot be there yet", held)
		}
		began = time.Now()
		m.rigs[1].text(m.rigs[1].get("/live/streams/primary/aaaa-99-0.m4s"), http.StatusNotFound)
		if held := time.Since(began); held < peerPieceHold || held > peerPieceHold+time.Second {
			t.Errorf("an unknown name was held for %v", held)
		}
	})
}

// A programme ends at both servers when nobody asks at either.
func TestAMirroredPlaylistEnds(t *testing.T) {
	inMirror(t, func(m *mirror) {
		defer m.publish()()
		m.rigs[0].text(m.rigs[0].get(alone), http.StatusOK)
		time.Sleep(20 * time.Second)
		if len(m.rigs[0].programmes()) != 1 || len(m.rigs[1].programmes()) != 1 {
			t.Error("the playlist ended while it was wanted")
		}
		time.Sleep(50 * time.Second)
		if a, b := m.rigs[0].programmes(), m.rigs[1].programmes(); len(a)+len(b) > 0 {
			t.Errorf("%d and %d playlists stay", len(a), len(b))
		}
	})
}
