package rtc

import (
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"
)

// Media go to a viewer only while the viewer shows that it wants them (consent, RFC 7675). A lite
// agent checks no address by itself (RFC 8445 section 2.5). Without consent, one request with a
// forged source would direct a whole session at somebody else. Browsers renew consent at least
// every 6 s. They report on a picture about once a second, and on sound alone every 5 s.
const (
	consentTimeout    = 10 * time.Second
	newAddressPicture = 3 * time.Second
	newAddressSound   = 8 * time.Second

	// pictureRecent is the most time between the last picture and a change of address
	// for which the viewer counts as one that is sent pictures.
	pictureRecent = time.Second
	// sameSource is the most time between an authenticated report and the last packet from the
	// viewer's address. It ties the two together, because SRTCP does not give its source.
	sameSource = time.Second
	// moveEcho is how long after a change of address the last packet may still be the
	// request that changed it.
	moveEcho = 100 * time.Millisecond
)

// A consent is what a viewer has shown, and when. All times are on the media clock.
type consent struct {
	heardAt     time.Duration // when the last authenticated packet came
	movedAt     time.Duration // when the address changed; negative: something authentic has come from it since
	lastPicture time.Duration // when the last picture was sent; negative: never
}

// given reports whether media may be sent at a time.
func (c consent) given(now time.Duration) bool {
	if now-c.heardAt >= consentTimeout {
		return false
	}
	if c.movedAt < 0 {
		return true
	}
	limit := newAddressSound
	if c.lastPicture >= 0 && c.lastPicture >= c.movedAt-pictureRecent {
		limit = newAddressPicture
	}
	return now-c.movedAt < limit
}

// A source is where a viewer's packets come from.
type source interface {
	Address() string
	Port() int
	NetworkType() ice.NetworkType
	LastReceived() time.Time
}

// A connection is what sending media needs of an ICE-TCP connection; see icetcp.Conn.
type connection interface {
	HasRoom(then func()) bool
	Waiting() time.Duration
}

// A path is what a viewer's ICE agent shows of the network path to the viewer.
type path struct {
	now func() time.Duration // the media clock; set before the offer is accepted
	// find returns the connection of a source, or nil for a source without one, as over UDP.
	find func(source) connection

	heardAt, movedAt atomic.Int64 // as in consent, ns
	selected         atomic.Pointer[selection]
}

// A selection is the viewer's address to which media are sent.
type selection struct {
	source
	since      time.Time
	connection connection // nil: UDP
}

func newPath(find func(source) connection) *path {
	p := &path{now: func() time.Duration { return 0 }, find: find}
	p.movedAt.Store(-1)
	return p
}

// request records a binding request whose integrity was checked. It is an ICE agent's
// binding request handler, which is called for one request at a time. It always
// returns false, so that it never selects another pair.
func (p *path) request(m *stun.Message, _, remote ice.Candidate, _ *ice.CandidatePair) bool {
	p.requested(nominates(m), remote, time.Now())
	return false
}

// nominates reports whether a request selects its pair. A lite agent obeys each nomination
// (RFC 8445 section 8.1.1), and those of libwebrtc's renomination.
func nominates(m *stun.Message) bool {
	return m.Contains(stun.AttrUseCandidate) || m.Contains(ice.DefaultNominationAttribute)
}

func (p *path) requested(nominates bool, from source, at time.Time) {
	selected, now := p.selected.Load(), p.now()
	switch {
	case selected != nil && sameAddress(selected.source, from):
		p.heardAt.Store(int64(now))
		p.movedAt.Store(-1)
		if selected.source != from { // ICE has replaced its record of the address
			p.selected.Store(&selection{from, selected.since, selected.connection})
		}
	case selected == nil && !nominates:
		p.heardAt.Store(int64(now))
	case selected == nil:
		p.heardAt.Store(int64(now))
		p.selected.Store(&selection{from, at, p.find(from)})
	case nominates:
		// If the address before was not proved either, its time goes on.
		if p.movedAt.Load() < 0 {
			p.movedAt.Store(int64(now))
		}
		p.heardAt.Store(int64(now))
		p.selected.Store(&selection{from, at, p.find(from)})
	}
}

// reported records authenticated RTCP, if it can have come from the viewer's address.
func (p *path) reported(at time.Time) {
	if s := p.selected.Load(); s != nil {
		last := s.LastReceived()
		if at.Sub(last) > sameSource || last.Sub(s.since) < moveEcho {
			return
		}
	}
	p.heardAt.Store(int64(p.now()))
	p.movedAt.Store(-1)
}

// connection returns the ICE-TCP connection by which media go. It returns nil when
// they go over UDP, or nowhere.
func (p *path) connection() connection {
	if s := p.selected.Load(); s != nil {
		return s.connection
	}
	return nil
}

// connected records the end of the DTLS handshake.
func (p *path) connected(now time.Duration) { p.heardAt.Store(int64(now)) }

// consent returns what the viewer has shown. picture is when the last picture was sent.
func (p *path) consent(lastPicture time.Duration) consent {
	return consent{time.Duration(p.heardAt.Load()), time.Duration(p.movedAt.Load()), lastPicture}
}

func sameAddress(a, b source) bool {
	return a.Port() == b.Port() && a.Address() == b.Address() && a.NetworkType() == b.NetworkType()
}
