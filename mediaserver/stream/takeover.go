package stream

import (
	"fmt"
	"slices"
	"time"
)

// This file has the rules for taking a stream over.
//
// Contenders are publishers without a token who connected while the stream had a publisher that
// sent nothing. A connection costs a stranger nothing, so a connection alone claims no stream. The
// first contender that sends media which can be decoded takes the stream.

// audioOnlyAfter is how long a newcomer without video has to send video. After that, its audio
// alone takes the stream over.
const audioOnlyAfter = time.Second

// canTakeOver reports whether newcomer p may replace the incumbent with access unit u. stream.mu
// must be held.
func (p *Publication) canTakeOver(u *AccessUnit) bool {
	s := p.stream
	if p != s.pending {
		return false
	}
	if u.isEntry() && !p.isStale(u) || p.takesOverBySound(u) {
		return true
	}
	// A relayed publication that waits behind a publisher of this server needs an IDR, even if that
	// publisher is silent: see mustGiveWay.
	return !p.waitsBehindLocal() && s.current.silent(u.Arrival, s.registry.cfg.InputLoss)
}

// isStale reports whether a relayed access unit is old. Its publisher may have fallen silent since,
// and no incumbent must be ended for old media. stream.mu must be held.
func (p *Publication) isStale(u *AccessUnit) bool {
	s := p.stream
	return p.req.Relayed && s.now()-u.Arrival > s.registry.cfg.InputLoss
}

func (p *Publication) takesOverBySound(u *AccessUnit) bool {
	return u.Kind == Audio && !p.video.announced && u.Arrival-p.since > audioOnlyAfter
}

// isIncumbent reports whether p keeps publishers without a token out: p has sent media that can be
// decoded, and is not silent. stream.mu must be held.
func (p *Publication) isIncumbent(now time.Duration) bool {
	return p.decodable && !p.silent(now, p.stream.registry.cfg.InputLoss)
}

// publishOpen begins a publication that needed no token. If another publisher is connected and
// sends nothing, both stay connected until one of them sends media. s.mu must be held.
func (s *Stream) publishOpen(req PublishRequest, now time.Duration) (*Publication, error) {
	if s.current != nil && s.current.isIncumbent(now) {
		s.refuse()
		return nil, fmt.Errorf("publish %s: %w", s.key, ErrStreamInUse)
	}
	p := s.newPublication(req, now)
	if s.current == nil {
		s.begin(p)
	} else {
		s.contenders = append(s.contenders, p)
	}
	return p, nil
}

// contend decides what becomes of contender p when it sends u, an access unit that can be decoded:
// p goes on air, is refused, or waits for its IDR. stream.mu must be held.
func (p *Publication) contend(u *AccessUnit) (takesOver bool, err error) {
	s := p.stream
	waitsWithToken := s.pending != nil && !s.pending.req.Relayed
	if waitsWithToken || s.current.isIncumbent(s.now()) {
		s.refuse()
		s.end(p, EndTakenOver, ErrStreamInUse)
		return false, ErrPublicationEnded
	}
	if !u.isEntry() && !p.takesOverBySound(u) && !s.current.silent(u.Arrival, s.registry.cfg.InputLoss) {
		return false, nil
	}
	if s.pending != nil {
		s.end(s.pending, EndTakenOver, ErrTakenOver) // a relayed publication, which gives way
	}
	s.removeContender(p)
	s.pending = p
	return true, nil
}

func (s *Stream) isContender(p *Publication) bool { return slices.Contains(s.contenders, p) }

func (s *Stream) removeContender(p *Publication) {
	s.contenders = slices.DeleteFunc(s.contenders, func(c *Publication) bool { return c == p })
}
