package signalling

import (
	"errors"
	"net/http"
	"slices"

	"github.com/streampair/streampair/mediaserver/sdpfrag"
)

// maxCandidates bounds the candidates that a client may trickle; sdpoffer bounds those of the
// offer. Further candidates are ignored. An ICE-lite server does not need them: it answers whoever
// reaches it.
const maxCandidates = 128

// Why a candidate is ignored. The client is not told, because its other candidates may work.
const (
	ignoredUnreadable = "unreadable"
	ignoredUnusable   = "unusable" // it has a name instead of an address, or a form that pion does not take
	ignoredSurplus    = "surplus"
)

// patch adds trickled candidates, RFC 9725 section 4.3.2 and RFC 8840. ICE restarts are not
// supported, so a session has one ICE session, and a request without If-Match can mean no other.
// A client whose network has changed opens a new session.
func (f *Front) patch(w http.ResponseWriter, r *http.Request, s *Session) *Refusal {
	body, refusal := ReadBody(w, r, sdpfrag.ContentType, sdpfrag.MaxSize)
	if refusal != nil {
		return refusal
	}
	fragment, err := sdpfrag.Parse(body)
	match := r.Header.Get("If-Match")
	switch {
	case errors.Is(err, sdpfrag.ErrTooLarge):
		return Refuse(http.StatusRequestEntityTooLarge, ReasonBodyTooLarge, "The body is too large: %v. Send fewer candidates.", err)
	case err != nil:
		return Refuse(http.StatusBadRequest, ReasonMalformedFragment, "The body is not an SDP fragment: %v.", err)
	case match != "" && match != "*" && match != s.etag:
		return Refuse(http.StatusPreconditionFailed, ReasonWrongETag, "If-Match is not this session's ETag, %s.", s.etag)
	case fragment.Ufrag != "" && !slices.Contains(s.Ufrags, fragment.Ufrag):
		return Refuse(http.StatusUnprocessableEntity, ReasonICERestart,
			"ICE restarts are not supported: DELETE this session and POST a new offer.")
	}
	for reason, n := range s.addCandidates(fragment) {
		f.cfg.Metrics.CandidatesIgnored.WithLabelValues(f.cfg.Protocol, reason).Add(float64(n))
	}
	w.WriteHeader(http.StatusNoContent) // without an ETag, RFC 9725 section 4.3.2
	return nil
}

// addCandidates gives the candidates of a fragment to the session's connection. It returns how many it
// ignored, by reason.
func (s *Session) addCandidates(f sdpfrag.Fragment) (ignored map[string]int) {
	ignored = map[string]int{ignoredUnreadable: f.Unreadable, ignoredSurplus: f.Surplus}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range f.Candidates {
		switch {
		case !sdpfrag.HasAddress(c.Value):
			ignored[ignoredUnusable]++
		case s.candidates == maxCandidates:
			ignored[ignoredSurplus]++
		default:
			s.candidates++
			if s.Candidates.AddCandidate(c.Value) != nil {
				ignored[ignoredUnusable]++
			}
		}
	}
	return ignored
}
