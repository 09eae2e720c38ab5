package signalling

import (
	"net/http"
	"strings"
	"sync"

	"github.com/streampair/streampair/mediaserver/admission"
)

// A Session is what a Front knows of a client with a place. The protocol's side of it is a Peer.
type Session struct {
	// ID is the session's id. Whoever knows the id may use the session.
	ID string
	// Place is the session's place.
	Place *admission.Place
	// Candidates takes the client's trickled candidates, and Ufrags are the client's ICE username
	// fragments. Peer.Negotiate sets both.
	Candidates Candidates
	Ufrags     []string

	front       *Front
	app, stream string // of its URL, so that it is not found below another stream's URL
	etag        string // of its only ICE session, RFC 9725 section 4.3.1
	peer        Peer
	left        chan struct{} // closed when the session has given its place back

	// Front.mu guards the following.
	pushedOut bool // another session has its place
	ending    bool // requests no longer find it
	gone      bool // it has left

	mu         sync.Mutex // guards candidates
	candidates int        // how many were trickled
}

// Candidates takes trickled candidates.
type Candidates interface {
	// AddCandidate takes the value of an a=candidate line (RFC 8839 section 5.1). The error says that
	// the candidate cannot be used.
	AddCandidate(candidate string) error
}

// A Peer is the protocol's side of a Session. It has the media.
type Peer interface {
	// Negotiate reads the client's offer and returns the answer. What is kept must not refer to
	// the offer's text. A panic in Negotiate is a refusal.
	Negotiate(offer string) (answer string, refusal *Refusal)
	// Abandon ends what Negotiate has begun. It is called when the session cannot begin.
	Abandon()
	// Begin is called when requests can find the session, before the answer is sent. From now on
	// the Peer must end with Session.Leave. answer has the headers of the answer to r.
	Begin(r *http.Request, answer http.Header)
	// End ends the session. It may wait until the session has left, and may be called again.
	End(Ending)
	// MayUse reports whether a request about the session may come from its client. The request
	// has the session's id.
	MayUse(r *http.Request) bool
}

// A Renewer is a Peer whose client may show another token, for a session that lasts as long as its
// token. The client sends the token by PATCH, as a body of TokenType.
type Renewer interface {
	// Renew checks the token, which holds from now on.
	Renew(token string) *Refusal
}

// An Ending is why a Front ends a session.
type Ending int

const (
	// Deleted means that the client has ended its session.
	Deleted Ending = iota
	// PushedOut means that the session had not connected, and that another has its place.
	PushedOut
	// ShuttingDown means that the server is about to end.
	ShuttingDown
)

// reserve returns a session with a place.
func (f *Front) reserve(r *http.Request) (*Session, *Refusal) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.running.Add(1)
	}
	f.mu.Unlock()
	if closed {
		return nil, refuseAtEnd()
	}
	s := &Session{
		ID: f.cfg.Origin.NewID(), front: f, etag: newETag(), left: make(chan struct{}),
		// Clones do not keep the whole URL of a stranger.
		app: strings.Clone(r.PathValue("app")), stream: strings.Clone(r.PathValue("streamId")),
	}
	place, err := f.Door.Enter(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), func() { f.pushOut(s) })
	if err != nil {
		f.running.Done()
		return nil, RefuseForNow(ReasonFull, retryAfter, "%s", f.cfg.Full)
	}
	s.Place = place
	return s, nil
}

// pushOut ends a session that has lost its place to another.
func (f *Front) pushOut(s *Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pushedOut = true
	if f.sessions[s.ID] != nil && !s.ending { // a session that is still being negotiated is refused by enter
		s.ending = true
		go s.peer.End(PushedOut)
	}
}

// negotiate returns the answer of a session, which then has begun, or why there is none.
func (f *Front) negotiate(s *Session, offer string) (answer string, refusal *Refusal) {
	if f.cfg.Recovery.Do(f.cfg.Protocol, func() { answer, refusal = s.peer.Negotiate(offer) }) != nil {
		refusal = Refuse(http.StatusInternalServerError, ReasonPanic,
			"The server failed to negotiate; report this with the server's log.")
	}
	if refusal == nil {
		refusal = f.enter(s)
	}
	if refusal != nil {
		s.peer.Abandon()
		s.Leave()
	}
	return answer, refusal
}

// enter lets requests find a session, unless the session must end already.
func (f *Front) enter(s *Session) *Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return refuseAtEnd()
	case s.pushedOut:
		return RefuseForNow(ReasonPushedOut, retryAfter, "Too many clients are connecting at the same time; try again.")
	}
	f.sessions[s.ID] = s
	f.events[EventsID(s.ID)] = s
	return nil
}

// Leave gives the session's place back. It may be called again.
func (s *Session) Leave() {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	if s.gone {
		return
	}
	s.gone, s.ending = true, true
	delete(s.front.sessions, s.ID)
	delete(s.front.events, EventsID(s.ID))
	s.Place.Leave()
	close(s.left)
	s.front.running.Done()
}

// Left returns a channel that is closed when the session has given its place back.
func (s *Session) Left() <-chan struct{} { return s.left }

// Close ends the session, for its client. It may wait until the session has left.
func (s *Session) Close() { s.peer.End(Deleted) }

// SetEnding notes that the session is about to end: requests no longer find it. It reports whether
// that is new.
func (s *Session) SetEnding() bool {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	isNew := !s.ending
	s.ending = true
	return isNew
}

// Peers returns the peers of all sessions that have begun and have not left.
func (f *Front) Peers() []Peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	peers := make([]Peer, 0, len(f.sessions))
	for _, s := range f.sessions {
		peers = append(peers, s.peer)
	}
	return peers
}

// Ended returns a channel that is closed when the session with that EventsID has left. ok is
// false if there is no such session now. The session's id is accepted too, because pages from
// servers older than EventsHeader send the id.
func (f *Front) Ended(name string) (ended <-chan struct{}, ok bool) {
	s, ok := f.named(name)
	if !ok {
		return nil, false
	}
	return s.left, true
}

// PeerOf returns the peer of the session that Ended would find.
func (f *Front) PeerOf(name string) (peer Peer, ok bool) {
	s, ok := f.named(name)
	if !ok {
		return nil, false
	}
	return s.peer, true
}

func (f *Front) named(name string) (*Session, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.events[name]
	if s == nil {
		s = f.sessions[name]
	}
	return s, s != nil && !s.ending
}

// find returns the session that a request names. The session may be of an earlier process; the
// client then opens a new one.
func (f *Front) find(r *http.Request) (*Session, *Refusal) {
	f.mu.Lock()
	s := f.sessions[r.PathValue("session")]
	found := s != nil && !s.ending && s.app == r.PathValue("app") && s.stream == r.PathValue("streamId")
	f.mu.Unlock()
	switch {
	case !found:
		return nil, Refuse(http.StatusNotFound, ReasonNoSession, "There is no such session, or it has ended; POST a new offer.")
	case !s.peer.MayUse(r):
		return nil, Refuse(http.StatusUnauthorized, ReasonUnauthorized, "This request needs the token the session was begun with.")
	}
	return s, nil
}
