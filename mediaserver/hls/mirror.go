package hls

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
	"github.com/streampair/streampair/mediaserver/hls/replica"
)

const (
	// beat is how often a server tells its peers that it is there, for each programme.
	beat = 100 * time.Millisecond
	// stillness is for how long a programme may stand still. After that, peers may have taken over,
	// so the programme asks them before it answers players.
	stillness = 600 * time.Millisecond
	// longestStep bounds by how much the clock of a replica advances at once.
	longestStep = 2 * beat
	// peerTimeout is how long a peer may take for a message.
	peerTimeout = 5 * time.Second
	// peerGrace is how long a programme that a peer has asked for waits for the first word of the
	// peer.
	peerGrace = 3 * time.Second
	// A lost connection to a peer is tried again after reconnectAfter. A peer that has been away for
	// long is asked less often: after a reconnectShare-th of that time, but at least once every
	// reconnectSeldom.
	reconnectAfter  = 100 * time.Millisecond
	reconnectShare  = 20
	reconnectSeldom = 500 * time.Millisecond
)

// Peers is what a Handler knows of the servers that play the same pairs.
type Peers struct {
	// First reports whether this server writes a list where nothing else decides: one server of
	// each pair does.
	First bool
	// Names returns the names of the peers that are known: see Link.
	Names func() []string
	// Follow is told which programmes are to be read from each peer. For each of them, and each
	// peer, Handler.Pull must be called, until the programme is no longer told.
	Follow func(keys []failover.PairKey)
}

