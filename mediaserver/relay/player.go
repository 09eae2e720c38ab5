package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// soundAlone is how long a publication must have lacked a picture before a player gets its
	// sound alone.
	soundAlone = time.Second
	// vacancy is how long a player is kept while nobody publishes. An encoder may connect again in
	// that time.
	vacancy = 5 * time.Second
)

// servePlayer sends a stream to a player.
func (h *Handler) servePlayer(w http.ResponseWriter, r *http.Request, key stream.Key) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // players may be in pages of other sites; no cookie is used
	switch err := h.cfg.Play(key.App, key.ID, signalling.Token(r)); {
	case stream.IsUnknown(err):
		h.refuse(w, http.StatusNotFound, "unknown_stream", err.Error())
		return
	case errors.Is(err, jwks.ErrUnavailable):
		h.sendElsewhere(w, "5", "no_keys", err.Error())
		return
	case err != nil:
		h.refuse(w, http.StatusUnauthorized, "unauthorized", err.Error())
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
		place.Hold() // the stream is published, so media goes to the player at once
		defer place.Leave()
	}
	defer h.players.Add(-1)
	if h.cfg.Full(int(h.players.Add(1)) - 1) {
		h.refuseFull(w)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	revoked, until := h.cfg.Validity(key.App, key.ID, signalling.Token(r))
	if !until.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	go func() {
		select {
		case <-revoked:
			cancel()
		case <-ctx.Done():
		}
	}()
	h.serve(w, r.WithContext(ctx), key, "flv", h.leaving, func(a *answer, s *stream.Stream) (feeder, error) { return newPlayerSender(a, s), nil })
}

func (h *Handler) refuseFull(w http.ResponseWriter) {
	h.sendElsewhere(w, "5", "full", "the server has as many viewers as it accepts; try again in a few seconds")
}

// sendElsewhere refuses a player. Its next attempt, on another connection, reaches another server.
func (h *Handler) sendElsewhere(w http.ResponseWriter, after, reason, text string) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", after)
	signalling.LinkAlternate(w, h.cfg.Alternate())
	h.refuse(w, http.StatusServiceUnavailable, reason, text)
}

// PlayerCount returns the number of players.
func (h *Handler) PlayerCount() int { return int(h.players.Load()) }

// errOver ends a player's answer because nobody publishes the stream any more.
var errOver = errors.New("the stream is over")

// A playerSender writes a stream as FLV for a player, whether the stream is published here or
// relayed. The player gets nothing but media, and times from zero. The first picture is an IDR or a
// recovery point. A playerSender is for one goroutine. Its methods return errors of the writer,
// errOver or errSlow.
type playerSender struct {
	stream   *stream.Stream
	answer   *answer
	pace     pace
	muxer                  // has no writer until the player has media to begin with
	pictured bool          // whether a picture was sent
	vacant   time.Duration // since when nobody publishes; 0: somebody does
}

func newPlayerSender(a *answer, s *stream.Stream) *playerSender {
	return &playerSender{stream: s, answer: a}
}

// begin sends the cached media, if there is media to begin with.
func (p *playerSender) begin() error { return p.update() }

// update looks at the current publication, and begins with it if the player has got no media yet.
func (p *playerSender) update() error {
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
		// The cached pictures are from before the track failed.
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
	p.flv, p.origin, p.monotonic, p.pace = f, units[0].DTS, true, newPace(p.stream.Now())
	for _, u := range units {
		if err := p.deliver(u, true); err != nil {
			return err
		}
	}
	return nil
}

// hasPictures reports whether a player is to get the pictures of a track. It is not if no player
// could show them.
func hasPictures(video stream.TrackSnapshot) bool {
	return video.Announced && (video.Fault == nil || video.Fault.Limited)
}

// canBegin reports whether decoding can begin with access unit u.
func canBegin(u *stream.AccessUnit) bool { return u.IDR || u.RecoveryPoint }

// send sends an access unit that has just come.
func (p *playerSender) send(u *stream.AccessUnit) error {
	if p.flv == nil {
		return p.update()
	}
	return p.deliver(u, false)
}

// deliver writes an access unit if it continues what the player has got, within the time that the
// player has for it. burst has the same meaning as for pace.next.
func (p *playerSender) deliver(u *stream.AccessUnit, burst bool) error {
	if id := u.Publication.ID(); u.DTS < p.origin || id < p.publication {
		return nil // it precedes what the player began with, or its publication was taken over
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

// beat is called every heartbeat.
func (p *playerSender) beat() error {
	if err := p.update(); err != nil {
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
