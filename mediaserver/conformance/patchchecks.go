package conformance

import (
	"context"
	"net/http"
	"strings"
)

// patchChecks are about a session that has not connected. The last one ends it.
func patchChecks() []check {
	return []check{
		{"GET of the session has no content", "4.1", "4.1", Must, func(ctx context.Context, r *run) finding {
			a := r.do(ctx, http.MethodGet, r.first.url, "")
			return when(a.is(2) && a.body == "", "%s", a)
		}},
		{"PATCH of another type is refused", "4.3.1", "4.4.1", Must, func(ctx context.Context, r *run) finding {
			a := r.patch(ctx, r.first.fragment("", ""), "Content-Type", "text/plain")
			return when(a.is(4), "%s", a)
		}},
		{"PATCH of no fragment is refused", "4.3.1", "4.4.1", Must, func(ctx context.Context, r *run) finding {
			a := r.patch(ctx, "this is no fragment")
			return when(a.is(4), "%s", a)
		}},
		{"PATCH takes candidates", "4.3.2", "4.4.2", Must, takesCandidates},
		{"PATCH ignores candidates that it cannot use", "4.3.2", "4.4.2", Must, ignoresCandidates},
		{"PATCH with another ETag is refused", "4.3.1", "4.4.1", Must, refusesETag},
		{"PATCH without an ETag is taken, or refused with 428", "4.3.1", "4.4.1", Must, judgesMissingETag},
		{"an ICE restart is made or refused", "4.3.3", "4.4.3", Must, restartsOrRefuses},
		{"a session outlasts what it refuses", "4.3.3", "4.4.3", Must, outlasts},
		{"DELETE ignores an ETag", "4.3.1", "4.4.1", Must, deletesWithETag},
	}
}

// patch sends a fragment for the first session, with its ETag if it has one.
func (r *run) patch(ctx context.Context, fragment string, header ...string) answer {
	all := []string{"Content-Type", fragmentType}
	if etag := r.first.answer.header.Get("ETag"); etag != "" {
		all = append(all, "If-Match", etag)
	}
	return r.do(ctx, http.MethodPatch, r.first.url, fragment, append(all, header...)...)
}

// lacksTrickle returns the finding for a server that says that it takes no candidates. Trickle ICE is
// optional.
func lacksTrickle(a answer) (finding, bool) {
	switch a.status {
	case http.StatusUnprocessableEntity, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return skip("the server takes no candidates: %s", a), true
	}
	return finding{}, false
}

func takesCandidates(ctx context.Context, r *run) finding {
	a := r.patch(ctx, r.first.fragment("", "", r.first.candidates()...))
	if f, ok := lacksTrickle(a); ok {
		return f
	}
	return when(a.status == http.StatusNoContent && a.body == "" && a.header.Get("ETag") == "", "%s, ETag %q", a, a.header.Get("ETag"))
}

func ignoresCandidates(ctx context.Context, r *run) finding {
	a := r.patch(ctx, r.first.fragment("", "", "1 1 UDP 2122260223 nobody.invalid 61764 typ host", "2 1 SCTP 2122194687 192.0.2.1 61765 typ host"))
	if f, ok := lacksTrickle(a); ok {
		return f
	}
	return when(a.status == http.StatusNoContent, "%s", a)
}

func refusesETag(ctx context.Context, r *run) finding {
	if r.first.answer.header.Get("ETag") == "" {
		return skip("the session has no ETag")
	}
	a := r.patch(ctx, r.first.fragment("", "", r.first.candidates()...), "If-Match", `"conformance"`)
	if f, ok := lacksTrickle(a); ok {
		return f
	}
	return when(a.status == http.StatusPreconditionFailed, "%s", a)
}

// judgesMissingETag leaves both to the server: it need not demand a condition (RFC 6585 section 3),
// and a server without ICE restarts has one ICE session only.
func judgesMissingETag(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodPatch, r.first.url, r.first.fragment("", "", r.first.candidates()...), "Content-Type", fragmentType)
	if f, ok := lacksTrickle(a); ok {
		return f
	}
	return when(a.status == http.StatusNoContent || a.status == http.StatusPreconditionRequired, "%s", a)
}

func restartsOrRefuses(ctx context.Context, r *run) finding {
	a := r.patch(ctx, r.first.fragment("restarted", "0123456789abcdefghijklmn", r.first.candidates()...), "If-Match", "*")
	if a.is(4) || a.status == http.StatusNotImplemented {
		return pass("%s", a)
	}
	etag, before := a.header.Get("ETag"), r.first.answer.header.Get("ETag")
	complete := strings.Contains(a.body, "a=ice-ufrag:") && strings.Contains(a.body, "a=ice-pwd:")
	return when(a.status == http.StatusOK && a.mediaType() == fragmentType && complete && isStrong(etag) && etag != before,
		"%d, Content-Type %q, credentials %t, ETag %s", a.status, a.header.Get("Content-Type"), complete, etag)
}

func outlasts(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodPatch, r.first.url, r.first.fragment("", "", r.first.candidates()...), "Content-Type", fragmentType, "If-Match", "*")
	return when(a.err == nil && a.status != http.StatusNotFound && a.status != http.StatusGone && !a.is(5), "%s to a further PATCH", a)
}

func deletesWithETag(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodDelete, r.first.url, "", "If-Match", `"conformance"`)
	if a.is(2) {
		r.first.url = ""
	}
	return when(a.is(2), "%s", a)
}
