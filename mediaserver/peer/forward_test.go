package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
)

const (
	patience = 10 * time.Second
	secret   = "the relay's token"
)

// A forwardingServer is one server of a pair: a Forwarder in front of a handler that knows one
// session.
type forwardingServer struct {
	*Forwarder
	*httptest.Server
	metrics *metrics.Metrics
	session string // the only session
	peers   []string
	asked   atomic.Int32 // how often its own handler was called
}

// routes returns the routes to the peers.
func (s *forwardingServer) routes() []Route {
	var all []Route
	for _, base := range s.peers {
		all = append(all, Plain(base))
	}
	return all
}

// newServer starts a server. Its own handler is handle, which is called for its session. Handlers
// before run in front of its Forwarder.
func newServer(t *testing.T, role, token string, handle http.HandlerFunc, before ...func(http.ResponseWriter)) *forwardingServer {
	t.Helper()
	s := &forwardingServer{metrics: metrics.New(prometheus.NewRegistry())}
	own := signalling.Origin{Role: role, BootID: signalling.NewBootID()}
	s.session = own.NewID()
	s.Forwarder = NewForwarder(ForwarderConfig{
		Own: own, Peers: s.routes, Metrics: s.metrics,
		Token: func() string { return token }, Clear: ClearAccess{IsToken: func(got string) bool { return got == secret }, Metrics: s.metrics},
	})
	handler := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if !strings.HasSuffix(r.URL.Path, "/"+s.session) && r.URL.Query().Get("session") != s.session {
			http.Error(w, "no such session", http.StatusNotFound)
			return
		}
		handle(w, r)
	}))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, act := range before {
			act(w)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.Forwarder.Close()
		s.Server.CloseClientConnections()
		s.Server.Close()
	})
	return s
}

func (s *forwardingServer) forwards() map[string]float64 {
	counted := map[string]float64{}
	for _, result := range []string{resultOK, resultNotFound, resultFailed} {
		if n := testutil.ToFloat64(s.metrics.SessionForwards.WithLabelValues(result)); n > 0 {
			counted[result] = n
		}
	}
	return counted
}

// ask makes a request. header is a name, a value, a name, a value …
func ask(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

func unexpected(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }
}

