package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// That a right server passes is shown in mediaserver/server. Here each check meets a server that is
// wrong.
func TestEachCheckCanFail(t *testing.T) {
	mediatest.SkipInShort(t) // it waits for what never comes
	for _, protocol := range []Protocol{WHIP, WHEP} {
		t.Run(string(protocol), func(t *testing.T) {
			failed := map[string]string{}
			var all []string
			for _, wrong := range []http.Handler{
				http.HandlerFunc(refuse), &misanswerer{}, &deaf{t: t}, &deaf{t: t, noEvents: true},
			} {
				server := httptest.NewServer(wrong)
				report := Run(t.Context(), Config{Protocol: protocol, URL: server.URL + "/x", Token: "right", MediaTimeout: 2 * time.Second})
				server.Close()
				if d, ok := wrong.(*deaf); ok {
					d.close()
				}
				all = nil
				for _, r := range report.Results {
					all = append(all, r.Check)
					if r.Outcome == Fail {
						failed[r.Check] = r.Seen
					}
				}
			}
			for _, name := range all {
				seen, ok := failed[name]
				t.Logf("%s: %s", name, seen)
				if !ok {
					t.Errorf("no wrong server fails: %s", name)
				}
			}
		})
	}
}

// refuse opens no session, and refuses all else in a wrong way.
func refuse(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "X-UNKNOWN"):
			http.Error(w, "no counter-offer", http.StatusNotAcceptable)
		case r.Header.Get("Authorization") == "Bearer right" && strings.Contains(string(body), "m=video"):
			w.WriteHeader(http.StatusConflict)
		default:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		}
		return
	}
	http.Error(w, "this is not for you", http.StatusNotFound)
}

// A misanswerer opens a session for everything, with a wrong answer.
type misanswerer struct{ restarted bool }

func (m *misanswerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Location", "/x")
		w.Header().Set("ETag", `W/"weak"`)
		w.Header().Add("Link", `<turn:turn.example.net>; rel="ice-server"`)
		w.Header().Add("Link", `<>; rel="`+eventsRelation+`"; events="active"`)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"+
			"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=setup:actpass\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n")
	case http.MethodPatch:
		if m.restarted {
			w.WriteHeader(http.StatusNotFound)
		}
		m.restarted = m.restarted || r.Header.Get("If-Match") == "*"
	case http.MethodDelete:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		_, _ = io.WriteString(w, "content")
	}
}

// A deaf server connects. It neither sends anything, nor does it end anything.
type deaf struct {
	t        *testing.T
	noEvents bool

	mu  sync.Mutex
	all []*webrtc.PeerConnection
}

func (d *deaf) close() {
	for _, pc := range d.all {
		_ = pc.GracefulClose()
	}
}

func (d *deaf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/sse" && d.noEvents:
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPost && r.URL.Path == "/sse":
		w.Header().Set("Location", "/sse/stream")
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Path == "/sse/stream":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: inactive\ndata: {}\n\n")
	case r.Method == http.MethodPost:
		offer, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answer, err := d.answer(string(offer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", sdpType)
		w.Header().Set("Location", fmt.Sprintf("/session/%d", time.Now().UnixNano()))
		w.Header().Set("Link", `</sse>; rel="`+eventsRelation+`"; events="active,viewercount"`)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	}
}

func (d *deaf) answer(offer string) (string, error) {
	media, settings := &webrtc.MediaEngine{}, webrtc.SettingEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return "", err
	}
	settings.SetIncludeLoopbackCandidate(true)
	// Without interceptors there are no reports about what arrives.
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	d.all = append(d.all, pc)
	d.mu.Unlock()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// A server that makes counter-offers passes too.
func TestCounterOffersAreAnswered(t *testing.T) {
	mediatest.SkipInShort(t)
	var pcs []*webrtc.PeerConnection
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodPost:
			c, err := newClient(WHIP) // which sends as soon as it is connected
			if err != nil {
				t.Error(err)
				return
			}
			pcs = append(pcs, c.pc)
			t.Cleanup(c.close)
			offer, err := c.offer(r.Context())
			if err != nil {
				t.Error(err)
				return
			}
			w.Header().Set("Content-Type", sdpType)
			w.Header().Set("Location", fmt.Sprintf("/whep/session-%08d", len(pcs)))
			w.WriteHeader(http.StatusNotAcceptable)
			_, _ = io.WriteString(w, offer)
		case r.Method == http.MethodDelete:
			_ = pcs[len(pcs)-1].Close()
		case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == sdpType:
			err := pcs[len(pcs)-1].SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	report := Run(t.Context(), Config{Protocol: WHEP, URL: server.URL, MediaTimeout: 20 * time.Second})
	found := map[string]Result{}
	for _, r := range report.Results {
		found[r.Check] = r
	}
	for _, name := range []string{
		"406 comes with a counter-offer", "POST of an offer opens a session", "the direction is the other one", "the client connects", "media arrives",
	} {
		if r := found[name]; r.Outcome != Pass {
			t.Errorf("%s: %s, %s", name, r.Outcome, r.Seen)
		}
	}
}

func TestARunHasAnEnd(t *testing.T) {
	began := make(chan struct{}, 1)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case began <- struct{}{}:
		default:
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		<-began
		stop()
	}()
	report := Run(ctx, Config{Protocol: WHEP, URL: silent.URL})
	if n := report.Count(Must, Skipped); n == 0 || report.Count(Must, Pass)+report.Count(Must, Fail) != 0 {
		t.Errorf("%+v", report)
	}
}

