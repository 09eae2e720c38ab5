package whip

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/streampair/streampair/mediaserver/stream"
)

// reserve takes a place for s, which leave gives back.
func (h *Handler) reserve(s *session, from netip.Prefix) *refusal {
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.running.Add(1)
	}
	h.mu.Unlock()
	if closed {
		return refusePublish(stream.ErrShuttingDown)
	}
	place, err := h.door.Enter(from, func() { h.pushOut(s) })
	if err != nil {
		h.running.Done()
		r := refuse(http.StatusServiceUnavailable, reasonFull,
			"The server has as many WHIP publishers as it accepts; try again later.")
		r.retryAfter = 5
		return r
	}
	s.place = place
	return nil
}

// pushOut ends a session that has lost its place.
func (h *Handler) pushOut(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cfg.Metrics.PublishRefusals.WithLabelValues("whip", "PushedOut").Inc()
	s.pushedOut = true
	if h.sessions[s.id] != nil { // else it is negotiated still, and start ends it
		go s.end(stream.EndTimeout, errPushedOut)
	}
}

// errPushedOut tells why a publisher who has not connected is ended early.
var errPushedOut = errors.New("it had not connected, and others want its place")

// start lets a session run that was begun.
func (h *Handler) start(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[s.id] = s
	switch { // meanwhile
	case h.closed:
		go s.end(stream.EndShutdown, nil)
	case s.pushedOut:
		go s.end(stream.EndTimeout, errPushedOut)
	}
	go func() {
		defer h.leave(s)
		s.run()
	}()
}

// leave forgets a session and gives its place back.
func (h *Handler) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.id)
	s.place.Leave()
	h.running.Done()
}
