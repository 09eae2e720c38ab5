package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/events"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// do sends a request to a server. header is name, value, name, value …
func (s *testServer) do(method, url, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

// An acceptedSession is a session that a server has accepted.
type acceptedSession struct {
	id, etag string
	events   string // its name in events' URLs; empty: none
}

// begin opens a session at whip/ or whep/ of a stream, for a client that never connects.
func (s *testServer) begin(endpoint string, header ...string) acceptedSession {
	s.t.Helper()
	answer, text := s.do("POST", s.url(endpoint, "backupStreamId", "backup"), offer(s.t), append(header, "Content-Type", "application/sdp")...)
	if answer.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s: %s %s", endpoint, answer.Status, text)
	}
	return acceptedSession{path.Base(answer.Header.Get("Location")), answer.Header.Get("ETag"), answer.Header.Get(signalling.EventsHeader)}
}

// events follows the events of a session. next returns
// the next state, and false when there are no more.
func (s *testServer) events(sessionID string) (next func() (events.State, bool)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.url("events/primary", "backupStreamId", "backup", "session", sessionID), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	if got := answer.Header.Values("Access-Control-Allow-Origin"); answer.StatusCode != http.StatusOK || !cmp.Equal(got, []string{"*"}) {
		s.t.Fatalf("events: %s, for pages of %v", answer.Status, got)
	}
	lines := bufio.NewScanner(answer.Body)
	return func() (state events.State, ok bool) {
		s.t.Helper()
		for event := ""; lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && event == "state" {
				if err := json.Unmarshal([]byte(data), &state); err != nil {
					s.t.Error(err)
				}
				return state, true
			}
		}
		return state, false
	}
}

func TestEitherServerTakesTheRequestsOfASession(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	a, b := w.servers[0], w.servers[1]
	const restart = "a=ice-ufrag:restart\r\na=ice-pwd:0123456789012345678901\r\n"
	const candidate = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host\r\n"
	token := []string{"Authorization", "Bearer of the encoder"}
	for _, tt := range []struct {
		endpoint, prefix string
		at, other        *testServer
		header           []string
		count            func(*testServer) int
	}{
		{"whep/primary", "p" + a.bootID, a, b, nil, func(s *testServer) int { return s.whep.ViewerCount() }},
		{"whep/primary", "b" + b.bootID, b, a, nil, func(s *testServer) int { return s.whep.ViewerCount() }},
		{"whip/primary", "p" + a.bootID, a, b, token, func(s *testServer) int { return publishing(s.status()) }},
	} {
		t.Run(tt.prefix[:1]+" "+tt.endpoint, func(t *testing.T) {
			session := tt.at.begin(tt.endpoint, tt.header...)
			if !strings.HasPrefix(session.id, tt.prefix) {
				t.Fatalf("the session is %s, want %s…", session.id, tt.prefix)
			}
			resource := tt.other.url(tt.endpoint+"/"+session.id, "backupStreamId", "backup")
			patch := func(etag, body string) int {
				answer, text := tt.other.do("PATCH", resource, body, append([]string{"Content-Type", sdpfrag.ContentType, "If-Match", etag}, tt.header...)...)
				t.Logf("PATCH %s: %s %s", etag, answer.Status, text)
				if got := answer.Header.Values("Access-Control-Allow-Origin"); !cmp.Equal(got, []string{"*"}) {
					t.Errorf("for pages of %v", got)
				}
				return answer.StatusCode
			}
			if answer, text := tt.other.do("GET", resource, "", tt.header...); answer.StatusCode != http.StatusNoContent {
				t.Errorf("GET: %s %s", answer.Status, text)
			}
			if code := patch(session.etag, candidate); code != http.StatusNoContent {
				t.Errorf("a candidate: %d", code)
			}
			if code := patch(`"another"`, candidate); code != http.StatusPreconditionFailed {
				t.Errorf("a wrong If-Match: %d", code)
			}
			if code := patch(session.etag, restart+candidate); code != http.StatusUnprocessableEntity {
				t.Errorf("an ICE restart: %d", code)
			}
			if tt.header != nil {
				if answer, _ := tt.other.do("DELETE", resource, ""); answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("without the publisher's token: %s", answer.Status)
				}
			}
			if answer, _ := tt.other.do("DELETE", resource, "", append([]string{peer.ForwardedHeader, "guessed"}, tt.header...)...); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("with a forged header: %s", answer.Status)
			}
			if n := tt.count(tt.at); n != 1 {
				t.Errorf("%d sessions, want 1", n)
			}
			began := time.Now()
			answer, text := tt.other.do("DELETE", resource, "", tt.header...)
			t.Logf("DELETE: %s after %v", answer.Status, time.Since(began).Round(ms))
			if answer.StatusCode != http.StatusOK {
				t.Errorf("DELETE: %s %s", answer.Status, text)
			}
			eventually.True(t, "the session has ended", func() bool { return tt.count(tt.at) == 0 })
			if answer, _ := tt.other.do("DELETE", resource, "", tt.header...); answer.StatusCode != http.StatusNotFound {
				t.Errorf("the second DELETE: %s", answer.Status)
			}
		})
	}
}

