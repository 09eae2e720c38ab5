package signalling

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

// A fakePeer is the protocol's side of a session, with a PeerConnection of its own that gets the
// candidates and is never answered.
type fakePeer struct {
	*Session
	front *testFront
	pc    *webrtc.PeerConnection
}

// AddCandidate implements Candidates.
func (p *fakePeer) AddCandidate(candidate string) error {
	return p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: candidate})
}

func (p *fakePeer) Negotiate(offer string) (string, *Refusal) {
	switch offer {
	case "panic":
		panic("a fault of the server")
	case "malformed":
		return "", RefuseOffer("The body is not an SDP offer", io.ErrUnexpectedEOF)
	case "slow":
		close(p.front.negotiating)
		<-p.front.proceed
	}
	p.pc, p.Candidates, p.Ufrags = newConnection(p.front.t), p, []string{"user"}
	return "the answer", nil
}

func (p *fakePeer) Abandon() {
	p.front.abandoned++
	if p.pc != nil {
		_ = p.pc.Close()
	}
}

func (p *fakePeer) Begin(*http.Request, http.Header) { p.front.last = p }
func (p *fakePeer) MayUse(r *http.Request) bool {
	return r.Header.Get("Authorization") != "Bearer wrong"
}

func (p *fakePeer) End(why Ending) {
	if p.SetEnding() || why != Deleted {
		p.front.endings <- why
	}
	_ = p.pc.GracefulClose()
	p.Leave()
}

// newConnection returns a PeerConnection that has the remote description it needs to take
// candidates.
func newConnection(t *testing.T) *webrtc.PeerConnection {
	offerer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = offerer.GracefulClose() }()
	if _, err := offerer.CreateDataChannel("x", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := offerer.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetRemoteDescription(offer); err != nil {
		t.Fatal(err)
	}
	return pc
}

type testFront struct {
	*Front
	t                    *testing.T
	mux                  *http.ServeMux
	metrics              *metrics.Metrics
	refused              []string // reasons that the protocol's metric has counted
	last                 *fakePeer
	abandoned            int
	endings              chan Ending
	negotiating, proceed chan struct{}
}

