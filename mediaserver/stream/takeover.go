package stream

import (
	"fmt"
	"slices"
	"time"
)

// This file has the rules of who takes a stream over.
//
// Contenders are publishers without a token who came while the stream had a publisher that
// sent nothing. A connection costs a stranger nothing, so a connection alone claims no
// stream. The first to bring media that can be decoded does.

// audioOnlyAfter is how long a newcomer without video is given to send some before
// its audio alone takes the stream over.
const audioOnlyAfter = time.Second

// canTakeOver says whether u is where a newcomer may replace the incumbent. stream.mu
// is held.
func (p *Publication) canTakeOver(u *AccessUnit) bool {
	s := p.stream
	if p != s.pending {
		return false
	}
	if u.begins() && !p.isStale(u) || p.takesOverBySound(u) {
		return true
	}
	// What waits behind a publisher of this server needs an IDR, although that is silent: see
	// mustGiveWay.
	return !p.behindOwn() && s.current.silent(u.Arrival, s.registry.cfg.InputLoss)
}

// isStale says whether u is from a while ago, as a relay has it of a publisher that may have
// fallen silent since: nobody is to be ended for that. stream.mu is held.
func (p *Publication) isStale(u *AccessUnit) bool {
	s := p.stream
	return p.req.Relayed && s.now()-u.Arrival > s.registry.cfg.InputLoss
}

func (p *Publication) takesOverBySound(u *AccessUnit) bool {
	return u.Kind == Audio && !p.video.announced && u.Arrival-p.since > audioOnlyAfter
}

// isIncumbent reports whether p keeps publishers without a token out: p has brought media,
// and is not silent. stream.mu is held.
func (p *Publication) isIncumbent(now time.Duration) bool {
	return p.decodable && !p.silent(now, p.stream.registry.cfg.InputLoss)
}

// publishOpen begins a publication that needed no token. Where another publisher is
// connected and sends nothing, both stay, until one brings media. s.mu is held.
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

// contend decides what becomes of contender p, which brings u, the access unit that can be
// decoded: p goes on air, is refused, or waits for its IDR. stream.mu is held.
func (p *Publication) contend(u *AccessUnit) (takesOver bool, err error) {
	s := p.stream
	waitsWithToken := s.pending != nil && !s.pending.req.Relayed
	if waitsWithToken || s.current.isIncumbent(s.now()) {
		s.refuse()
		s.end(p, EndTakenOver, ErrStreamInUse)
		return false, ErrPublicationEnded
	}
	if !u.begins() && !p.takesOverBySound(u) && !s.current.silent(u.Arrival, s.registry.cfg.InputLoss) {
		return false, nil
	}
	if s.pending != nil {
		s.end(s.pending, EndTakenOver, ErrTakenOver) // a relay, which gives way
	}
	s.removeContender(p)
	s.pending = p
	return true, nil
}

func (s *Stream) isContender(p *Publication) bool { return slices.Contains(s.contenders, p) }

func (s *Stream) removeContender(p *Publication) {
	s.contenders = slices.DeleteFunc(s.contenders, func(c *Publication) bool { return c == p })
}
