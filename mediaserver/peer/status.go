package peer

import (
	"errors"
	"fmt"
	"net/netip"

	api "github.com/streampair/streampair/api/control"
)

// maxClearPeers bounds how many addresses the operator may tell.
const maxClearPeers = 16

var errNotTold = errors.New("this server was not made by the operator: --peer says how its peer is reached")

// isTold reports whether the operator tells this server how to reach the peers.
func (p *Peer) isTold() bool {
	return p.directory != nil && p.cfg.ToldByOperator && !p.cfg.Insecure
}

// Tell sets how the peers are reached, as the operator says. The error has one line per mistake.
// After an error nothing has changed.
func (p *Peer) Tell(told api.Peers) error {
	if !p.isTold() {
		return errNotTold
	}
	if len(told.Clear) > maxClearPeers {
		return fmt.Errorf("clear: %d addresses, and at most %d are taken", len(told.Clear), maxClearPeers)
	}
	var policy ClearPolicy
	var mistakes []error
	for i, text := range told.Clear {
		a, err := netip.ParseAddr(text)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("clear[%d]: %.60q is no IP address", i, text))
		}
		policy.Clear = append(policy.Clear, a)
	}
	if len(mistakes) > 0 {
		return errors.Join(mistakes...)
	}
	p.directory.SetClearPolicy(policy)
	return nil
}

// NoteOldOperator notes that the operator does not tell of peers. Such an operator, for example
// after a rollback, is of an older version. The peers may be of that version too, or soon will be.
func (p *Peer) NoteOldOperator() {
	if p.isTold() {
		p.directory.SetClearPolicy(ClearPolicy{Any: true})
	}
}

// Status describes how this server is connected with the peers; nil: not at all. listening reports
// whether the relay port is open.
func (p *Peer) Status(listening bool) *api.PeerRelay {
	if !listening && p.directory == nil {
		return nil
	}
	st := &api.PeerRelay{TLS: listening}
	if p.directory == nil {
		return st
	}
	var policy ClearPolicy
	policy, st.Told = p.directory.ClearPolicy()
	st.ClearAny = policy.Any
	for _, a := range policy.Clear {
		st.Clear = append(st.Clear, a.String())
	}
	for _, l := range p.directory.Links() {
		link := api.PeerLink{Address: l.Address.String()}
		switch {
		case l.TLS:
			link.Transport = api.TransportTLS
		case l.Clear:
			link.Transport = api.TransportClear
		}
		st.Links = append(st.Links, link)
	}
	return st
}

// changed counts the peers that are connected, and tells of the change.
func (p *Peer) changed() {
	p.counting.Lock()
	defer p.counting.Unlock()
	overTLS, inClear := 0, 0
	for _, l := range p.directory.Links() {
		if l.TLS {
			overTLS++
		} else if l.Clear {
			inClear++
		}
	}
	p.cfg.Metrics.PeersConnected.WithLabelValues("tls").Set(float64(overTLS))
	p.cfg.Metrics.PeersConnected.WithLabelValues("clear").Set(float64(inClear))
	p.cfg.OnChange()
}
