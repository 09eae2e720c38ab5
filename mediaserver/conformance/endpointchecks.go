package conformance

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// endpointChecks are about the endpoint alone. None of them should open a session; what they open is
// ended.
func endpointChecks() []check {
	return []check{
		{"OPTIONS is answered for CORS", "4.2", "4.3", Must, answersPreflight},
		{"OPTIONS tells what POST takes", "4.2", "4.3", Should, tellsAcceptPost},
		{"GET of the endpoint has no content", "4.1", "4.1", Must, getsEndpoint},
		{"HEAD tells that it is an endpoint", "", "whep editor's copy 4.2", Should, headsEndpoint},
		{"a body of another type is refused", "4.2", "4.2.4", Must, refusesOtherType},
		{"a body that is no SDP is refused", "4.2", "4.2.4", Must, refusesOtherBody},
		{"no common format is refused with 422 or 400", "4.4.3", "", Should, refusesForeignFormat},
		{"406 comes with a counter-offer", "", "4.2.2", Must, countersWith406},
		{"two video tracks are taken, or refused with 422 or 400", "4.4.2", "", Must, refusesTwoTracks},
		{"a wrong token is refused", "4.7.1", "4.8.1", Must, refusesWrongToken},
		{"POST is not redirected by 301 or 302", "4.5", "4.6", Must, redirectsWell},
	}
}

// preflight asks as a browser does before a POST of a page of another site.
func (r *run) preflight(ctx context.Context) answer {
	return r.do(ctx, http.MethodOptions, r.config.URL, "", "Origin", "https://player.example",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
}

func answersPreflight(ctx context.Context, r *run) finding {
	a := r.preflight(ctx)
	if !a.is(2) {
		return fail("%s", a)
	}
	origin := a.header.Get("Access-Control-Allow-Origin")
	return when(origin == "*" || origin == "https://player.example", "%d, Access-Control-Allow-Origin %q", a.status, origin)
}

func tellsAcceptPost(ctx context.Context, r *run) finding {
	a := r.preflight(ctx)
	accepted := a.header.Get("Accept-Post")
	return when(a.is(2) && strings.Contains(accepted, sdpType), "%s, Accept-Post %q", a, accepted)
}

func getsEndpoint(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodGet, r.config.URL, "")
	return when(a.is(2) && a.body == "", "%s", a)
}

func headsEndpoint(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodHead, r.config.URL, "")
	return when(a.status == http.StatusOK && a.mediaType() == sdpType, "%s, Content-Type %q", a, a.header.Get("Content-Type"))
}

// refuses checks that an offer is refused with one of the statuses; none given: any 4xx.
func (r *run) refuses(ctx context.Context, offer string, statuses []int, header ...string) finding {
	a := r.post(ctx, offer, header...)
	r.discard(ctx, a)
	if len(statuses) > 0 {
		return when(slices.Contains(statuses, a.status), "%s", a)
	}
	return when(a.is(4), "%s", a)
}

func refusesOtherType(ctx context.Context, r *run) finding {
	offer, err := makeOffer(r.config.Protocol)
	if err != nil {
		return skip("%v", err)
	}
	return r.refuses(ctx, offer, nil, "Content-Type", "text/plain")
}

func refusesOtherBody(ctx context.Context, r *run) finding {
	return r.refuses(ctx, "this is no session description", nil)
}

// postForeignFormats offers codecs that nobody has.
func (r *run) postForeignFormats(ctx context.Context) answer {
	offer, err := makeOffer(r.config.Protocol)
	if err != nil {
		return answer{err: err}
	}
	a := r.post(ctx, withForeignFormats(offer))
	r.discard(ctx, a)
	return a
}

func refusesForeignFormat(ctx context.Context, r *run) finding {
	a := r.postForeignFormats(ctx)
	return when(a.status == http.StatusBadRequest || a.status == http.StatusUnprocessableEntity, "%s", a)
}

func countersWith406(ctx context.Context, r *run) finding {
	a := r.postForeignFormats(ctx)
	switch {
	case a.status == http.StatusNotAcceptable:
		return isCounterOffer(a)
	case a.is(4):
		return pass("%s", a)
	}
	return skip("an offer without a common format is answered %s", a)
}

// isCounterOffer checks an answer with 406.
func isCounterOffer(a answer) finding {
	return when(a.mediaType() == sdpType && strings.HasPrefix(a.body, "v=0") && a.header.Get("Location") != "",
		"406 with Content-Type %q and Location %q; without a counter-offer it is another status", a.header.Get("Content-Type"), a.header.Get("Location"))
}

func refusesTwoTracks(ctx context.Context, r *run) finding {
	offer, err := makeOffer(r.config.Protocol)
	if err != nil {
		return skip("%v", err)
	}
	a := r.post(ctx, withSecondVideo(offer))
	defer r.discard(ctx, a)
	if a.status != http.StatusCreated {
		return when(a.status == http.StatusBadRequest || a.status == http.StatusUnprocessableEntity, "%s", a)
	}
	rejected := 0
	for _, s := range sectionsOf(a.body) {
		if s.port == "0" {
			rejected++
		}
	}
	return when(rejected == 0, "201, %d tracks rejected", rejected)
}

func refusesWrongToken(ctx context.Context, r *run) finding {
	if r.config.Token == "" {
		return skip("no token was given")
	}
	offer, err := makeOffer(r.config.Protocol)
	if err != nil {
		return skip("%v", err)
	}
	without := r.post(ctx, offer, "Authorization", "")
	if r.discard(ctx, without); without.is(2) {
		return skip("the server demands no token")
	}
	a := r.post(ctx, offer, "Authorization", "Bearer not-"+r.config.Token)
	r.discard(ctx, a)
	for _, one := range []answer{without, a} {
		if one.status == http.StatusUnauthorized && one.header.Get("WWW-Authenticate") == "" {
			return fail("401 without WWW-Authenticate, RFC 9110 section 15.5.2")
		}
	}
	return when(a.status == http.StatusUnauthorized || a.status == http.StatusForbidden, "without: %s; wrong: %s", without, a)
}

func redirectsWell(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodPost, r.config.URL, "this is no session description", "Content-Type", sdpType)
	return when(a.err == nil && a.status != http.StatusMovedPermanently && a.status != http.StatusFound, "%s", a)
}
