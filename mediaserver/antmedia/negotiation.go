package antmedia

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/streampair/streampair/mediaserver/signalling"
)

// target returns the streams that a viewer of a stream gets.
func (s *socket) target(streamID string) (primary, backup string) {
	if key, ok := s.handler.cfg.PairOf(s.app, streamID); ok {
		return key.Primary, key.Backup
	}
	return streamID, ""
}

// play begins to play a stream, once it is there.
func (s *socket) play(m *message) {
	n := s.begin(m, false)
	if n == nil {
		return
	}
	primary, backup := s.target(n.streamID)
	if err := s.handler.cfg.MayPlay(s.app, primary, backup, n.token); err != nil {
		s.refuse(n, signalling.RefuseViewer(err))
		return
	}
	s.goDo(func() {
		if s.awaitMedia(n.ctx, primary, backup) {
			s.offer(n, requestFor(s.request, primary, backup, n.token))
		}
	})
}

// awaitMedia waits until the pair has media. It reports false if ctx has ended before.
func (s *socket) awaitMedia(ctx context.Context, primary, backup string) bool {
	for {
		onAir, changed := s.handler.cfg.OnAir(s.app, primary, backup)
		if onAir || changed == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// offer offers a viewer's session, and waits until it has left.
func (s *socket) offer(n *session, r *http.Request) {
	offered, refusal := s.handler.cfg.Play(r, func() { s.began(n, definitionPlayStarted) })
	if refusal != nil {
		s.refusedByEndpoint(n, refusal)
		return
	}
	s.mu.Lock()
	n.offered = offered
	ended := n.ended
	s.mu.Unlock()
	if ended { // the client has stopped meanwhile
		offered.Close()
		return
	}
	mapping := map[string]string{}
	for _, mid := range offered.Mids {
		mapping[mid] = n.streamID
	}
	s.send(message{Command: commandConfiguration, StreamID: n.streamID, Type: typeOffer, SDP: offered.SDP, IDMapping: mapping})
	select {
	case <-n.ctx.Done():
	case <-offered.Left():
		if s.end(n) { // the client has not asked for that, and connects again
			s.close(websocket.StatusTryAgainLater, "the session has ended; connect again")
		}
	}
}

// publish tells a publisher to send its offer.
func (s *socket) publish(m *message) {
	n := s.begin(m, true)
	if n == nil {
		return
	}
	if refusal := s.handler.cfg.MayPublish(requestFor(s.request, n.streamID, "", n.token)); refusal != nil {
		s.refuse(n, refusal)
		return
	}
	s.send(message{Command: commandStart, StreamID: n.streamID})
}

// configure takes an offer of a publisher, or an answer of a viewer.
func (s *socket) configure(m *message) {
	n := s.session(m.StreamID)
	if n == nil {
		s.fail(m.StreamID, definitionNoStream, http.StatusNotFound, "there is no session of that stream; send play or publish first")
		return
	}
	s.mu.Lock()
	offered, begun := n.offered, n.published != nil
	s.mu.Unlock()
	switch {
	case m.Type == typeAnswer && offered != nil && !n.answered:
		n.answered = true
		if refusal := offered.Accept(m.SDP); refusal != nil {
			s.refuse(n, refusal)
		}
	case m.Type == typeOffer && n.publishes && !begun:
		s.answer(n, m.SDP)
	default:
		s.fail(n.streamID, definitionNotSet, http.StatusConflict, "an offer or an answer was not expected now")
	}
}

// answer answers a publisher's offer.
func (s *socket) answer(n *session, offer string) {
	r := requestFor(s.request, n.streamID, "", n.token)
	published, answer, refusal := s.handler.cfg.Publish(r, offer, func() { s.began(n, definitionPublishStarted) })
	if refusal != nil {
		s.refusedByEndpoint(n, refusal)
		return
	}
	s.mu.Lock()
	n.published = published
	s.mu.Unlock()
	s.send(message{Command: commandConfiguration, StreamID: n.streamID, Type: typeAnswer, SDP: answer})
	s.goDo(func() {
		select {
		case <-n.ctx.Done():
			return
		case <-published.Left():
		}
		switch {
		case !s.end(n): // the client has stopped it
		case s.handler.isDraining():
			s.restart()
		default: // it was taken over, or has failed
			s.notify(n.streamID, definitionPublishFinished)
		}
	})
}
