package whep

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// A session is one viewer's.
type session struct {
	id         string
	place      *admission.Place
	path       string   // its URL's path, so that it is not found under another stream's
	etag       string   // of its ICE session, RFC 9725 section 4.3.1
	ufrags     []string // the viewer's, of the same
	reach      rtc.Reach
	pc         *rtc.ViewerConnection
	viewer     *rtc.Viewer
	release    func() // gives the output back; nil: the session has none
	candidates atomic.Int32
	left       chan struct{} // closed when it has given its place back
	gone       bool          // it has left or must; guarded by Handler.mu
	// revoked is closed when the token that opened the session is good no more; may be nil.
	revoked <-chan struct{}
}

var errShuttingDown = &refusal{http.StatusServiceUnavailable, "the server is shutting down; reconnect", "shutting_down"}

// post opens a session.
func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	s, answer, refused := h.open(w, r)
	if refused != nil {
		h.refuse(w, r, refused)
		return
	}
	header := w.Header()
	header.Set("Content-Type", mediaTypeSDP)
	header.Set("Location", signalling.Location(r, s.id))
	header.Set("ETag", s.etag)
	header.Set(signalling.EventsHeader, signalling.EventsID(s.id))
	header.Set("Accept-Patch", sdpfrag.ContentType)
	header.Set("Cache-Control", "no-store")
	h.linkICEServers(w, r)
	w.WriteHeader(http.StatusCreated)
	if _, err := w.Write([]byte(answer)); err != nil {
		// The viewer can't connect without it; its session times out.
		h.log.Debug("write answer", "viewer", signalling.LogName(s.id), "error", err)
	}
}

// open does what post says, up to the answer.
func (h *Handler) open(w http.ResponseWriter, r *http.Request) (*session, string, *refusal) {
	offer, refused := readBody(w, r, mediaTypeSDP, sdpoffer.MaxBytes)
	if refused != nil {
		return nil, "", refused
	}
	app, streamID, backupID := target(r)
	switch err := h.cfg.Authorize(app, streamID, backupID, signalling.Token(r)); {
	case errors.Is(err, ErrUnknownStream):
		return nil, "", &refusal{http.StatusNotFound, err.Error(), "unknown_stream"}
	case err != nil:
		return nil, "", &refusal{http.StatusUnauthorized, err.Error(), "unauthorized"}
	}
	s := &session{
		id: h.cfg.Origin.NewID(), etag: signalling.NewETag(), left: make(chan struct{}),
		revoked: h.cfg.Revoked(app, streamID, signalling.Token(r)), reach: rtc.ReachOf(r),
	}
	from := admission.NetworkOf(admission.AddressOf(r.RemoteAddr))
	if refused := h.reserve(s, from); refused != nil {
		return nil, "", refused
	}
	// The offer is read only now: what reading offers costs is bounded by the places.
	s.path = strings.TrimSuffix(r.URL.EscapedPath(), "/") + "/" + s.id
	var answer string
	err := h.cfg.Recovery.Do("whep", func() { answer, refused = h.accept(s, from, app, streamID, backupID, offer) })
	if err != nil {
		h.abandon(s)
		return nil, "", &refusal{http.StatusInternalServerError, "the server failed to negotiate; report this with the server's log", "panic"}
	}
	return s, answer, refused
}

// accept reads the offer and negotiates. It leaves on failure.
func (h *Handler) accept(s *session, from netip.Prefix, app, streamID, backupID, offer string) (answer string, refused *refusal) {
	formats, refused := selectFormats(offer)
	if refused != nil {
		h.leave(s)
		return "", refused
	}
	s.ufrags = formats.ufrags
	return h.negotiate(s, from, app, streamID, backupID, formats)
}

// abandon ends a session whose negotiation panicked.
func (h *Handler) abandon(s *session) {
	if s.viewer != nil {
		s.viewer.Close() // gives back what the session holds
		return
	}
	if s.pc != nil {
		_ = h.cfg.Recovery.Do("whep", func() { _ = s.pc.Close() })
	}
	if s.release != nil {
		s.release()
	}
	h.leave(s)
}

// reserve takes a viewer's place for s, if there is one. Whoever has it gives it back by
// leave.
func (h *Handler) reserve(s *session, from netip.Prefix) *refusal {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errShuttingDown
	}
	h.wait.Add(1)
	h.viewers++
	h.mu.Unlock()
	place, err := h.door.Enter(from, func() { h.pushOut(s) })
	if err != nil {
		h.mu.Lock()
		h.viewers--
		h.mu.Unlock()
		h.wait.Done()
		return &refusal{http.StatusServiceUnavailable, "as many viewers are watching as this server accepts; try again later", "max_viewers"}
	}
	s.place = place
	return nil
}

