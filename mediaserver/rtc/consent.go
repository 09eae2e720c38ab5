package rtc

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"
)

// consentTimeout is how long media go to a viewer from whose address nothing authenticated comes
// (consent, RFC 7675). Browsers renew consent at least every 6 s, and answer a check of the server
// every keepaliveInterval.
const consentTimeout = 10 * time.Second

// A connection is what sending media needs of an ICE-TCP connection; see icetcp.Conn.
type connection interface {
	HasRoom(then func()) bool
	Waiting() time.Duration
}

// A path is what a viewer's ICE agent shows of the network path to the viewer. The agent checks each
// address that nominates itself, and selects it when it has answered. So media go only to an
// address that has sent authenticated packets. The path knows for how long it still does.
type path struct {
	now func() time.Duration // the media clock; set before the offer is accepted
	// find returns the ICE-TCP connection from an address; nil: there is none.
	find func(netip.AddrPort) connection

	// heardAt is when the last authenticated request came from the selected address, in ns on the
	// media clock. pair is the pair of addresses by which the request came.
	heardAt  atomic.Int64
	pair     atomic.Pointer[ice.CandidatePair]
	selected atomic.Pointer[selection]
}

// A selection is the pair of addresses between which media are sent.
type selection struct {
	local      netip.AddrPort
	address    netip.AddrPort // of the viewer
	connection connection     // nil: UDP
}

func newPath(find func(netip.AddrPort) connection) *path {
	return &path{now: func() time.Duration { return 0 }, find: find}
}

// request records a binding request whose integrity was checked. It is an ICE agent's binding
// request handler. It reports whether the agent must select the pair. The client has nominated the
// pair, and has answered a check on it. By itself the agent would stay with a pair of higher
// priority, which the client may have left because it no longer works.
func (p *path) request(m *stun.Message, local, remote ice.Candidate, pair *ice.CandidatePair) bool {
	s := p.selected.Load()
	if s == nil || s.address == addressOf(remote) {
		p.heardAt.Store(int64(p.now()))
		p.pair.Store(pair)
	}
	isSelected := s != nil && s.address == addressOf(remote) && s.local == addressOf(local)
	return s != nil && !isSelected && m.Contains(stun.AttrUseCandidate) && pair.ResponsesReceived() > 0
}

// selectPair records the pair that the ICE agent has selected.
func (p *path) selectPair(local, remote ice.Candidate) {
	s := &selection{local: addressOf(local), address: addressOf(remote)}
	if remote.NetworkType().IsTCP() {
		s.connection = p.find(s.address)
	}
	p.selected.Store(s)
	p.connected()
}

// connection returns the ICE-TCP connection by which media go. It returns nil when
// they go over UDP, or nowhere.
func (p *path) connection() connection {
	if s := p.selected.Load(); s != nil {
		return s.connection
	}
	return nil
}

// connected records that the viewer has just proved its address.
func (p *path) connected() { p.heardAt.Store(int64(p.now())) }

// consents reports whether media may be sent at a time on the media clock.
func (p *path) consents(now time.Duration) bool {
	if now-time.Duration(p.heardAt.Load()) < consentTimeout {
		return true
	}
	pair := p.pair.Load()
	return pair != nil && time.Since(pair.LastResponseReceivedAt()) < consentTimeout
}
