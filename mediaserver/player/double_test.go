package player_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
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
	address string
	sources map[string][][]byte // "primary", "backup": access units in Annex B
	tone    [][]byte            // Opus packets
	stop    chan struct{}
	pump    sync.WaitGroup

	mu       sync.Mutex // guards all below
	server   *http.Server
	sessions map[string]*session
	posts    []time.Time // WHEP offers
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
	links    []string       // of each answer
	received map[string]int // RTP packets by codec, from publishers
}

type session struct {
	pc           *webrtc.PeerConnection
	video, audio *webrtc.TrackLocalStaticSample
	frozen       bool // nothing is sent on it any more
	started      bool // has had an IDR
}

type pairState struct {
	StreamID       string    `json:"streamId"`
	BackupStreamID string    `json:"backupStreamId"`
	Active         string    `json:"active"`
	ActiveStreamID string    `json:"activeStreamId"`
	OnAir          bool      `json:"onAir"`
	Draining       bool      `json:"draining"`
	Reason         string    `json:"reason"`
	Since          string    `json:"since"`
	Switches       int       `json:"switches"`
	ServerTime     string    `json:"serverTime"`
	Legs           []leg     `json:"legs"`
	Warnings       []warning `json:"warnings"`
	BaseURLs       []string  `json:"baseURLs"`
}

type leg struct {
	Role     string `json:"role"`
	StreamID string `json:"streamId"`
	Live     bool   `json:"live"`
	Rank     string `json:"rank"`
}