func newTestFront(t *testing.T, change func(*FrontConfig)) *testFront {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	f := &testFront{
		t: t, mux: http.NewServeMux(), metrics: m, endings: make(chan Ending, 100),
		negotiating: make(chan struct{}), proceed: make(chan struct{}),
	}
	cfg := FrontConfig{
		Protocol: "whep", Door: "viewers", MaxSessions: 100, MaxConnecting: 100, Full: "All places are taken.",
		Authorize: func(r *http.Request) (func(*Session) Peer, *Refusal) {
			if Token(r) == "unknown" {
				return nil, Refuse(http.StatusUnauthorized, ReasonUnauthorized, "Send a token.")
			}
			return func(s *Session) Peer { return &fakePeer{Session: s, front: f} }, nil
		},
		ICEServers: func(*http.Request) []webrtc.ICEServer {
			return []webrtc.ICEServer{{URLs: []string{"stun:stun.example.net"}}}
		},
		Alternate:    func() string { return "http://192.0.2.1:5080" },
		CountRefusal: func(reason string) { f.refused = append(f.refused, reason) },
		Recovery:     recovery.New(recovery.Config{Panics: m.Panics}),
		Logger:       slog.New(slog.DiscardHandler), Metrics: m,
	}
	if change != nil {
		change(&cfg)
	}
	f.Front = NewFront(cfg)
	f.Register(f.mux)
	t.Cleanup(func() {
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return f
}

// do makes a request. headers are pairs of names and values.
func (f *testFront) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.mux.ServeHTTP(w, r)
	return w
}

func (f *testFront) post(offer string) *httptest.ResponseRecorder {
	return f.do(http.MethodPost, "/live/whep/primary", offer, "Content-Type", sdpoffer.ContentType)
}

const (
	credentials = "a=ice-ufrag:user\r\na=ice-pwd:0123456789012345678901\r\n"
	candidate   = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
)

func TestTheSameMistakeHasTheSameAnswer(t *testing.T) {
	f := newTestFront(t, nil)
	const endpoint = "/live/whep/primary"
	created := f.post("an offer")
	session, etag := created.Header().Get("Location"), created.Header().Get("ETag")
	if created.Code != http.StatusCreated || created.Body.String() != "the answer" || etag == "" ||
		created.Header().Get("Accept-Patch") != sdpfrag.ContentType || created.Header().Get("Link") == "" {
		t.Fatalf("POST: %d %v", created.Code, created.Header())
	}
	offerType := []string{"Content-Type", sdpoffer.ContentType}
	patchType := []string{"Content-Type", sdpfrag.ContentType}
	with := func(headers []string, more ...string) []string { return slices.Concat(headers, more) }
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		reason                   string
	}{
		{"an unknown method of the endpoint", "PUT", endpoint, "", nil, 405, ReasonMethod},
		{"an unknown method of a session", "POST", session, "", offerType, 405, ReasonMethod},
		{"no type", "POST", endpoint, "an offer", nil, 415, ReasonContentType},
		{"no token", "POST", endpoint + "?token=unknown", "an offer", nil, 401, ReasonUnauthorized},
		{"too large an offer", "POST", endpoint, strings.Repeat("x", sdpoffer.MaxBytes+1), offerType, 413, ReasonBodyTooLarge},
		{"a malformed offer", "POST", endpoint, "malformed", offerType, 400, ReasonMalformedOffer},
		{"a panic", "POST", endpoint, "panic", offerType, 500, ReasonPanic},
		{"another type of fragment", "PATCH", session, candidate, offerType, 415, ReasonContentType},
		{"no fragment", "PATCH", session, "hello", patchType, 400, ReasonMalformedFragment},
		{"too large a fragment", "PATCH", session, strings.Repeat("a=x\n", sdpfrag.MaxSize), patchType, 413, ReasonBodyTooLarge},
		{"too long a line", "PATCH", session, "a=x:" + strings.Repeat("x", 2000), patchType, 413, ReasonBodyTooLarge},
		{"another ETag", "PATCH", session, candidate, with(patchType, "If-Match", `"x"`), 412, ReasonWrongETag},
		{"an ICE restart", "PATCH", session, strings.Replace(credentials, "user", "other", 1), with(patchType, "If-Match", "*"), 422, ReasonICERestart},
		{"another session", "PATCH", session + "0", candidate, patchType, 404, ReasonNoSession},
		{"a session of another stream", "DELETE", strings.Replace(session, "primary", "backup", 1), "", nil, 404, ReasonNoSession},
		{"another client's session", "DELETE", session, "", []string{"Authorization", "Bearer wrong"}, 401, ReasonUnauthorized},

		{"a candidate", "PATCH", session, credentials + candidate, with(patchType, "If-Match", etag), 204, ""},
		{"a candidate without If-Match", "PATCH", session, candidate, patchType, 204, ""},
		{"nothing new", "PATCH", session, "", patchType, 204, ""},
		{"an unreadable candidate", "PATCH", session, "a=candidate:x\r\n", patchType, 204, ""},
		{"more candidates than are taken", "PATCH", session, strings.Repeat(candidate, 500), patchType, 204, ""},
		{"GET", "GET", session, "", nil, 204, ""},
		{"HEAD", "HEAD", session, "", nil, 204, ""},
		{"GET of another session", "GET", session + "0", "", nil, 404, ReasonNoSession},
		{"the end", "DELETE", session, "", with(nil, "If-Match", `"x"`), 200, ""},
		{"the end again", "DELETE", session, "", nil, 404, ReasonNoSession},
	} {
		f.refused = nil
		w := f.do(test.method, test.path, test.body, test.headers...)
		var want []string
		if test.reason != "" {
			want = []string{test.reason}
		}
		if w.Code != test.status || !cmp.Equal(want, f.refused) {
			t.Errorf("%s: %d %q %s, want %d %s", test.name, w.Code, f.refused, w.Body, test.status, test.reason)
		}
		if test.reason != "" && strings.Count(w.Body.String(), "\n") != 1 {
			t.Errorf("%s: not one sentence: %q", test.name, w.Body)
		}
		header := w.Header()
		if header.Get("Access-Control-Allow-Origin") != "*" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", test.name, header)
		}
		if (test.status == 401) != strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") || (test.status == 405) != (header.Get("Allow") != "") {
			t.Errorf("%s: %v", test.name, header)
		}
		if header.Get("ETag") != "" { // RFC 9725 section 4.3.2: a PATCH with candidates makes no new one
			t.Errorf("%s: ETag %s", test.name, header.Get("ETag"))
		}
	}
	if f.abandoned != 2 {
		t.Errorf("%d sessions abandoned, want the malformed one and the one that panicked", f.abandoned)
	}
	if n := f.Door.Taken(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

func TestIgnoredCandidatesAreCounted(t *testing.T) {
	f := newTestFront(t, nil)
	session := f.post("an offer").Header().Get("Location")
	patch := func(body string) {
		t.Helper()
		if w := f.do(http.MethodPatch, session, body, "Content-Type", sdpfrag.ContentType); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	patch("a=candidate:x\r\na=candidate:1 1 udp 1 a.local 9 typ host\r\n" + candidate)
	for range 2 {
		patch(strings.Repeat(candidate, sdpfrag.MaxCandidates+1))
	}
	got := map[string]float64{}
	for _, reason := range []string{ignoredUnreadable, ignoredUnusable, ignoredSurplus} {
		got[reason] = testutil.ToFloat64(f.metrics.CandidatesIgnored.WithLabelValues("whep", reason))
	}
	want := map[string]float64{ignoredUnreadable: 1, ignoredUnusable: 1, ignoredSurplus: 2 + 1 + 2*sdpfrag.MaxCandidates - maxCandidates}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f.last.candidates != maxCandidates {
		t.Errorf("%d candidates are taken, want %d", f.last.candidates, maxCandidates)
	}
}

func TestOptions(t *testing.T) {
	f := newTestFront(t, nil)
	for path, want := range map[string]map[string]string{
		"/live/whep/primary":               {"Accept-Post": sdpoffer.ContentType, "Allow": "GET, HEAD, OPTIONS, POST", "Link": `<stun:stun.example.net>; rel="ice-server"`},
		"/live/whep/primary?token=unknown": {"Accept-Post": sdpoffer.ContentType, "Allow": "GET, HEAD, OPTIONS, POST", "Link": ""},
		"/live/whep/primary/s1":            {"Accept-Patch": sdpfrag.ContentType, "Allow": "DELETE, GET, HEAD, OPTIONS, PATCH", "Link": ""},
	} {
		w := f.do(http.MethodOptions, path, "")
		want["Access-Control-Max-Age"] = preflightAge
		got := map[string]string{}
		for name := range want {
			got[name] = w.Header().Get(name)
		}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusOK {
			t.Errorf("%s: %d (-want +got):\n%s", path, w.Code, diff)
		}
	}
}

func TestAnEndpointHasNoContentAndTellsWhatItTakes(t *testing.T) {
	f := newTestFront(t, nil)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := f.do(method, "/live/whep/primary", "")
		header := w.Header()
		if w.Code != http.StatusOK || w.Body.Len() > 0 || header.Get("Content-Type") != sdpoffer.ContentType || header.Get("Content-Length") != "0" {
			t.Errorf("%s: %d %v %q", method, w.Code, header, w.Body)
		}
	}
}

func TestAClientWithoutAPlaceIsSentElsewhere(t *testing.T) {
	f := newTestFront(t, func(c *FrontConfig) {
		c.MaxSessions, c.MaxConnecting = 1, 1
		c.ReasonLabels = map[string]string{ReasonFull: "max_viewers"}
	})
	f.post("an offer")
	f.last.Place.Hold()
	full := f.post("an offer")
	f.Drain()
	closed := f.post("an offer")
	for _, w := range []*httptest.ResponseRecorder{full, closed} {
		h := w.Header()
		if w.Code != 503 || h.Get("Retry-After") == "" || h.Get("Connection") != "close" || h.Get("Link") != `<http://192.0.2.1:5080>; rel="alternate"` {
			t.Errorf("%d %s %v", w.Code, w.Body, h)
		}
	}
	if diff := cmp.Diff([]string{"max_viewers", ReasonShuttingDown}, f.refused); diff != "" {
		t.Error(diff)
	}
}

func TestASessionThatHasNotConnectedGivesItsPlaceToAnother(t *testing.T) {
	f := newTestFront(t, func(c *FrontConfig) { c.MaxSessions, c.MaxConnecting = 1, 1 })
	first := f.post("an offer").Header().Get("Location")
	if w := f.post("an offer"); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := f.do(http.MethodDelete, first, ""); w.Code != http.StatusNotFound {
		t.Errorf("DELETE of the first: %d", w.Code)
	}
	if why := <-f.endings; why != PushedOut {
		t.Errorf("the first ended because of %v", why)
	}
	eventually.True(t, "the first has left", func() bool { return len(f.Peers()) == 1 })
}

func TestASessionThatLosesItsPlaceWhileItNegotiatesIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		lose func(*testFront)
		want string
	}{
		"to another": {func(f *testFront) { f.post("an offer") }, ReasonPushedOut},
		"at the end": {func(f *testFront) { f.Drain() }, ReasonShuttingDown},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTestFront(t, func(c *FrontConfig) { c.MaxSessions, c.MaxConnecting = 1, 1 })
			slow := make(chan *httptest.ResponseRecorder)
			go func() { slow <- f.post("slow") }()
			<-f.negotiating
			test.lose(f)
			close(f.proceed)
			if w := <-slow; w.Code != 503 || !cmp.Equal([]string{test.want}, f.refused) || f.abandoned != 1 {
				t.Errorf("%d %s, %q", w.Code, w.Body, f.refused)
			}
		})
	}
}

func TestEndedIsClosedWhenTheSessionHasLeft(t *testing.T) {
	f := newTestFront(t, nil)
	location := f.post("an offer").Header().Get("Location")
	id := location[strings.LastIndex(location, "/")+1:]
	byName, ok := f.Ended(EventsID(id))
	if !ok {
		t.Fatal("no session has that name")
	}
	if byID, ok := f.Ended(id); !ok || byID != byName {
		t.Error("the id does not find the session")
	}
	f.do(http.MethodDelete, location, "")
	<-byName
	if _, ok := f.Ended(EventsID(id)); ok {
		t.Error("a session that has left is found")
	}
}
