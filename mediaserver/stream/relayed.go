package stream

import (
	"fmt"
	"slices"
	"time"
)

// This file has the rules of relayed publications: those of another server's publisher.
// One gives way to a publisher of this server that is live, and of two relayed ones, of
// servers that both have a publisher, the later wins.

// HasPublisher says whether somebody publishes to this server, or is about to, and is not
// silent.
func (s *Stream) HasPublisher() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasPublisher(s.now())
}

func (s *Stream) hasPublisher(now time.Duration) bool {
	for _, p := range []*Publication{s.current, s.pending} {
		if p != nil && !p.req.Relayed && !p.silent(now, s.registry.cfg.InputLoss) {
			return true
		}
	}
	return false
}

// Admits says whether a relayed publication from that server, which began there then, may
// begin here: it is not expelled, HasPublisher is false, and no other server relays one that began later, or at
// the same time, as one does that has two addresses, unless that is silent. A zero time is
// that of one of which it is not known: it waits behind all others.
func (s *Stream) Admits(remote string, began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admits(remote, began, s.now())
}

func (s *Stream) admits(remote string, began time.Time, now time.Duration) bool {
	if s.hasPublisher(now) || s.isRelayExpelled(began, now) {
		return false
	}
	for _, p := range []*Publication{s.current, s.pending} {
		switch {
		case p == nil || !p.req.Relayed || p.silent(now, s.registry.cfg.InputLoss):
		case p.req.Remote == remote && !began.Before(p.req.Began):
		case !began.After(p.req.Began):
			return false
		}
	}
	return true
}

// publishRelayed begins a relayed publication. In the place of a publisher of this server
// it waits for its IDR, however silent that is: a connection that stalls for a moment is
// not to be ended for one that brings nothing either. s.mu is held.
func (s *Stream) publishRelayed(req PublishRequest, now time.Duration) (*Publication, error) {
	if s.isRelayExpelled(req.Began, now) {
		return nil, fmt.Errorf("relay %s: %w", s.key, ErrExpelled)
	}
	if !s.admits(req.Remote, req.Began, now) {
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
	for _, p := range append(slices.Clone(s.contenders), s.pending, s.current) {
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
	for _, p := range append([]*Publication{s.current, s.pending}, s.contenders...) {
		if p != nil && !p.req.Relayed {
			p.leaving = true
		}
	}
	s.notify()
}