type warning struct {
	Role    string `json:"role"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// newDouble starts a double with the primary on air.
func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{
		t: t,
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
			Legs: []leg{{"Primary", "primary", true, "Full"}, {"Backup", "backup", true, "Full"}},
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
	mux.HandleFunc("GET /elsewhere.html", embedder)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	d.locked(func() { d.server = server })
	go func() { _ = server.Serve(listener) }()
}

// crash ends everything at once, as a killed server does; restart brings it back.
func (d *double) crash() {
	var sessions map[string]*session
	d.locked(func() {
		_ = d.server.Close()
		sessions, d.sessions = d.sessions, map[string]*session{}
	})
	for _, s := range sessions {
		_ = s.pc.Close()
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

// setState changes the pair's state and tells the followers.
func (d *double) setState(change func(*pairState)) {
	d.locked(func() {
		change(&d.state)
		for feed := range d.feeds {
			feed <- d.stateEvent()
		}
	})
}

func (d *double) switchTo(role, streamID, reason string) {
	d.setState(func(s *pairState) {
		s.Active, s.ActiveStreamID, s.Reason, s.OnAir = role, streamID, reason, true
		s.Since = time.Now().UTC().Format(time.RFC3339Nano)
		s.Switches++
	})
	d.locked(func() {
		for _, s := range d.sessions {
			s.started = false // goes on with the other leg's next IDR
		}
	})
}

func (d *double) stateEvent() string { // with mu
	d.state.ServerTime = time.Now().UTC().Format(time.RFC3339Nano)
	data, err := json.Marshal(d.state)
	if err != nil {
		panic(err)
	}
	return "event: state\ndata: " + string(data) + "\n\n"
}

func (d *double) events(w http.ResponseWriter, r *http.Request) {
	feed := make(chan string, 64)
	if get(d, func() bool { return d.noFeed }) {
		http.Error(w, "no events", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	d.locked(func() {
		d.feeds[feed] = struct{}{}
		feed <- d.stateEvent()
	})
	defer d.locked(func() { delete(d.feeds, feed) })
	heartbeat := time.NewTicker(500 * time.Millisecond)
	defer heartbeat.Stop()
	for {
		var event string
		select {
		case <-r.Context().Done():
			return
		case <-d.stop:
			return
		case event = <-feed:
		case now := <-heartbeat.C:
			if get(d, func() bool { return d.noFeed }) {
				return
			}
			event = fmt.Sprintf("event: heartbeat\ndata: {\"now\":%q}\n\n", now.UTC().Format(time.RFC3339Nano))
		}
		if _, err := io.WriteString(w, event); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

func (d *double) postWHEP(w http.ResponseWriter, r *http.Request) {
	var refuse func(http.ResponseWriter) bool
	d.locked(func() {
		d.posts = append(d.posts, time.Now())
		d.tokens = append(d.tokens, r.Header.Get("Authorization"))
		refuse = d.refuse
	})
	if refuse != nil && refuse(w) {
		return
	}
	s := &session{}
	var err error
	if s.video, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "pair"); err != nil {
		d.t.Error(err)
	}
	if s.audio, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "pair"); err != nil {
		d.t.Error(err)
	}
	d.answer(w, r, s, func(pc *webrtc.PeerConnection) error {
		for _, track := range []webrtc.TrackLocal{s.video, s.audio} {
			sender, err := pc.AddTrack(track)
			if err != nil {
				return err
			}
			go drain(sender)
		}
		return nil
	})
}

func (d *double) postWHIP(w http.ResponseWriter, r *http.Request) {
	var refuse func(http.ResponseWriter) bool
	d.locked(func() {
		d.posts = append(d.posts, time.Now())
		d.tokens = append(d.tokens, r.Header.Get("Authorization"))
		refuse = d.refuse
	})
	if refuse != nil && refuse(w) {
		return
	}
	d.answer(w, r, &session{}, func(pc *webrtc.PeerConnection) error {
		pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
			for {
				if _, _, err := track.ReadRTP(); err != nil {
					return
				}
				d.locked(func() { d.received[track.Codec().MimeType]++ })
			}
		})
		return nil
	})
}

// answer negotiates and registers a session, the same way for WHEP and WHIP.
func (d *double) answer(w http.ResponseWriter, r *http.Request, s *session, addTracks func(*webrtc.PeerConnection) error) {
	offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Header.Get("Content-Type") != "application/sdp" {
		http.Error(w, "no offer", http.StatusBadRequest)
		return
	}
	answer, err := d.negotiate(s, string(offer), addTracks)
	if err != nil {
		d.t.Errorf("negotiate: %v", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	id := get(d, func() string {
		d.made++
		id := fmt.Sprintf("s%d", d.made)
		d.sessions[id] = s
		return id
	})
	for _, link := range get(d, func() []string { return d.links }) {
		w.Header().Add("Link", link)
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/live/session/"+id)
	w.Header().Set("ETag", `"`+id+`"`)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer)
}

func (d *double) negotiate(s *session, offer string, addTracks func(*webrtc.PeerConnection) error) (string, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetLite(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.pc = pc
	if err := addTracks(pc); err != nil {
		return "", err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

func (d *double) patch(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	id := r.PathValue("id")
	switch {
	case r.Header.Get("Content-Type") != "application/trickle-ice-sdpfrag",
		r.Header.Get("If-Match") != `"`+id+`"`,
		!strings.Contains(string(body), "a=ice-ufrag:"),
		!strings.Contains(string(body), "a=mid:0"):
		d.t.Errorf("bad trickle: %v %q", r.Header, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.locked(func() { d.patches++ })
	w.WriteHeader(http.StatusNoContent)
}

func (d *double) delete(w http.ResponseWriter, r *http.Request) {
	s := get(d, func() *session {
		s := d.sessions[r.PathValue("id")]
		delete(d.sessions, r.PathValue("id"))
		d.deletes++
		return s
	})
	if s == nil {
		http.NotFound(w, r)
		return
	}
	_ = s.pc.Close()
}

// sendVideo feeds every session with the active source, from its IDR on.
func (d *double) sendVideo() {
	d.every(frameInterval, func(tick int) {
		source := d.sources[d.state.ActiveStreamID]
		unit := source[tick%len(source)]
		idr := tick%len(source) == 0
		for _, s := range d.sessions {
			if s.video == nil || s.frozen || d.silent || !d.state.OnAir {
				continue
			}
			if !s.started && !idr {
				// A joining or switched viewer gets the source's IDR at once.
				_ = s.video.WriteSample(media.Sample{Data: source[0], Duration: frameInterval})
				s.started = true
				continue
			}
			s.started = true
			_ = s.video.WriteSample(media.Sample{Data: unit, Duration: frameInterval})
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
			d.locked(func() { f(tick) })
		}
	}
}

func drain(sender *webrtc.RTPSender) {
	for {
		if _, _, err := sender.ReadRTCP(); err != nil {
			return
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

// accessUnits splits an Annex B file of one slice per picture.
func accessUnits(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var units [][]byte
	var unit []byte
	for _, nalu := range splitAnnexB(data) {
		unit = append(append(unit, 0, 0, 0, 1), nalu...)
		if kind := nalu[0] & 0x1f; kind == 1 || kind == 5 {
			units = append(units, unit)
			unit = nil
		}
	}
	if len(units) < 2 {
		t.Fatalf("%s holds %d pictures", name, len(units))
	}
	return units
}

func splitAnnexB(data []byte) [][]byte {
	var nalus [][]byte
	for part := range strings.SplitSeq(string(data), "\x00\x00\x01") {
		if part = strings.TrimRight(part, "\x00"); part != "" {
			nalus = append(nalus, []byte(part))
		}
	}
	return nalus
}

// opusPackets reads an Ogg file with one packet per page (RFC 3533, 6), without its two headers.
func opusPackets(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for len(data) >= 27 {
		segments := int(data[26])
		length := 0
		for _, n := range data[27 : 27+segments] {
			length += int(n)
		}
		start := 27 + segments
		packets = append(packets, slices.Clone(data[start:start+length]))
		data = data[start+length:]
	}
	if len(packets) < 12 {
		t.Fatal(errors.New(name + " holds no packets"))
	}
	return packets[2:]
}
