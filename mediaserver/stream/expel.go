package stream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
)

// This file has the rules for expelled publications. The media of such a publication made a part of
// this server panic, for example a pair. That part is started anew, and must not get the same bytes
// again.
//
// A publisher of this server is identified by its address, so an honest second encoder can take the
// stream over at once. The expelled publisher may go to the other leg's server and come back through
// the relay. So a relayed publication must have begun before the expulsion. If the expelled
// publication was relayed itself, others must have begun before that publication.

const (
	// ExpulsionTime is how long an expelled publisher is refused.
	ExpulsionTime = 30 * time.Second
	// maxExpulsions bounds the expulsions that a stream remembers. The latest are kept.
	maxExpulsions = 16
)

// ErrExpelled is the error for a publisher whose media made the server fail.
var ErrExpelled = errors.New("what this publisher sent made the server fail: it is refused for 30 seconds; check the encoder, and report this with the server's log")

// An expulsion refuses a publisher until a time on the media clock.
type expulsion struct {
	// relayed reports whether the publication was relayed. Otherwise host is the publisher's
	// address.
	relayed bool
	host    string
	// began: relayed publications that began at or after this time are refused.
	began time.Time
	until time.Duration
}

// Expel ends the publication and refuses its publisher for ExpulsionTime, because its media made a
// goroutine of this server panic. For a derived publication, Expel expels the publication from
// which it is made. Expel may be called again.
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
		e.host, e.began = admission.HostOf(p.req.Remote), s.registry.epoch.Add(now)
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

// inForce returns the expulsions that have not expired. s.mu must be held.
func (s *Stream) inForce(now time.Duration) []expulsion {
	s.expulsions = slices.DeleteFunc(s.expulsions, func(e expulsion) bool { return now >= e.until })
	return s.expulsions
}

// isExpelled reports whether a publisher of this server with that address is refused. s.mu must be
// held.
func (s *Stream) isExpelled(remote string, now time.Duration) bool {
	host := admission.HostOf(remote)
	return slices.ContainsFunc(s.inForce(now), func(e expulsion) bool { return !e.relayed && e.host == host })
}

// isRelayExpelled reports whether a relayed publication that began at began is refused. A
// publication whose start is unknown is refused while any expulsion is in force: it may be the
// expelled one. s.mu must be held.
func (s *Stream) isRelayExpelled(began time.Time, now time.Duration) bool {
	return slices.ContainsFunc(s.inForce(now), func(e expulsion) bool { return began.IsZero() || !began.Before(e.began) })
}

// expulsionWarning returns the warning in the stream's status about an expulsion in force. s.mu
// must be held.
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
