package whep

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

// maxEndpoint bounds the URL that a session keeps, in bytes. A token in it may be long.
const maxEndpoint = 4 << 10

// A session is the WHEP session of one viewer.
type session struct {
	*signalling.Session
	handler                 *Handler
	from                    netip.Prefix // the viewer's network
	app, streamID, backupID string
	reach                   rtc.Reach
	connection              *rtc.ViewerConnection
	viewer                  *rtc.Viewer
	output                  *rtc.Output // of the viewer
	events                  eventStreams
	// offers reports whether the server offers, see Handler.Offer. onConnected is called once the client
	// has connected; nil: nobody asks.
	offers      bool
	onConnected func()
	// endpoint is the path and query of the URL at which the session was opened, without the token;
	// empty: it is too long.
	endpoint string
	release  func()                   // gives the output back; nil: the session has no output
	validity atomic.Pointer[validity] // of the token that opened or renewed the session
}

// A validity is until when a session may last.
type validity struct {
	revoked <-chan struct{} // closed: no longer; may be nil
	until   time.Time       // zero: for ever
}

// ended returns why the session must end, for the metrics; empty: it need not.
func (v *validity) ended(now time.Time) string {
	select {
	case <-v.revoked:
		return "token_replaced"
	default:
	}
	if !v.until.IsZero() && now.After(v.until) {
		return "token_expired"
	}
	return ""
}

// newSession returns a session that has not begun yet.
func (h *Handler) newSession(front *signalling.Session, r *http.Request) *session {
	s := &session{Session: front, handler: h, from: admission.NetworkOf(admission.AddressOf(r.RemoteAddr)), reach: rtc.ReachOf(r)}
	app, streamID, backupID := target(r)
	// Clones do not keep the whole URL of a stranger.
	s.app, s.streamID, s.backupID = strings.Clone(app), strings.Clone(streamID), strings.Clone(backupID)
	query := r.URL.Query()
	query.Del("token") // the token may be another one by then, and the events' URL must not show it
	endpoint := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: query.Encode()}
	if text := endpoint.RequestURI(); len(text) <= maxEndpoint {
		s.endpoint = text
	}
	s.setValidity(signalling.Token(r))
	return s
}

// setValidity notes until when the session may last by a token that opens its stream.
func (s *session) setValidity(token string) {
	revoked, until := s.handler.cfg.Validity(s.app, s.streamID, token)
	s.validity.Store(&validity{revoked, until})
}

// Renew implements signalling.Renewer.
func (s *session) Renew(token string) *signalling.Refusal {
	if refusal := s.handler.check(s.app, s.streamID, s.backupID, token); refusal != nil {
		return refusal
	}
	s.setValidity(token)
	return nil
}

// Negotiate implements signalling.Peer. It makes the viewer and its answer.
func (s *session) Negotiate(offer string) (string, *signalling.Refusal) {
	h := s.handler
	formats, refusal := selectFormats(offer)
	if refusal != nil {
		return "", refusal
	}
	s.Ufrags = formats.ufrags
	output, release, err := h.cfg.Open(s.from, s.app, s.streamID, s.backupID)
	switch {
	case stream.IsUnknown(err):
		return "", refuseUnknown(err)
	case err != nil:
		return "", refuseOpen(err)
	}
	s.output, s.release = output, release
	if refusal := formats.complete(output.SPS()); refusal != nil {
		return "", refusal
	}
	connection, err := h.cfg.Engine.NewViewerConnection(formats.offer)
	if err != nil {
		h.log.Error("make the viewer's connection", "viewer", signalling.LogName(s.ID), "error", err)
		return "", signalling.Refuse(http.StatusInternalServerError, "internal",
			"The server could not make a WebRTC connection; report this with the server's log.")
	}
	s.connection, s.Candidates = connection, connection
	s.viewer, err = output.AddViewer(connection, rtc.ViewerConfig{
		ID: signalling.LogName(s.ID), Protocol: protocol, Video: formats.video, Audio: formats.audio,
		OnConnected: s.connected, OnMedia: s.Place.Hold,
		OnClosed: func(string) {
			release()
			s.Leave()
		},
	})
	if err != nil {
		return "", refuseOpen(err)
	}
	describe := connection.Answer
	if s.offers {
		describe = connection.Offer
	}
	answer, err := describe(s.reach)
	if err != nil {
		return "", signalling.RefuseOffer("The offer can't be answered", err)
	}
	return answer, nil
}

// refuseOpen returns the refusal for an output that cannot be had now.
func refuseOpen(err error) *signalling.Refusal {
	reason := "open"
	if errors.Is(err, rtc.ErrOverloaded) {
		reason = "overload"
	}
	return signalling.RefuseForNow(reason, retryAfter, "%v", err)
}

// connected records that a session has connected. From now on the session counts for the
// address that its media goes to. An HTTP proxy can't hide that address.
func (s *session) connected() {
	if address := s.connection.RemoteAddress(); address.IsValid() {
		s.Place.Move(admission.NetworkOf(address))
	}
	s.Place.Serve()
	if s.onConnected != nil {
		s.onConnected()
	}
}

// Abandon implements signalling.Peer.
func (s *session) Abandon() {
	if s.viewer != nil {
		s.viewer.Close() // gives back all that the session holds
		return
	}
	if s.connection != nil {
		_ = s.handler.cfg.Recovery.Do(protocol, func() { _ = s.connection.Close() })
	}
	if s.release != nil {
		s.release()
	}
}

// Begin implements signalling.Peer.
func (s *session) Begin(r *http.Request, answer http.Header) {
	answer.Set(signalling.EventsHeader, signalling.EventsID(s.ID))
	if s.handler.cfg.Events != nil {
		s.announceEvents(r, answer)
	}
}

// MayUse implements signalling.Peer. Whoever knows the session's id may use the session, because
// only its opener was told the id.
func (s *session) MayUse(*http.Request) bool { return true }

// End implements signalling.Peer.
func (s *session) End(why signalling.Ending) {
	if why == signalling.PushedOut {
		s.handler.drop("pushed_out")
	}
	s.viewer.Close()
}