func TestARequestAndItsAnswerStayAsTheyAre(t *testing.T) {
	type request struct {
		Method, URI, Body, Authorization, IfMatch, ContentType, Forwarded string
	}
	var got request
	peer := newServer(t, "b", secret, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		got = request{r.Method, r.RequestURI, string(body), h.Get("Authorization"), h.Get("If-Match"), h.Get("Content-Type"), h.Get(ForwardedHeader)}
		w.Header().Set("ETag", `"tag"`)
		w.Header().Set("Location", r.URL.Path)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, "why")
	})
	asked := newServer(t, "p", secret, unexpected(t))
	asked.peers = []string{peer.URL}

	path := "/live/whep/primary%20one/" + peer.session
	for _, method := range []string{http.MethodPatch, http.MethodDelete} {
		answer, text := ask(t, method, asked.URL+path+"?a=b;c&d=e", "a=candidate", "Authorization", "Bearer x", "If-Match", `"y"`, "Content-Type", "application/trickle-ice-sdpfrag")
		want := request{method, path + "?a=b;c&d=e", "a=candidate", "Bearer x", `"y"`, "application/trickle-ice-sdpfrag", secret}
		want.URI = got.URI // its parameters are checked below
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the peer was asked (-want +got):\n%s", diff)
		}
		if !strings.HasPrefix(got.URI, path+"?") || !strings.Contains(got.URI, "d=e") {
			t.Errorf("the peer was asked for %s", got.URI)
		}
		h := answer.Header
		if answer.StatusCode != http.StatusPreconditionFailed || text != "why" || h.Get("ETag") != `"tag"` ||
			h.Get("Location") == "" || len(h.Values("Access-Control-Allow-Origin")) != 1 {
			t.Errorf("answered %s %q %v", answer.Status, text, h)
		}
	}
	if diff := cmp.Diff(map[string]float64{resultOK: 2}, asked.forwards()); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyASessionsRequestsAreForwarded(t *testing.T) {
	peer := newServer(t, "b", secret, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	asked := newServer(t, "p", secret, unexpected(t))
	asked.peers = []string{peer.URL}
	for request, want := range map[string]int32{
		"PATCH /live/whep/primary/ID":          1,
		"DELETE /live/whip/primary/ID":         1,
		"GET /live/events/primary?session=ID":  1,
		"OPTIONS /live/whep/primary/ID":        0,
		"POST /live/whep/primary":              0,
		"GET /live/play.html?session=ID":       0,
		"GET /live/streams/ID":                 0,
		"GET /live/events/primary":             0,
		"GET /live/events/primary?session=":    0,
		"PATCH /live/whep/primary/nonsense":    0,
		"GET /live/events/primary?session=ids": 0,
	} {
		method, path, _ := strings.Cut(request, " ")
		peer.asked.Store(0)
		answer, _ := ask(t, method, asked.URL+strings.ReplaceAll(path, "ID", peer.session), "")
		if got := peer.asked.Load(); got != want {
			t.Errorf("%s: the peer was asked %d times, want %d; %s", request, got, want, answer.Status)
		}
	}
}

func TestTheOnePeerThatHasTheSessionAnswers(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hole.Close() }()
	silent := "http://" + hole.Addr().String()
	handle := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	has, hasNot := newServer(t, "b", secret, handle), newServer(t, "b", secret, handle)
	for _, tt := range []struct {
		name   string
		peers  []string
		code   int
		result string
		atMost time.Duration
	}{
		{"the only one", []string{has.URL}, 200, resultOK, answerTimeout},
		{"the second", []string{hasNot.URL, has.URL}, 200, resultOK, answerTimeout},
		{"the first", []string{has.URL, hasNot.URL}, 200, resultOK, answerTimeout},
		{"beside one that is gone", []string{gone.URL, has.URL}, 200, resultOK, answerTimeout},
		{"beside one that says nothing: no wait for it", []string{silent, has.URL, silent}, 200, resultOK, answerTimeout},
		{"none", []string{hasNot.URL}, 404, resultNotFound, answerTimeout},
		{"none of two", []string{hasNot.URL, hasNot.URL}, 404, resultNotFound, answerTimeout},
		{"perhaps the one that is gone", []string{gone.URL, hasNot.URL}, 502, resultFailed, answerTimeout},
		{"perhaps the one that says nothing", []string{hasNot.URL, silent}, 502, resultFailed, 5 * answerTimeout},
		{"perhaps the one whose URL is wrong", []string{"http://%"}, 502, resultFailed, answerTimeout},
		{"nobody is known", nil, 404, "", answerTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := newServer(t, "p", secret, unexpected(t))
			asked.peers = tt.peers
			began := time.Now()
			answer, text := ask(t, http.MethodPatch, asked.URL+"/live/whep/primary/"+has.session, "body")
			took := time.Since(began)
			t.Logf("%s after %v", answer.Status, took.Round(time.Millisecond))
			if answer.StatusCode != tt.code || tt.code == 200 && text != "body" || took > tt.atMost {
				t.Errorf("%s %q after %v", answer.Status, text, took)
			}
			want := map[string]float64{}
			if tt.result != "" {
				want[tt.result] = 1
			}
			if diff := cmp.Diff(want, asked.forwards()); diff != "" {
				t.Error(diff)
			}
			if tt.code == 502 && answer.Header.Get("Access-Control-Allow-Origin") == "" {
				t.Error("the player cannot read why")
			}
		})
	}
}

func TestAForwardedRequestGoesNoFurther(t *testing.T) {
	a, b := newServer(t, "p", secret, unexpected(t)), newServer(t, "b", secret, unexpected(t))
	a.peers, b.peers = []string{b.URL}, []string{a.URL}
	gone := signalling.Origin{Role: "b", BootID: "00000000"}.NewID()
	if answer, _ := ask(t, http.MethodDelete, a.URL+"/live/whip/primary/"+gone, ""); answer.StatusCode != http.StatusNotFound {
		t.Error(answer.Status)
	}
	if a.asked.Load() != 0 || b.asked.Load() != 1 || len(b.forwards()) != 0 {
		t.Errorf("asked %d and %d times, forwarded back %v", a.asked.Load(), b.asked.Load(), b.forwards())
	}
	// This holds even for somebody who knows the token.
	if answer, _ := ask(t, http.MethodDelete, a.URL+"/live/whip/primary/"+gone, "", ForwardedHeader, secret); answer.StatusCode != http.StatusNotFound {
		t.Error(answer.Status)
	}
	if a.asked.Load() != 1 || b.asked.Load() != 1 {
		t.Errorf("asked %d and %d times", a.asked.Load(), b.asked.Load())
	}
}

func TestAForgedHeaderIsRefused(t *testing.T) {
	s := newServer(t, "p", secret, unexpected(t))
	for _, header := range [][]string{
		{ForwardedHeader, "wrong"}, {ForwardedHeader, ""}, {ForwardedHeader, secret, ForwardedHeader, "wrong"}, {ForwardedHeader, secret, ForwardedHeader, secret},
	} {
		answer, text := ask(t, http.MethodDelete, s.URL+"/live/whep/primary/"+s.session, "", header...)
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %s %s", header, answer.Status, text)
		}
	}
	if n := testutil.ToFloat64(s.metrics.HTTPRequestRefusal.WithLabelValues("unauthorized")); n != 4 {
		t.Errorf("%v were counted", n)
	}
}

