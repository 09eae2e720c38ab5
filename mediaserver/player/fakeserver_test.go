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

// A fakeServer stands in for the media server. It serves the pages, and speaks WHEP, WHIP and the
// event stream through pion. On demand it fails as a server can fail.
type fakeServer struct {
	t       *testing.T
	role    string // role is the leg of the pod in a pair of servers; letter begins the ids of its sessions
	letter  string
	address string
	sources map[string][][]byte // "primary", "backup": access units in Annex B
	tone    [][]byte            // Opus packets
	stop    chan struct{}
	pump    sync.WaitGroup

	mu        sync.Mutex // guards all below
	server    *http.Server
	sessions  map[string]*session
	lost      []*session    // sessions of a server that was killed
	hung      chan struct{} // closed when the server goes on; nil: it runs
	posts     []time.Time   // WHEP offers
	deletes   int
	patches   int
	made      int
	refuse    func(w http.ResponseWriter) bool // refuses an offer; nil: no offer is refused
	tokens    []string                         // authorization of each offer
	renewed   []string                         // tokens that sessions were given later
	state     pairState
	silent    bool // no video is sent
	mute      bool // no sound is sent
	feeds     map[chan string]struct{}
	noFeed    bool
	namesByID bool           // sessions in events' URLs are named by their ids
	bare      bool           // the events have the fields that they have always had
	followed  []string       // names of sessions in events' URLs
	links     []string       // of each answer
	received  map[string]int // RTP packets by codec, from publishers
}

// newFakeServer starts a server with the primary on air.
func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	d := &fakeServer{
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

// newFakePair starts two servers that play the same pair, each as a separate pod.
func newFakePair(t *testing.T) (primary, backup *fakeServer) {
	t.Helper()
	primary, backup = newFakeServer(t), newFakeServer(t)
	primary.role, primary.letter = "Primary", "p"
	backup.role, backup.letter = "Backup", "b"
	for _, d := range []*fakeServer{primary, backup} {
		d.setState(func(s *pairState) { s.BaseURLs = []string{"http://" + primary.address, "http://" + backup.address} })
	}
	return primary, backup
}

func (d *fakeServer) url(page string) string { return "http://" + d.address + "/live/" + page }

func (d *fakeServer) listen(address string) {
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
	server := &http.Server{Handler: d.whileRunning(mux), ReadHeaderTimeout: 10 * time.Second}
	d.locked(func() { d.server = server })
	go func() { _ = server.Serve(listener) }()
}

// whileRunning stops requests while the server hangs. It lets pages of other origins read the answers.
func (d *fakeServer) whileRunning(next http.Handler) http.Handler {
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

// crash ends everything at once and closes the viewers' connections. restart undoes it.
func (d *fakeServer) crash() {
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

// kill ends everything at once like SIGKILL. No viewer is told.
func (d *fakeServer) kill() {
	d.locked(func() {
		_ = d.server.Close()
		d.forget()
	})
}

// forget loses all sessions, so that nothing is sent on them any more. The caller must hold mu.
func (d *fakeServer) forget() {
	for _, s := range d.sessions {
		d.lost = append(d.lost, s)
	}
	d.sessions = map[string]*session{}
}

// hang stops everything like SIGSTOP: connections stay open, and nothing comes.
func (d *fakeServer) hang() { d.locked(func() { d.hung = make(chan struct{}) }) }

func (d *fakeServer) wake() {
	d.locked(func() {
		close(d.hung)
		d.hung = nil
	})
}

func (d *fakeServer) waitWhileHung(r *http.Request) {
	if hung := get(d, func() chan struct{} { return d.hung }); hung != nil {
		select {
		case <-hung:
		case <-d.stop:
		case <-r.Context().Done():
		}
	}
}

func (d *fakeServer) restart() { d.listen(d.address) }

func (d *fakeServer) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func get[T any](d *fakeServer, f func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f()
}

func (d *fakeServer) offers() int { return get(d, func() int { return len(d.posts) }) }

// sendVideo sends the active source to every session, from the source's IDR on. So a
// viewer that joins, or whose leg has changed, gets an IDR at once.
func (d *fakeServer) sendVideo() {
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

func (d *fakeServer) sendAudio() {
	d.every(opusInterval, func(tick int) {
		for _, s := range d.sessions {
			if s.audio != nil && !s.frozen && !d.mute && d.state.OnAir {
				_ = s.audio.WriteSample(media.Sample{Data: d.tone[tick%len(d.tone)], Duration: opusInterval})
			}
		}
	})
}

// every calls f with mu held until the server is stopped.
func (d *fakeServer) every(interval time.Duration, f func(tick int)) {
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

// embedder is a page of another site that frames the player and keeps the player's messages.
func embedder(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!doctype html><title>Embedder</title>
<script>heard = []; addEventListener("message", e => heard.push(e.data))</script>
<iframe src="%s" allow="autoplay; fullscreen" width="800" height="450"></iframe>`, r.URL.Query().Get("player"))
}
