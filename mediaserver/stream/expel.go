package stream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/signalling"
)

// This file has the rules of expelled publications: those whose media made what plays
// them panic. What plays them is started anew, and must not meet the same bytes again.
//
// A publisher of this server is known by its address, so that an honest second encoder
// can take the stream over at once. It may also go to the other leg's server, and come
// back through the relay. A relayed publication is therefore refused unless it began
// before the expulsion, or is older than the relayed one that was expelled.

const (
	// ExpulsionTime is for how long an expelled publisher is refused.
	ExpulsionTime = 30 * time.Second
	// maxExpulsions bounds those that a stream remembers: of more, the latest.
	maxExpulsions = 16
)

// ErrExpelled is for a publisher whose media made the server fail.
var ErrExpelled = errors.New("what this publisher sent made the server fail: it is refused for 30 seconds; check the encoder, and report this with the server's log")

// An expulsion refuses a publisher until a time on the media clock.
type expulsion struct {
	// relayed says that the publication was; else host is the publisher's.
	relayed bool
	host    string
	// began is the first time at which a relayed publication that is refused began.
	began time.Time
	until time.Duration
}

// Expel ends the publication and refuses its publisher for 30 s, because what it sent
// made what plays it panic. Of a derived publication it expels the one that it is made
// of. It may be called again.
func (p *Publication) Expel() {
	for p.req.MadeOf != nil {
		p = p.req.MadeOf
	}
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	e := expulsion{relayed: p.req.Relayed, began: p.req.Began, until: now + ExpulsionTime}
	if !p.req.Relayed {
		e.host, e.began = signalling.HostOf(p.req.Remote), s.registry.epoch.Add(now)
	}
	s.expulsions = append(s.inForce(now), e)
	if n := len(s.expulsions) - maxExpulsions; n > 0 {
		s.expulsions = slices.Delete(s.expulsions, 0, n)
	}
	s.log.Error("publisher expelled: what it sent made the server fail", "protocol", p.req.Protocol,
		"remote", p.req.Remote, "publication", p.id, "refusedFor", ExpulsionTime)
	s.end(p, EndExpelled, ErrExpelled)
	s.notify()
}

// inForce returns the expulsions that have not passed. s.mu is held.
func (s *Stream) inForce(now time.Duration) []expulsion {
	s.expulsions = slices.DeleteFunc(s.expulsions, func(e expulsion) bool { return now >= e.until })
	return s.expulsions
}

// isExpelled reports whether a publisher of this server, at that address, is refused.
// s.mu is held.
func (s *Stream) isExpelled(remote string, now time.Duration) bool {
	host := signalling.HostOf(remote)
	return slices.ContainsFunc(s.inForce(now), func(e expulsion) bool { return !e.relayed && e.host == host })
}

// isRelayExpelled reports whether a relayed publication that began then is refused. One
// whose beginning is not known may be any. s.mu is held.
func (s *Stream) isRelayExpelled(began time.Time, now time.Duration) bool {
	return slices.ContainsFunc(s.inForce(now), func(e expulsion) bool { return began.IsZero() || !began.Before(e.began) })
}

// expulsionWarning tells of expulsions in the stream's status while they last. s.mu is
// held.
func (s *Stream) expulsionWarning(now time.Duration) []Warning {
	expelled := s.inForce(now)
	if len(expelled) == 0 {
		return nil
	}
	who := expelled[len(expelled)-1].host
	if expelled[len(expelled)-1].relayed {
		who = "the other leg's server"
	}
	return []Warning{{"PublisherExpelled", fmt.Sprintf(
		"What a publisher at %s sent made the server fail: it was ended and is refused for 30 s. Check the encoder, and report this with the server's log.", who)}}
}