func publishing(st control.Status) int {
	n := 0
	for _, one := range st.Streams {
		if one.Publishing {
			n++
		}
	}
	return n
}

func TestASessionThatNobodyHasIsNotFound(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	for role, what := range map[string]string{"p": "of the server before", "b": "of the other server before"} {
		gone := signalling.Origin{Role: role, BootID: signalling.NewBootID()}.NewID()
		for _, s := range w.servers {
			for _, request := range []string{"DELETE whep/primary/" + gone, "PATCH whip/primary/" + gone, "GET events/primary"} {
				method, path, _ := strings.Cut(request, " ")
				answer, text := s.do(method, s.url(path, "backupStreamId", "backup", "session", gone), "")
				if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("%s, %s: %s %s", request, what, answer.Status, text)
				}
			}
		}
	}
}

func TestEventsFollowTheServerOfTheirSession(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	a, b := w.servers[0], w.servers[1]
	session := a.begin("whep/primary")
	next := b.events(session.id)
	state, _ := next()
	if state.ServedBy != "Primary" || len(state.BaseURLs) != 0 || state.OnAir {
		t.Errorf("at first %+v is told", state)
	}
	// These addresses can only come from a, because b knows other addresses.
	told := map[string]string{"Backup": "https://backup.example.com/x", "Primary": "http://192.0.2.1:30080"}
	for s, urls := range map[*testServer]map[string]string{a: told, b: {"Primary": "http://192.0.2.9"}} {
		if err := s.Advertise(control.MediaAddresses{HTTP: urls}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(told, a.status().BaseURLs); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	state, _ = next()
	if diff := cmp.Diff([]string{"http://192.0.2.1:30080", "https://backup.example.com/x"}, state.BaseURLs); diff != "" {
		t.Errorf("base URLs (-want +got):\n%s", diff)
	}
	w.publish(0, 0)
	published := time.Now()
	for !state.OnAir {
		ok := false
		if state, ok = next(); !ok {
			t.Fatal("the events have ended")
		}
	}
	t.Logf("on air %v after the encoder was started", time.Since(published).Round(ms))

	other := a.begin("whep/primary")
	nextOther := b.events(other.id)
	nextOther()
	a.do("DELETE", a.url("whep/primary/"+other.id, "backupStreamId", "backup"), "")
	ended := make(chan time.Duration)
	go func() {
		began := time.Now()
		for ok := true; ok; {
			_, ok = nextOther()
		}
		ended <- time.Since(began)
	}()
	if took := <-ended; took > patience {
		t.Errorf("the events outlast their session by %v", took)
	} else {
		t.Logf("the events ended %v after their session", took.Round(ms))
	}

	killed := time.Now()
	w.kill(0)
	for ok := true; ok; {
		_, ok = next()
	}
	t.Logf("the events ended %v after the kill of their server began", time.Since(killed).Round(ms))
	if took := time.Since(killed); took > patience {
		t.Error("that is too late")
	}
	if answer, _ := b.do("GET", b.url("events/primary", "backupStreamId", "backup", "session", session.id), ""); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("events of a server that is gone: %s", answer.Status)
	}
	w.start(0)
	w.areConnected()
	if answer, _ := b.do("GET", b.url("events/primary", "backupStreamId", "backup", "session", session.id), ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("events of a server that has begun anew: %s", answer.Status)
	}
}

func TestEventsEndWhenTheWayToTheirServerIsCut(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	next := w.servers[1].events(w.servers[0].begin("whep/primary").id)
	next()
	cut := time.Now()
	w.cut(func(g *mediatest.FaultyProxy) { g.Blackhole(true) })
	for ok := true; ok; {
		_, ok = next()
	}
	t.Logf("the events ended after %v", time.Since(cut).Round(ms))
	if took := time.Since(cut); took > 5*2*time.Second {
		t.Error("that is too late")
	}
	w.heal()
}

func TestEventsOfASessionAreForThoseWhoMayPlay(t *testing.T) {
	w := startRelayedPair(t, strings.Replace(sticky, "publish:", "playback: {auth: Token}\n  publish:", 1))
	a, b := w.servers[0], w.servers[1]
	token := a.Manifest().Pairs[0].Keys.PlayToken
	session := a.begin("whep/primary", "Authorization", "Bearer "+token)
	events := func(token string) string {
		return b.url("events/primary", "backupStreamId", "backup", "session", session.id, "token", token)
	}
	for _, wrong := range []string{"", "wrong"} {
		if answer, text := b.do("GET", events(wrong), ""); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("token %q: %s %s", wrong, answer.Status, text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", events(token), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
}

func TestADrainingServerNamesTheOther(t *testing.T) {
	t.Parallel()
	p := startPod(t, pairOf(1, "  mediaServer: {drainTimeoutSeconds: 30}\n"), "--drain-timeout", "30s")
	const other = "http://203.0.113.9:30080"
	if code, text := p.command("PUT", "/v1/addresses", firstCluster, `{"webrtc":[],"http":{"Primary":"http://203.0.113.8","Backup":"`+other+`"}}`); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	session := p.begin("whep/primary")
	next := p.events(session.id)
	state, _ := next()
	if state.Draining || state.ServedBy != "Primary" || len(state.BaseURLs) != 2 {
		t.Errorf("before, it tells %+v", state)
	}
	p.end()
	for !state.Draining {
		ok := false
		if state, ok = next(); !ok {
			t.Fatal("the events ended without a word")
		}
	}
	want := "<" + other + `>; rel="alternate"`
	for _, request := range []string{"POST whep/primary", "POST whip/primary", "GET events/primary"} {
		method, path, _ := strings.Cut(request, " ")
		answer, text := p.do(method, p.url(path, "backupStreamId", "backup"), offer(t), "Content-Type", "application/sdp", "Authorization", "Bearer "+firstToken)
		if got := answer.Header.Get("Link"); answer.StatusCode != http.StatusServiceUnavailable || got != want || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s %s, Link %s", request, answer.Status, text, got)
		}
		if exposed := answer.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "Link") {
			t.Errorf("%s: pages of other origins may read %s", request, exposed)
		}
	}
	// An existing session is served until the end.
	again := p.events(session.id)
	if state, ok := again(); !ok || !state.Draining {
		t.Errorf("while it drains it tells %+v", state)
	}
	p.do("DELETE", p.url("whep/primary/"+session.id, "backupStreamId", "backup"), "")
	for _, states := range []func() (events.State, bool){next, again} {
		for ok := true; ok; {
			_, ok = states()
		}
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Error("it goes on without sessions")
	}
}

func TestBaseURLsAreChecked(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://192.0.2.1": true, "https://live.example.com:8443": true, "http://[2001:db8::1]:5080": true,
		"https://live.example.com/prefix": true, "http://sunday-primary-pods.live.svc.cluster.local:5080": true,
		"": false, "http://": false, "192.0.2.1:5080": false, "ftp://192.0.2.1": false, "http://192.0.2.1/": false,
		"http://192.0.2.1?": false, "http://192.0.2.1?a=b": false, "http://192.0.2.1#": false, "http://a:b@192.0.2.1": false,
		"http://192.0.2.1/>; rel=\"x": false, "javascript:alert(1)": false, "http://" + strings.Repeat("x", maxBaseURL): false,
	} {
		err := checkBaseURL(text)
		if (err == nil) != ok {
			t.Errorf("%.50q: %v", text, err)
		}
		if err == nil {
			if u, err := url.Parse(text); err != nil || u.Host == "" {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	got := checkBaseURLs(map[string]string{"Third": "http://192.0.2.1", "Primary": "x", "Backup": "y"})
	if len(got) != 3 {
		t.Errorf("%v, want three mistakes", got)
	}
	var b baseURLs
	b.set(map[string]string{"Backup": "http://b", "Primary": "http://p"})
	list, changed := b.watch()
	if diff := cmp.Diff([]string{"http://p", "http://b"}, list); diff != "" {
		t.Error(diff)
	}
	b.set(map[string]string{"Backup": "http://b", "Primary": "http://p"})
	select {
	case <-changed:
		t.Error("the same URLs are told as a change")
	default:
	}
	b.set(nil)
	select {
	case <-changed:
	default:
		t.Error("a change is not told")
	}
	if list, _ := b.watch(); len(list) != 0 {
		t.Errorf("%v are left", list)
	}
}
