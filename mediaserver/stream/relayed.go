package stream

import (
	"fmt"
	"slices"
	"time"
)

// This file has the rules for relayed publications: those of another server's publisher. A relayed
// publication gives way to a live publisher of this server. If two other servers both have a
// publisher, the publication that began later wins.

// HasPublisher reports whether a publisher of this server is on air or waits for its first IDR, and
// is not silent.
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

// Admits reports whether a relayed publication may begin here. It comes from the server remote, and
// began there at began. It must not be expelled, and HasPublisher must be false.
//
// A relayed publication that is not silent keeps out publications that began earlier. It also keeps
// out publications of other addresses that began at the same time: a server with two addresses must
// not replace its own publication. A publication whose start is unknown has a zero time. It is
// admitted last.
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

// publishRelayed begins a relayed publication. If a publisher of this server is on air, the relayed
// publication waits for its own IDR, however silent that publisher is. A connection that stalls for
// a moment must not be ended for a relay that brings no media either. s.mu must be held.
func (s *Stream) publishRelayed(req PublishRequest, now time.Duration) (*Publication, error) {
	if s.isRelayExpelled(req.Began, now) {
		return nil, fmt.Errorf("relay %s: %w", s.key, ErrExpelled)
	}
	if !s.admits(req.Remote, req.Began, now) {
		return nil, fmt.Errorf("relay %s: %w", s.key, ErrStreamInUse)
	}
	for s.current != nil && s.current.req.Relayed && s.current.silent(now, s.registry.cfg.InputLoss) {
		s.end(s.current, EndTakenOver, ErrTakenOver) // a publication that waits behind it is the incumbent now
	}
	p := s.newPublication(req, now)
	if s.current == nil {
		s.begin(p)
		return p, nil
	}
	return s.waitForIDR(p), nil
}

// mustGiveWay reports whether p is relayed and waits behind a publisher of this server that sends
// again. stream.mu must be held.
func (p *Publication) mustGiveWay() bool {
	s := p.stream
	return p == s.pending && p.waitsBehindLocal() && !s.current.silent(s.now(), s.registry.cfg.InputLoss)
}

func (p *Publication) waitsBehindLocal() bool { return p.req.Relayed && !p.stream.current.req.Relayed }

// EndLocal ends the publications of this server's publishers, who are told err. Relayed publications
// may begin then.
func (s *Stream) EndLocal(reason EndReason, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range append(slices.Clone(s.contenders), s.pending, s.current) {
		if p != nil && !p.req.Relayed {
			s.end(p, reason, err)
		}
	}
}

// Leave notes that the server which has the publisher is about to end. Whoever can do without the
// publication should leave it.
func (p *Publication) Leave() {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.leaving && !p.ended {
		p.leaving = true
		s.notify()
	}
}

// leave marks the publications of this server's publishers as leaving.
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
