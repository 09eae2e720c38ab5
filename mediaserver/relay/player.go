package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// soundAlone is how long a publication without a picture has been on when a player
	// gets its sound alone.
	soundAlone = time.Second
	// vacancy is how long a player is kept while nobody publishes, for an encoder that
	// connects anew.
	vacancy = 5 * time.Second
)

// servePlayer sends a stream to somebody who watches it.
func (h *Handler) servePlayer(w http.ResponseWriter, r *http.Request, key stream.Key) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // players in other sites' pages; no cookie is looked at
	if err := h.cfg.Play(key.App, key.ID, signalling.Token(r)); err != nil {
		if errors.Is(err, ErrUnknownStream) {
			h.refuse(w, http.StatusNotFound, "unknown_stream", err.Error())
		} else {
			h.refuse(w, http.StatusUnauthorized, "unauthorized", err.Error())
		}
		return
	}
	select {
	case <-h.leaving:
		h.sendElsewhere(w, "1", "draining", "the server is shutting down; connect again")
		return
	default:
	}
	if h.cfg.Registry.Stream(key).Snapshot().Publication == nil {
		h.refuse(w, http.StatusNotFound, "not_published", "nobody publishes this stream at the moment")
		return
	}
	if h.cfg.Door != nil {
		place, err := h.cfg.Door.Enter(admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), func() {})
		if err != nil {
			h.refuseFull(w)
			return
		}
		place.Hold() // the stream is there, so media goes to the player at once
		defer place.Leave()
	}
	defer h.players.Add(-1)
	if h.cfg.Full(int(h.players.Add(1)) - 1) {
		h.refuseFull(w)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-h.cfg.Revoked(key.App, key.ID, signalling.Token(r)):
			cancel()
		case <-ctx.Done():
		}
	}()
	h.serve(w, r.WithContext(ctx), key, "flv", h.leaving, func(a *answer, s *stream.Stream) (feeder, error) { return newPlayerSender(a, s), nil })
}

func (h *Handler) refuseFull(w http.ResponseWriter) {
	h.sendElsewhere(w, "5", "full", "the server has as many viewers as it accepts; try again in a few seconds")
}

// sendElsewhere refuses a player. Another server takes its next attempt, on another connection.
func (h *Handler) sendElsewhere(w http.ResponseWriter, after, reason, text string) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", after)
	signalling.LinkAlternate(w, h.cfg.Alternate())
	h.refuse(w, http.StatusServiceUnavailable, reason, text)
}

// PlayerCount is how many players there are.
func (h *Handler) PlayerCount() int { return int(h.players.Load()) }

// errOver ends a player's answer: nobody publishes the stream any more.
var errOver = errors.New("the stream is over")

// A playerSender writes a stream as FLV, for a player: its own publisher's or a relayed one,
// with nothing but media, beginning at zero. The first picture is an IDR, or a recovery point.
// A playerSender is for one goroutine. An error of its methods is one of the writer's, errOver
// or errSlow.
type playerSender struct {
	stream   *stream.Stream
	answer   *answer
	pace     pace
	muxer                  // without a writer until it has begun
	pictured bool          // a picture was sent
	vacant   time.Duration // since when nobody publishes; 0: somebody does
}

func newPlayerSender(a *answer, s *stream.Stream) *playerSender {
	return &playerSender{stream: s, answer: a}
}

// begin sends what is cached, if there is anything to begin with.
func (p *playerSender) begin() error { return p.follow() }

// follow goes on with the publication that there is now.
func (p *playerSender) follow() error {
	snap := p.stream.Snapshot()
	switch {
	case snap.Publication == nil:
		if p.vacant == 0 {
			p.vacant = p.stream.Now()
		}
		return nil
	case p.flv == nil:
		return p.start(snap)
	}
	p.vacant = 0
	return nil
}

// start begins with the publication, if it can be played yet.
func (p *playerSender) start(snap stream.Snapshot) error {
	p.vacant = 0
	pictures := hasPictures(snap.Video)
	if !pictures && p.stream.Now() < snap.Publication.Since+soundAlone {
		return nil
	}
	units := p.stream.Cached()
	begins := canBegin
	if !pictures {
		// Pictures that are cached are from before the track failed.
		begins = func(u *stream.AccessUnit) bool { return u.Kind == stream.Audio }
	}
	for len(units) > 0 && !begins(units[0]) {
		units = units[1:]
	}
	if len(units) == 0 {
		return nil
	}
	f, err := flv.NewWriter(p.answer, pictures, snap.Audio.Announced)
	if err != nil {
		return err
	}
	p.flv, p.origin, p.onward, p.pace = f, units[0].DTS, true, newPace(p.stream.Now())
	for _, u := range units {
		if err := p.deliver(u, true); err != nil {
			return err
		}
	}
	return nil
}

// hasPictures reports whether a player waits for the pictures of a track. It does not if no
// player could show them.
func hasPictures(video stream.TrackSnapshot) bool {
	return video.Announced && (video.Fault == nil || video.Fault.Limited)
}

// canBegin reports whether decoding can begin with a picture.
func canBegin(u *stream.AccessUnit) bool { return u.IDR || u.RecoveryPoint }

// send sends an access unit as it comes.
func (p *playerSender) send(u *stream.AccessUnit) error {
	if p.flv == nil {
		return p.follow()
	}
	return p.deliver(u, false)
}

// deliver writes an access unit if it goes on from the one before, within the time that
// the player has for it. burst is as in pace.next.
func (p *playerSender) deliver(u *stream.AccessUnit, burst bool) error {
	if id := u.Publication.ID(); u.DTS < p.origin || id < p.publication {
		return nil // it belongs with what the player has not had, or has been taken over from
	} else if id > p.publication {
		p.turnTo(id)
	}
	if u.Kind == stream.Video && !p.pictured {
		if !canBegin(u) {
			return nil
		}
		p.pictured = true
	}
	due := p.pace.next(u.Arrival, u.DTS, burst)
	now := p.stream.Now()
	oldest := p.answer.backlog.Due(due)
	if late(oldest, now) {
		return errSlow
	}
	p.answer.limit = time.Now().Add(oldest + maxAge - now)
	if err := p.write(u); err != nil {
		return err
	}
	p.pace.took(p.stream.Now())
	p.answer.backlog.Mark(due)
	return nil
}

// beat is called now and then.
func (p *playerSender) beat() error {
	if err := p.follow(); err != nil {
		return err
	}
	now := p.stream.Now()
	if late(p.answer.backlog.Due(now), now) {
		return errSlow
	}
	if p.vacant != 0 && now-p.vacant > vacancy {
		return errOver
	}
	return nil
}