func TestAPeerThatDoesNotTrustUsHasFailed(t *testing.T) {
	peer := newServer(t, "b", secret, unexpected(t))
	for token, want := range map[string]int{
		"another token": http.StatusBadGateway, // not 401: the player's own token is right
		"":              http.StatusNotFound,   // there is no token, so nothing is forwarded
	} {
		asked := newServer(t, "p", token, unexpected(t))
		asked.peers = []string{peer.URL}
		if answer, _ := ask(t, http.MethodDelete, asked.URL+"/live/whep/primary/"+peer.session, ""); answer.StatusCode != want {
			t.Errorf("token %q: %s, want %d", token, answer.Status, want)
		}
	}
}

func TestALongBodyIsRefused(t *testing.T) {
	peer := newServer(t, "b", secret, unexpected(t))
	asked := newServer(t, "p", secret, unexpected(t))
	asked.peers = []string{peer.URL}
	answer, _ := ask(t, http.MethodPatch, asked.URL+"/live/whep/primary/"+peer.session, strings.Repeat("x", 1<<20))
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(answer.Status)
	}
}

// listen follows the events of a session until the first line has come.
func listen(t *testing.T, s *forwardingServer, session string) (lines *bufio.Scanner, leave func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/live/events/primary?session="+session, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines = bufio.NewScanner(answer.Body)
	if !lines.Scan() || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", answer.Status, lines.Err())
	}
	return lines, cancel
}

func TestEventsComeAtOnceAndEndWithEitherSide(t *testing.T) {
	for _, tt := range []struct {
		name string
		// end ends the forwarded answer. By still, the peer is told to send no more, or to end.
		end    func(peer, asked *forwardingServer, leave func(), still chan<- bool)
		within time.Duration
	}{
		{"the viewer leaves", func(_, _ *forwardingServer, leave func(), _ chan<- bool) { leave() }, patience},
		{"the peer is killed", func(peer, _ *forwardingServer, _ func(), _ chan<- bool) { peer.CloseClientConnections() }, patience / 2},
		{"the peer says no more", func(_, _ *forwardingServer, _ func(), still chan<- bool) { still <- true }, 2*silence + patience/2},
		{"the peer ends them", func(_, _ *forwardingServer, _ func(), still chan<- bool) { still <- false }, patience / 2},
		{"the server that forwards them ends", func(_, asked *forwardingServer, _ func(), _ chan<- bool) { asked.Forwarder.Close() }, patience / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			still, left := make(chan bool, 1), make(chan struct{})
			peer := newServer(t, "b", secret, func(w http.ResponseWriter, r *http.Request) {
				defer close(left)
				w.Header().Set("Content-Type", "text/event-stream")
				for n := 0; ; n++ {
					fmt.Fprintf(w, "%d\n", time.Now().UnixNano())
					_ = http.NewResponseController(w).Flush()
					select {
					case <-r.Context().Done():
						return
					case says := <-still:
						if says {
							<-r.Context().Done()
						}
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			})
			asked := newServer(t, "p", secret, unexpected(t))
			asked.peers = []string{peer.URL}
			lines, leave := listen(t, asked, peer.session)
			for range 20 {
				if !lines.Scan() {
					t.Fatal(lines.Err())
				}
				var sent int64
				if _, err := fmt.Sscan(lines.Text(), &sent); err != nil || time.Since(time.Unix(0, sent)) > patience/5 {
					t.Errorf("%s came after %v: %v", lines.Text(), time.Since(time.Unix(0, sent)), err)
				}
			}
			began := time.Now()
			tt.end(peer, asked, leave, still)
			for lines.Scan() {
			}
			took := time.Since(began)
			t.Logf("ended after %v", took.Round(time.Millisecond))
			if took > tt.within {
				t.Error("that is too late")
			}
			select {
			case <-left:
			case <-time.After(patience):
				t.Error("the peer goes on")
			}
		})
	}
}

func TestEventsOutlastTheDeadlineOfAnAnswer(t *testing.T) {
	const deadline = 300 * time.Millisecond
	peer := newServer(t, "b", secret, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "event\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	asked := newServer(t, "p", secret, unexpected(t), func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(deadline))
	})
	asked.peers = []string{peer.URL}
	lines, _ := listen(t, asked, peer.session)
	for began := time.Now(); time.Since(began) < 5*deadline; {
		if !lines.Scan() {
			t.Fatalf("they ended after %v: %v", time.Since(began).Round(time.Millisecond), lines.Err())
		}
	}
}
