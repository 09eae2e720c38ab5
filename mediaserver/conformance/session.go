package conformance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// A session is a session with the server.
type session struct {
	client *client
	// offer is the client's description. The server's is the body of answer.
	offer  string
	answer answer
	url    string // empty: it has not been opened, or was ended
	// countered reports whether the server's description is a counter-offer, and the client's the
	// answer to it. accepted is what the server says to the client's.
	countered bool
	accepted  answer
}

// open opens a session. missing says why there is none; empty: there is one.
func (r *run) open(ctx context.Context, s *session) (missing string) {
	var err error
	if s.client, err = newClient(r.config.Protocol); err != nil {
		return fmt.Sprintf("no client: %v", err)
	}
	gathering, stop := context.WithTimeout(ctx, gatherTimeout)
	defer stop()
	if s.offer, err = s.client.offer(gathering); err != nil {
		return fmt.Sprintf("no offer: %v", err)
	}
	s.answer = r.post(ctx, s.offer)
	s.url = sessionURL(s.answer)
	if r.config.Protocol == WHEP && s.answer.status == http.StatusNotAcceptable && isCounterOffer(s.answer).outcome == Pass {
		return r.acceptCounterOffer(gathering, s)
	}
	if s.answer.status != http.StatusCreated || s.url == "" {
		return "no session was opened"
	}
	return ""
}

// acceptCounterOffer answers the counter-offer in s.answer, section 4.2.2 of the WHEP draft. missing
// is like that of open.
func (r *run) acceptCounterOffer(ctx context.Context, s *session) (missing string) {
	s.client.close()
	client, err := newClient(WHEP)
	if err != nil {
		s.client = nil
		return fmt.Sprintf("no client: %v", err)
	}
	s.client, s.countered = client, true
	if s.offer, err = s.client.acceptOffer(ctx, s.answer.body); err != nil {
		return fmt.Sprintf("the counter-offer cannot be used: %v", err)
	}
	if s.accepted = r.do(ctx, http.MethodPatch, s.url, s.offer, "Content-Type", sdpType); s.accepted.status != http.StatusNoContent {
		return "no session was opened"
	}
	return ""
}

// sessionURL returns the URL in the Location of a created session; empty: there is none.
func sessionURL(a answer) string {
	location := a.header.Get("Location")
	if !a.is(2) && a.status != http.StatusNotAcceptable || location == "" {
		return ""
	}
	u, err := a.url.Parse(location)
	if err != nil {
		return ""
	}
	return u.String()
}

// end ends the session if it is still there.
func (s *session) end(ctx context.Context, r *run) {
	if s.url != "" {
		r.do(context.WithoutCancel(ctx), http.MethodDelete, s.url, "")
		s.url = ""
	}
	if s.client != nil {
		s.client.close()
	}
}

// discard ends a session that should not have been opened.
func (r *run) discard(ctx context.Context, a answer) {
	if url := sessionURL(a); url != "" {
		r.do(context.WithoutCancel(ctx), http.MethodDelete, url, "")
	}
}

// fragment returns an SDP fragment about the first section of the offer (RFC 8840, RFC 9725 section
// 4.3.2) with the given ICE credentials; empty: those of the offer.
func (s *session) fragment(ufrag, password string, candidates ...string) string {
	first := sectionsOf(s.offer)[0]
	if ufrag == "" {
		ufrag, password = first.value("ice-ufrag"), first.value("ice-pwd")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=group:%s\r\nm=%s 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n",
		ufrag, password, first.value("group"), first.kind, first.value("mid"))
	for _, c := range candidates {
		b.WriteString("a=candidate:" + c + "\r\n")
	}
	return b.String()
}

// candidates returns the candidates of the offer.
func (s *session) candidates() []string {
	var all []string
	for _, section := range sectionsOf(s.offer) {
		all = append(all, section.values("candidate")...)
	}
	return all
}
