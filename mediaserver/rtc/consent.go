package rtc

import (
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"
)

// Media go to a viewer only while that viewer shows that it wants them (consent, RFC 7675).
// A lite agent checks no address by itself (RFC 8445 section 2.5): one request with a
// forged source would turn a whole session on somebody else. Browsers renew consent at
// least every 6 s, and report on a picture about once a second and on sound alone every
// 5 s.
const (
	consentTimeout    = 10 * time.Second
	newAddressPicture = 3 * time.Second
	newAddressSound   = 8 * time.Second

	// pictureRecent is how long before a change of address the last picture may have been
	// sent for the viewer to be one that is sent pictures.
	pictureRecent = time.Second
	// sameSource is how close to an authenticated report something must have come from the
	// viewer's address: SRTCP does not tell its source.
	sameSource = time.Second
	// settling is how long after a change of address what comes may still be the request
	// that changed it.
	settling = 100 * time.Millisecond
)

// A consent is what a viewer has shown, by when. All times are on the media clock.
type consent struct {
	heard   time.Duration // when the last authenticated packet came
	moved   time.Duration // when the address changed; negative: it has been heard of since
	picture time.Duration // when the last picture was sent; negative: never
}

// given reports whether media may be sent at a time.
func (c consent) given(now time.Duration) bool {
	if now-c.heard >= consentTimeout {
		return false
	}
	if c.moved < 0 {
		return true
	}
	limit := newAddressSound
	if c.picture >= 0 && c.picture >= c.moved-pictureRecent {
		limit = newAddressPicture
	}
	return now-c.moved < limit
}

// A source is where a viewer's packets come from.
type source interface {
	Address() string
	Port() int
	NetworkType() ice.NetworkType
	LastReceived() time.Time
}

// A connection is what media to a viewer need of an ICE-TCP connection; see icetcp.Conn.
type connection interface {
	HasRoom(then func()) bool
	Waiting() time.Duration
}

// A path is what a viewer's ICE agent shows of the way to the viewer.
type path struct {
	now func() time.Duration // the media clock; set before the offer is accepted
	// find returns the connection of a source; nil: it has none, as over UDP.
	find func(source) connection

	heard, moved atomic.Int64 // as in consent, ns
	selected     atomic.Pointer[selection]
}

// A selection is the viewer's address that media are sent to, and since when.
type selection struct {
	source
	since      time.Time
	connection connection // nil: UDP
}

func newPath(find func(source) connection) *path {
	p := &path{now: func() time.Duration { return 0 }, find: find}
	p.moved.Store(-1)
	return p
}

// request takes note of a binding request whose integrity was checked. It is an ICE
// agent's binding request handler, which is called one request at a time, and never asks
// for another pair.
func (p *path) request(m *stun.Message, _, remote ice.Candidate, _ *ice.CandidatePair) bool {
	p.requested(nominates(m), remote, time.Now())
	return false
}

// nominates reports whether a request selects its pair: a lite agent obeys each nomination
// (RFC 8445 section 8.1.1), and those of libwebrtc's renomination.
func nominates(m *stun.Message) bool {
	return m.Contains(stun.AttrUseCandidate) || m.Contains(ice.DefaultNominationAttribute)
}

func (p *path) requested(nominates bool, from source, at time.Time) {
	selected, now := p.selected.Load(), p.now()
	switch {
	case selected != nil && sameAddress(selected.source, from):
		p.heard.Store(int64(now))
		p.moved.Store(-1)
		if selected.source != from { // ICE replaces what it knows of an address
			p.selected.Store(&selection{from, selected.since, selected.connection})
		}
	case selected == nil && !nominates:
		p.heard.Store(int64(now))
	case selected == nil:
		p.heard.Store(int64(now))
		p.selected.Store(&selection{from, at, p.find(from)})
	case nominates:
		// While the address before is unproved, too, its time goes on.
		if p.moved.Load() < 0 {
			p.moved.Store(int64(now))
		}
		p.heard.Store(int64(now))
		p.selected.Store(&selection{from, at, p.find(from)})
	}
}

// reported takes note of RTCP that was authenticated, if it can have come from the
// viewer's address.
func (p *path) reported(at time.Time) {
	if s := p.selected.Load(); s != nil {
		last := s.LastReceived()
		if at.Sub(last) > sameSource || last.Sub(s.since) < settling {
			return
		}
	}
	p.heard.Store(int64(p.now()))
	p.moved.Store(-1)
}

// connection is the connection that media go by; nil: they go over UDP, or nowhere.
func (p *path) connection() connection {
	if s := p.selected.Load(); s != nil {
		return s.connection
	}
	return nil
}

// connected takes note of the end of the DTLS handshake.
func (p *path) connected(now time.Duration) { p.heard.Store(int64(now)) }

// consent returns what the viewer has shown. picture is when the last picture was sent.
func (p *path) consent(picture time.Duration) consent {
	return consent{time.Duration(p.heard.Load()), time.Duration(p.moved.Load()), picture}
}

func sameAddress(a, b source) bool {
	return a.Port() == b.Port() && a.Address() == b.Address() && a.NetworkType() == b.NetworkType()
}
