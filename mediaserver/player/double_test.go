package player_test

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/streampair/streampair/mediaserver/player"
)

const (
	frameInterval = time.Second / 30
	opusInterval  = 20 * time.Millisecond
)

// A double stands in for the media server: it serves the pages, speaks WHEP, WHIP and
// the event stream through pion, and does on demand what a server does in trouble.
type double struct {
	t       *testing.T
	role    string // whose pod it is, in a pair of doubles; letter is what its sessions' ids begin with
	letter  string
	address string
	sources map[string][][]byte // "primary", "backup": access units in Annex B
	tone    [][]byte            // Opus packets
	stop    chan struct{}
	pump    sync.WaitGroup

	mu       sync.Mutex // guards all below
	server   *http.Server
	sessions map[string]*session
	lost     []*session    // of a server that was killed
	hung     chan struct{} // closed when it goes on; nil: it runs
	posts    []time.Time   // WHEP offers
	deletes  int
	patches  int
	made     int
	refuse   func(w http.ResponseWriter) bool // of an offer; nil: none
	tokens   []string                         // authorization of each offer
	state    pairState
	silent   bool // no video is sent
	mute     bool // no sound is sent
	feeds    map[chan string]struct{}
	noFeed   bool
	old      bool           // it names sessions in events' URLs by their id
	followed []string       // names of sessions in events' URLs
	links    []string       // of each answer
	received map[string]int // RTP packets by codec, from publishers
}

// newDouble starts a double with the primary on air.
func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{
		t: t, letter: "s",
		sources: map[string][][]byte{
			"primary": accessUnits(t, "testdata/primary.h264"),
			"backup":  accessUnits(t, "testdata/backup.h264"),
		},
		tone:     opusPackets(t, "testdata/tone.ogg"),
		stop:     make(chan struct{}),
		sessions: map[string]*session{},
		feeds:    map[chan string]struct{}{},
		received: map[string]int{},
		state: pairState{
			StreamID: "primary", BackupStreamID: "backup", Active: "Primary", ActiveStreamID: "primary", OnAir: true,
			Legs:     []leg{{Role: "Primary", StreamID: "primary", Live: true, Rank: "Full"}, {Role: "Backup", StreamID: "backup", Live: true, Rank: "Full"}},
			BaseURLs: []string{},
		},
	}
	d.listen("127.0.0.1:0")
	d.pump.Go(d.sendVideo)
	d.pump.Go(d.sendAudio)
	t.Cleanup(func() {
		close(d.stop)
		d.pump.Wait()
		d.crash()
	})
	return d
}

// newDoubles starts two doubles that play the same pair, each a pod of its own.
func newDoubles(t *testing.T) (primary, backup *double) {
	t.Helper()
	primary, backup = newDouble(t), newDouble(t)
	primary.role, primary.letter = "Primary", "p"
	backup.role, backup.letter = "Backup", "b"
	for _, d := range []*double{primary, backup} {
		d.setState(func(s *pairState) { s.BaseURLs = []string{"http://" + primary.address, "http://" + backup.address} })
	}
	return primary, backup
}

func (d *double) url(page string) string { return "http://" + d.address + "/live/" + page }

func (d *double) listen(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		d.t.Fatalf("listen: %v", err)
	}
	d.address = listener.Addr().String()
	mux := http.NewServeMux()
	player.Register(mux)
	mux.HandleFunc("POST /live/whep/{id}", d.postWHEP)
	mux.HandleFunc("POST /live/whip/{id}", d.postWHIP)
	mux.HandleFunc("PATCH /live/session/{id}", d.patch)
	mux.HandleFunc("DELETE /live/session/{id}", d.delete)
	mux.HandleFunc("GET /live/events/{id}", d.events)
	mux.HandleFunc("OPTIONS /live/", preflight)
	mux.HandleFunc("GET /elsewhere.html", embedder)
	server := &http.Server{Handler: d.gate(mux), ReadHeaderTimeout: 10 * time.Second}
	d.locked(func() { d.server = server })
	go func() { _ = server.Serve(listener) }()
}

// gate lets no request through while the double hangs, and lets pages of others read its answers.
func (d *double) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.waitWhileHung(r)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After, Streampair-Events-Session")
		next.ServeHTTP(w, r)
	})
}

func preflight(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	w.WriteHeader(http.StatusNoContent)
}

// crash ends everything at once and says so to the viewers; restart brings it back.
func (d *double) crash() {
	var sessions []*session
	d.locked(func() {
		_ = d.server.Close()
		sessions, d.lost = append(sessions, d.lost...), nil
		for _, s := range d.sessions {
			sessions = append(sessions, s)
		}
		d.sessions = map[string]*session{}
	})
	for _, s := range sessions {
		_ = s.pc.Close()
	}
}

// kill ends everything at once as SIGKILL does: nobody is told.
func (d *double) kill() {
	d.locked(func() {
		_ = d.server.Close()
		d.forget()
	})
}

// forget loses all sessions, with mu: nothing is sent on them any more.
func (d *double) forget() {
	for _, s := range d.sessions {
		d.lost = append(d.lost, s)
	}
	d.sessions = map[string]*session{}
}

// hang stops everything as SIGSTOP does: connections stay open, and nothing comes.
func (d *double) hang() { d.locked(func() { d.hung = make(chan struct{}) }) }

func (d *double) wake() {
	d.locked(func() {
		close(d.hung)
		d.hung = nil
	})
}

func (d *double) waitWhileHung(r *http.Request) {
	if hung := get(d, func() chan struct{} { return d.hung }); hung != nil {
		select {
		case <-hung:
		case <-d.stop:
		case <-r.Context().Done():
		}
	}
}

func (d *double) restart() { d.listen(d.address) }

func (d *double) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func get[T any](d *double, f func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f()
}

func (d *double) offers() int { return get(d, func() int { return len(d.posts) }) }

// sendVideo feeds every session with the active source, from its IDR on: a viewer who
// joins, or whose leg was switched, gets that at once.
func (d *double) sendVideo() {
	d.every(frameInterval, func(tick int) {
		source := d.sources[d.state.ActiveStreamID]
		for _, s := range d.sessions {
			if s.video == nil || s.frozen || d.silent || !d.state.OnAir || s.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
				continue
			}
			if !s.started {
				s.started, s.first = true, tick
			}
			_ = s.video.WriteSample(media.Sample{Data: source[(tick-s.first)%len(source)], Duration: frameInterval})
		}
	})
}

func (d *double) sendAudio() {
	d.every(opusInterval, func(tick int) {
		for _, s := range d.sessions {
			if s.audio != nil && !s.frozen && !d.mute && d.state.OnAir {
				_ = s.audio.WriteSample(media.Sample{Data: d.tone[tick%len(d.tone)], Duration: opusInterval})
			}
		}
	})
}

// every calls f with mu held until the double is stopped.
func (d *double) every(interval time.Duration, f func(tick int)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for tick := 0; ; tick++ {
		select {
		case <-d.stop:
			return
		case <-ticker.C:
			d.locked(func() {
				if d.hung == nil {
					f(tick)
				}
			})
		}
	}
}

// embedder is a page of somebody else's that frames the player and keeps what it hears.
func embedder(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!doctype html><title>Embedder</title>
<script>heard = []; addEventListener("message", e => heard.push(e.data))</script>
<iframe src="%s" allow="autoplay; fullscreen" width="800" height="450"></iframe>`, r.URL.Query().Get("player"))
}
