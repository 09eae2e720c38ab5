package conformance

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// opens is the check on which all that follow depend.
var opens = check{"POST of an offer opens a session", "4.2", "4.2.1", Must, func(_ context.Context, r *run) finding {
	if r.first.countered {
		return when(r.first.accepted.status == http.StatusNoContent, "406, a counter-offer; its answer by PATCH: %s", r.first.accepted)
	}
	return when(r.first.answer.status == http.StatusCreated, "%s", r.first.answer)
}}

// waits is about servers that serve live streams only.
var waits = check{"409 comes with Retry-After", "", "4.2.8", Must, func(_ context.Context, r *run) finding {
	if r.first.answer.status != http.StatusConflict {
		return skip("the offer is answered %s", r.first.answer)
	}
	after := r.first.answer.header.Get("Retry-After")
	return when(after != "", "Retry-After %q", after)
}}

// answerChecks are about the server's description: the answer to the offer, or a counter-offer.
func answerChecks() []check {
	return []check{
		{"the answer is application/sdp", "4.2", "4.2.1", Must, func(_ context.Context, r *run) finding {
			return when(r.first.answer.mediaType() == sdpType, "Content-Type %q", r.first.answer.header.Get("Content-Type"))
		}},
		{"Location names the session", "4.2", "4.2.1", Must, func(_ context.Context, r *run) finding {
			return when(r.first.url != "" && r.first.url != r.config.URL, "Location %q", r.first.answer.header.Get("Location"))
		}},
		{"Location cannot be guessed", "5", "5", Should, func(_ context.Context, r *run) finding {
			return when(isLong(r.first.url), "Location %q", r.first.answer.header.Get("Location"))
		}},
		{"an ETag is strong", "4.3.1", "4.4.1", Must, hasStrongETag},
		{"ice-server links are complete", "4.6", "4.7", Must, linksICEServers},
		{"the answer has the sections of the offer", "4.2", "4.2.1", Must, answersAllSections},
		{"no section is rejected", "4.4.3", "", Should, rejectsNoSection},
		{"the direction is the other one", "4.2", "4.2.5", Must, answersDirection},
		{"all sections are bundled", "4.4.1", "4.5.1", Must, bundles},
		{"RTP and RTCP are multiplexed", "4.4.1", "4.5.1", Must, multiplexes},
		{"the tracks are of one stream", "", "4.5.2", Must, hasOneStream},
		{"the answer decides who begins DTLS", "4.2", "4.2.1", Must, decidesSetup},
		{"the answer has candidates", "4.3.2", "4.4.2", Must, hasCandidates},
	}
}

// isLong reports whether the last parts of a session's URL have room for 64 random bits.
func isLong(url string) bool {
	return len(regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(url[strings.LastIndex(strings.TrimSuffix(url, "/"), "/")+1:], "")) >= 11
}

// isStrong reports whether an entity tag is a strong one, RFC 9110 section 8.8.3.
func isStrong(etag string) bool {
	return len(etag) > 2 && etag[0] == '"' && strings.HasSuffix(etag, `"`)
}

func hasStrongETag(_ context.Context, r *run) finding {
	etag := r.first.answer.header.Get("ETag")
	if etag == "" {
		return skip("there is no ETag, which only servers with ICE restarts must send")
	}
	return when(isStrong(etag), "ETag %s", etag)
}

func linksICEServers(_ context.Context, r *run) finding {
	n := 0
	for _, l := range links(r.first.answer.header) {
		if l.parameters["rel"] != "ice-server" {
			continue
		}
		n++
		turn := strings.HasPrefix(l.target, "turn:") || strings.HasPrefix(l.target, "turns:")
		if !turn && !strings.HasPrefix(l.target, "stun:") && !strings.HasPrefix(l.target, "stuns:") {
			return fail("<%s> is no STUN or TURN server", l.target)
		}
		if turn && (l.parameters["username"] == "" || l.parameters["credential"] == "") {
			return fail("<%s> has no username and credential", l.target)
		}
	}
	if n == 0 {
		return skip("there is no such link")
	}
	return pass("%d", n)
}

// sections returns the sections of the offer and of the answer.
func (s *session) sections() (offered, answered []section) {
	return sectionsOf(s.offer), sectionsOf(s.answer.body)
}

// each checks the sections that the server takes. It says which ones are wrong.
func (s *session) each(right func(section) bool, what func(section) string) finding {
	_, answered := s.sections()
	var seen []string
	wrong := 0
	for _, one := range answered {
		if one.port == "0" && !one.has("bundle-only") {
			continue
		}
		seen = append(seen, one.kind+" "+what(one))
		if !right(one) {
			wrong++
		}
	}
	return when(len(seen) > 0 && wrong == 0, "%s", strings.Join(seen, ", "))
}

func answersAllSections(_ context.Context, r *run) finding {
	offered, answered := r.first.sections()
	describe := func(sections []section) string {
		var all []string
		for _, s := range sections {
			all = append(all, s.kind+" "+s.value("mid"))
		}
		return strings.Join(all, ", ")
	}
	return when(describe(offered) == describe(answered), "%s, of %s", describe(answered), describe(offered))
}

func rejectsNoSection(_ context.Context, r *run) finding {
	_, answered := r.first.sections()
	rejected := 0
	for _, s := range answered {
		if s.port == "0" && !s.has("bundle-only") {
			rejected++
		}
	}
	return when(rejected == 0, "%d of %d are rejected", rejected, len(answered))
}

func answersDirection(_ context.Context, r *run) finding {
	want := "recvonly"
	if r.config.Protocol == WHEP {
		want = "sendonly"
	}
	return r.first.each(func(s section) bool {
		return s.direction() == want || r.first.countered && s.direction() == "sendrecv"
	}, section.direction)
}

func bundles(_ context.Context, r *run) finding {
	_, answered := r.first.sections()
	if len(answered) == 0 {
		return fail("there is no section")
	}
	group := strings.Fields(answered[0].value("group"))
	return r.first.each(func(s section) bool {
		return len(group) > 0 && group[0] == "BUNDLE" && slices.Contains(group[1:], s.value("mid"))
	}, func(s section) string { return s.value("mid") + " of " + strings.Join(group, " ") })
}

// multiplexes does not ask for rtcp-mux-only: RFC 9725 demands it of both sides, and RFC 8858
// section 4.3 forbids it in an answer.
func multiplexes(_ context.Context, r *run) finding {
	return r.first.each(func(s section) bool { return s.has("rtcp-mux") }, func(s section) string {
		if s.has("rtcp-mux") {
			return "rtcp-mux"
		}
		return "without rtcp-mux"
	})
}

func hasOneStream(_ context.Context, r *run) finding {
	streamOf := func(s section) string { id, _, _ := strings.Cut(s.value("msid"), " "); return id }
	var first string
	return r.first.each(func(s section) bool {
		if first == "" {
			first = streamOf(s)
		}
		return streamOf(s) != "" && streamOf(s) == first
	}, func(s section) string { return "msid " + s.value("msid") })
}

func decidesSetup(_ context.Context, r *run) finding {
	if r.first.countered {
		return skip("the client decides, whose description is the answer")
	}
	return r.first.each(func(s section) bool {
		setup := s.value("setup")
		return setup == "active" || setup == "passive"
	}, func(s section) string { return "setup " + s.value("setup") })
}

func hasCandidates(_ context.Context, r *run) finding {
	_, answered := r.first.sections()
	n := 0
	for _, s := range answered {
		n += len(s.values("candidate"))
	}
	return when(n > 0, "%d", n)
}