// A Link reads from one peer.
type Link interface {
	// Name is the name of the peer.
	Name() string
	// Open asks the peer for a path, and returns the body of the answer.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// A message is what a server sends its peers about a programme, encoded by package gob. One field is
// set.
type message struct {
	// Begin comes before the list of the server, and whenever another list takes its place.
	Begin *beginning
	// Run comes before the first part of the run, and Part has no Run.
	Run  *cut.Run
	Part *cut.Part
	// End reports that the newest segment has ended.
	End bool
	// Report comes after each change of the list, and every beat.
	Report *replica.Report
}

// A beginning has what is needed to copy a list.
type beginning struct {
	Plan plan
	List list.Config
}

// RegisterPeers mounts what peers ask for. admit answers requests of others, and returns a channel
// that is closed when the peer must go.
func (h *Handler) RegisterPeers(mux *http.ServeMux, admit func(http.ResponseWriter, *http.Request) (over <-chan struct{}, ok bool)) {
	mux.HandleFunc("GET /{app}/hls/{id}", func(w http.ResponseWriter, r *http.Request) {
		if over, ok := admit(w, r); ok {
			h.servePeer(w, r, over)
		}
	})
}

// pathOf returns the path at which a peer serves a programme to a server. wanted reports whether the
// peer is to begin the programme.
func pathOf(key failover.PairKey, server string, wanted bool) string {
	path := "/" + url.PathEscape(key.App) + "/hls/" + url.PathEscape(key.Primary) + "?backupStreamId=" + url.QueryEscape(key.Backup) + "&server=" + server
	if wanted {
		path += "&wanted=1"
	}
	return path
}

var errNotMade = errors.New("nobody asks for this playlist here")

// servePeer sends a programme to a peer, until over is closed.
func (h *Handler) servePeer(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
	query := r.URL.Query()
	key := failover.PairKey{App: r.PathValue("app"), Primary: r.PathValue("id"), Backup: query.Get("backupStreamId")}
	p, err := h.programmeForPeer(key, query.Get("wanted") != "")
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer admission.Hold(r.Context())()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	s := sender{programme: p, to: query.Get("server"), out: gob.NewEncoder(w)}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		messages, news := s.next()
		for _, m := range messages {
			if http.NewResponseController(w).SetWriteDeadline(time.Now().Add(peerTimeout)) != nil || s.out.Encode(m) != nil {
				return
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		case <-over:
			return
		case <-news:
		case <-ticker.C:
		}
	}
}

// programmeForPeer returns the programme that a peer asks for. It starts the programme if there is
// none, and the peer wants it.
func (h *Handler) programmeForPeer(key failover.PairKey, wanted bool) (*programme, error) {
	if h.cfg.SettingsOf(key).Mode == Off {
		return nil, errOff
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.all[key]; p != nil {
		return p, nil
	}
	if !wanted {
		return nil, errNotMade
	}
	p, err := h.start(netip.Prefix{}, key, time.Time{})
	if err == nil {
		p.grace = time.Now().Add(peerGrace)
	}
	return p, err
}

// A sender sends a programme to one peer.
type sender struct {
	*programme
	to   string // the boot id of the peer
	out  *gob.Encoder
	list *list.List // that is being sent; nil: none
	run  *cut.Run   // the last one that was sent
	sent list.Position
}

// next returns what is to be sent now. news is closed when there is more.
func (s *sender) next() (messages []message, news <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.own()
	// A follower passes the list on to others than its leader, who may not hear the leader.
	if s.programme.list != nil && (s.mode == replica.Write || s.isFollowing && own.Leader != s.to) {
		messages = s.changes()
	} else {
		s.list = nil
	}
	return append(messages, message{Report: &own}), s.news
}

// changes returns what has been added to the list. s.mu must be held.
func (s *sender) changes() (messages []message) {
	segments := s.programme.list.All()
	isBehind := len(segments) > 0 && s.sent.Sequence+1 < segments[0].Sequence
	if s.list != s.programme.list || isBehind {
		s.list, s.run, s.sent = s.programme.list, nil, list.Position{}
		messages = append(messages, message{Begin: &beginning{Plan: s.plan, List: s.list.Config()}})
	}
	for _, segment := range segments {
		from := 0
		switch {
		case segment.Sequence < s.sent.Sequence:
			continue
		case segment.Sequence == s.sent.Sequence:
			from = s.sent.Parts
		}
		isEnded := s.sent == segment.Position()
		for _, part := range segment.Parts[from:] {
			if part.Run != s.run {
				s.run = part.Run
				messages = append(messages, message{Run: part.Run})
			}
			isEnded = part.Last
			part.Run = nil
			messages = append(messages, message{Part: &part})
		}
		s.sent = segment.Position()
		if segment.Complete && !isEnded {
			messages = append(messages, message{End: true})
		}
	}
	return messages
}

// Pull reads a programme from a peer, again and again, until ctx ends.
func (h *Handler) Pull(ctx context.Context, link Link, key failover.PairKey) {
	heard := time.Now()
	for ctx.Err() == nil {
		h.mu.Lock()
		p := h.all[key]
		h.mu.Unlock()
		if p != nil {
			connected, err := p.pull(ctx, link)
			if connected {
				heard = time.Now()
			}
			p.log.Debug("the connection to the peer has ended", "peer", link.Name(), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(max(reconnectAfter, time.Since(heard)/reconnectShare), reconnectSeldom)):
		}
	}
}

// pull reads the programme from a peer until the connection ends. connected reports whether the peer
// had the programme.
func (p *programme) pull(ctx context.Context, link Link) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	paused, wanted := p.paused, p.wanted
	p.mu.Unlock()
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
		case <-paused:
		case <-p.done:
		}
	}()
	body, err := link.Open(ctx, pathOf(p.key, p.handler.cfg.BootID, wanted))
	if err != nil {
		return false, err
	}
	defer body.Close()
	defer p.hear(ctx, received{from: link.Name()})
	in := gob.NewDecoder(body)
	var run *cut.Run
	for {
		var m message
		if err := in.Decode(&m); err != nil {
			return true, err
		}
		switch {
		case m.Run != nil:
			run = m.Run
			continue
		case m.Part != nil && run == nil:
			return true, errors.New("a part without a run")
		case m.Part != nil:
			m.Part.Run = run
		}
		if !p.hear(ctx, received{link.Name(), &m}) {
			return true, ctx.Err()
		}
	}
}

// A received message comes from the peer of that name. Without a message, the connection has ended.
type received struct {
	from string
	*message
}

// hear passes a message to run. It reports whether run takes the message.
func (p *programme) hear(ctx context.Context, m received) bool {
	if m.message == nil {
		ctx = context.WithoutCancel(ctx) // run must know that the connection has ended
	}
	select {
	case p.inbox <- m:
		return true
	case <-ctx.Done():
	case <-p.done:
	}
	return false
}
