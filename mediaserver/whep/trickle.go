package whep

import (
	"errors"
	"net/http"
	"slices"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/sdpfrag"
)

// maxCandidates bounds the candidates that are taken of all that a viewer trickles. The
// rest is ignored: an ICE-lite server answers whoever reaches it, known as a candidate or not.
const maxCandidates = 64

// patch takes a viewer's ICE candidates as it finds them (RFC 9725 section 4.3,
// RFC 8840). ICE restarts are not supported: a player whose network has changed
// opens a new session, and gets its picture at once.
func (h *Handler) patch(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w)
	s, refused := h.find(r)
	if refused == nil {
		refused = s.trickle(w, r)
	}
	if refused != nil {
		h.refuse(w, r, refused)
		return
	}
	w.Header().Set("ETag", s.etag)
	w.WriteHeader(http.StatusNoContent)
}

func (s *session) trickle(w http.ResponseWriter, r *http.Request) *refusal {
	body, refused := readBody(w, r, sdpfrag.ContentType, sdpfrag.MaxSize)
	if refused != nil {
		return refused
	}
	fragment, err := sdpfrag.Parse([]byte(body))
	if errors.Is(err, sdpfrag.ErrTooLarge) {
		return &refusal{http.StatusRequestEntityTooLarge, err.Error(), "body_too_large"}
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "malformed SDP fragment: " + err.Error(), "bad_fragment"}
	}
	if fragment.Ufrag != "" && !slices.Contains(s.ufrags, fragment.Ufrag) {
		return &refusal{http.StatusUnprocessableEntity, "ICE restarts are not supported; open a new session", "ice_restart"}
	}
	// Players that do not send If-Match are let through: there is only one ICE
	// session that they can mean.
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != s.etag {
		return &refusal{http.StatusPreconditionFailed, "If-Match is not the session's ETag", "etag"}
	}
	for _, c := range fragment.Candidates {
		if !sdpfrag.HasAddress(c.Value) {
			continue // others may work
		}
		if s.candidates.Add(1) > maxCandidates {
			break
		}
		mid := c.Mid
		_ = s.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Value, SDPMid: &mid})
	}
	return nil
}
