package stream

import (
	"fmt"
	"time"
)

// This file has the rules of relayed publications: those of another server's publisher.
// One gives way to a publisher of this server that is live, and of two relayed ones, of
// servers that both have a publisher, the later wins.

// Admits says whether a relayed publication that began then at its server may begin here:
// nobody publishes to this server, or who does is silent; and no other server relays one
// that began later, unless that is silent. A zero time is that of one of which it is not
// known.
func (s *Stream) Admits(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admits(began, s.now())
}

func (s *Stream) admits(began time.Time, now time.Duration) bool {
	for _, p := range []*Publication{s.current, s.pending} {
		switch {
		case p == nil || p.silent(now, s.registry.cfg.InputLoss):
		case !p.req.Relayed:
			return false
		case began.Before(p.req.Began) && !began.IsZero():
			return false
		}
	}
	return true
}

// publishRelayed begins a relayed publication. In the place of a publisher of this server
// it waits for its IDR, however silent that is: a connection that stalls for a moment is
// not to be ended for one that brings nothing either. s.mu is held.
func (s *Stream) publishRelayed(req PublishRequest, now time.Duration) (*Publication, error) {
	if !s.admits(req.Began, now) {
		return nil, fmt.Errorf("relay %s: %w", s.key, ErrStreamInUse)
	}
	for s.current != nil && s.current.req.Relayed && s.current.silent(now, s.registry.cfg.InputLoss) {
		s.end(s.current, EndTakenOver, ErrTakenOver) // one that waits behind it is the incumbent now
	}
	p := s.newPublication(req, now)
	if s.current == nil {
		s.begin(p)
		return p, nil
	}
	return s.waitForIDR(p), nil
}

// mustGiveWay says whether p is relayed and waits behind a publisher of this server that
// is heard again. stream.mu is held.
func (p *Publication) mustGiveWay() bool {
	s := p.stream
	return p == s.pending && p.behindOwn() && !s.current.silent(s.now(), s.registry.cfg.InputLoss)
}

func (p *Publication) behindOwn() bool { return p.req.Relayed && !p.stream.current.req.Relayed }

// EndOwn ends what publishers of this server send; they are told err. What is relayed may
// begin then.
func (s *Stream) EndOwn(reason EndReason, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*Publication{s.pending, s.current} {
		if p != nil && !p.req.Relayed {
			s.end(p, reason, err)
		}
	}
}

// Leave says that the server which has the publisher is about to end: whoever can do
// without the publication should.
func (p *Publication) Leave() {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.leaving && !p.ended {
		p.leaving = true
		s.notify()
	}
}

// leave marks the publications of this server's publishers.
func (s *Stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*Publication{s.current, s.pending} {
		if p != nil && !p.req.Relayed {
			p.leaving = true
		}
	}
	s.notify()
}