func TestAReportHasATextAndAJSONForm(t *testing.T) {
	report := Report{URL: "http://a.example", Protocol: WHIP, Results: []Result{
		{"one", "RFC 9725 4.1", Must, Pass, "204"},
		{"another", "RFC 9725 4.2", Should, Fail, printable("500: \x1b[31m no\n" + strings.Repeat("x", 2*maxSeen))},
		{"a third", "RFC 9725 4.2", Must, Skipped, "nothing"},
	}}
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if !strings.HasPrefix(lines[1], "one      RFC 9725 4.1  MUST    pass") || !strings.Contains(lines[2], "500: [31m no xxx") || strings.Contains(table.String(), "\x1b") {
		t.Errorf("%s", &table)
	}
	if got := lines[len(lines)-2]; got != "0 of 1 MUST and 1 of 1 SHOULD failed, 1 were skipped." {
		t.Error(got)
	}
	text, err := json.Marshal(report)
	if err != nil || !strings.Contains(string(text), `"results":[{"check":"one","section":"RFC 9725 4.1","level":"MUST","outcome":"pass","seen":"204"}`) {
		t.Errorf("%s %v", text, err)
	}
}

// No answer of a server ends the command.
func FuzzAnswer(f *testing.F) {
	f.Add("v=0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=msid:- x\r\n", `</sse>; rel="ice-server"; events="a,b"`, "/session/1")
	f.Add("m=", "<", "")
	f.Add("\nm=\nm=\na=msid:", `<turn:>;rel=ice-server;username="\`, "/")
	offer, err := makeOffer(WHEP)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, link, location string) {
		r := &run{config: Config{Protocol: WHEP, URL: "http://a.example/whep"}}
		r.first = session{offer: offer, url: location, answer: answer{
			status: http.StatusCreated, url: &url.URL{Path: "/"}, body: body, header: http.Header{"Link": {link}, "Location": {location}, "Etag": {link}},
		}}
		r.second = r.first
		r.try(t.Context(), "", answerChecks(), []check{opens, waits, eventChecks()[0]})
		for _, one := range r.report.Results {
			if one.Outcome == "" || strings.ContainsAny(one.Seen, "\x1b\n") {
				t.Errorf("%+v", one)
			}
		}
	})
}

func TestLinks(t *testing.T) {
	header := http.Header{"Link": {
		`<stun:stun.example.net>; rel="ice-server"`,
		`<turn:t?transport=udp>; rel=ice-server; username="a\"b,c"; credential="x;y", </s/sse>; rel="events"; events="active,inactive"`,
		`nonsense`,
	}}
	want := []link{
		{"stun:stun.example.net", map[string]string{"rel": "ice-server"}},
		{"turn:t?transport=udp", map[string]string{"rel": "ice-server", "username": `a"b,c`, "credential": "x;y"}},
		{"/s/sse", map[string]string{"rel": "events", "events": "active,inactive"}},
	}
	if diff := cmp.Diff(want, links(header), cmp.AllowUnexported(link{})); diff != "" {
		t.Error(diff)
	}
}