// pushOut ends a session that has lost its place.
func (h *Handler) pushOut(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.gone {
		return
	}
	h.cfg.Metrics.ViewersDropped.WithLabelValues("pushed_out").Inc()
	s.gone = true
	h.viewers--
	if h.sessions[s.id] == nil {
		return // still negotiated: enter will not let it in
	}
	h.forget(s)
	go s.viewer.Close()
}

// connected says that a session waits no more. It counts for the address its media goes to,
// which a proxy of HTTP cannot hide.
func (s *session) connected() {
	if address := rtc.RemoteAddress(s.pc.PeerConnection); address.IsValid() {
		s.place.Move(admission.NetworkOf(address))
	}
	s.place.Serve()
}

// enter makes a session known, unless it has ended already or must end now.
func (h *Handler) enter(s *session) *refusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errShuttingDown
	case s.gone:
		return &refusal{http.StatusServiceUnavailable, "too many viewers are connecting at the same time; try again", "pushed_out"}
	}
	h.sessions[s.id] = s
	h.events[signalling.EventsID(s.id)] = s
	return nil
}

// forget makes a session unknown. h.mu is held.
func (h *Handler) forget(s *session) {
	delete(h.sessions, s.id)
	delete(h.events, signalling.EventsID(s.id))
}

// leave forgets a session and gives its place back.
func (h *Handler) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.gone {
		h.viewers--
	}
	s.gone = true
	h.forget(s)
	s.place.Leave()
	close(s.left)
	h.wait.Done()
}

// negotiate makes the viewer and its answer. It leaves on failure; on success the
// end of the viewer does.
func (h *Handler) negotiate(s *session, from netip.Prefix, app, streamID, backupID string, formats selection) (string, *refusal) {
	output, release, err := h.cfg.Open(from, app, streamID, backupID)
	if err != nil {
		h.leave(s)
		if errors.Is(err, ErrUnknownStream) {
			return "", &refusal{http.StatusNotFound, err.Error(), "unknown_stream"}
		}
		return "", &refusal{http.StatusServiceUnavailable, err.Error(), "open"}
	}
	s.release = release
	fail := func(r *refusal) (string, *refusal) {
		release()
		h.leave(s)
		return "", r
	}
	if refused := formats.complete(output.SPS()); refused != nil {
		return fail(refused)
	}
	s.pc, err = h.peerConnection(formats)
	if err != nil {
		h.log.Error("make peer connection", "viewer", signalling.LogName(s.id), "error", err)
		return fail(&refusal{http.StatusInternalServerError, "the server could not make a WebRTC connection", "internal"})
	}
	s.viewer, err = output.AddViewer(s.pc, rtc.ViewerConfig{
		ID: signalling.LogName(s.id), Protocol: "whep", Video: formats.video, Audio: formats.audio,
		OnConnected: s.connected, OnMedia: s.place.Hold,
		OnClosed: func(string) {
			release()
			h.leave(s)
		},
	})
	if err != nil {
		_ = s.pc.Close()
		return fail(&refusal{http.StatusServiceUnavailable, err.Error(), "open"})
	}
	answer, err := h.answer(s.pc.PeerConnection, formats, s.reach)
	if err != nil {
		s.viewer.Close()
		return "", &refusal{http.StatusBadRequest, "the offer can't be answered: " + err.Error(), "bad_offer"}
	}
	if refused := h.enter(s); refused != nil {
		s.viewer.Close()
		return "", refused
	}
	return answer, nil
}

// answer accepts the offer with the parameters of the selected formats; by itself
// pion repeats those of the offer.
func (h *Handler) answer(pc *webrtc.PeerConnection, formats selection, reach rtc.Reach) (string, error) {
	for _, transceiver := range pc.GetTransceivers() {
		for _, codec := range formats.codecs {
			if !strings.HasPrefix(codec.MimeType, transceiver.Kind().String()+"/") {
				continue
			}
			if err := transceiver.SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
				return "", fmt.Errorf("set %s format: %w", transceiver.Kind(), err)
			}
		}
	}
	return h.cfg.Engine.Answer(pc, formats.offer, reach)
}

func (h *Handler) peerConnection(formats selection) (*rtc.ViewerConnection, error) {
	me, err := rtc.NewMediaEngine(formats.codecs...)
	if err != nil {
		return nil, err
	}
	return h.cfg.Engine.NewViewerConnection(me)
}

// find returns the session a request names; an unknown one may be of an earlier
// process, and the player opens a new one.
func (h *Handler) find(r *http.Request) (*session, *refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sessions[r.PathValue("session")]
	if s == nil || s.path != r.URL.EscapedPath() {
		return nil, &refusal{http.StatusNotFound, "no such session; open a new one", "unknown_session"}
	}
	return s, nil
}

// delete ends a session. Its id, which only its opener was told, is the authorisation.
func (h *Handler) delete(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	s, refused := h.find(r)
	if refused != nil {
		h.refuse(w, r, refused)
		return
	}
	s.viewer.Close()
	w.WriteHeader(http.StatusOK)
}
