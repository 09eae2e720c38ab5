package whep

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/signalling"
)

func TestSessionFromOfferToDelete(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.Origin = signalling.Origin{Role: "b", BootID: "00112233"}
		cfg.ICEServers = func(app, streamID, backupID string) []webrtc.ICEServer {
			if app != "live" || streamID != "primary" || backupID != "backup" {
				t.Errorf("asked for the servers of %s/%s+%s", app, streamID, backupID)
			}
			return []webrtc.ICEServer{
				{URLs: []string{"stun:stun.example.net"}},
				{URLs: []string{"turn:turn.example.net?transport=udp"}, Username: "user", Credential: "secret"},
			}
		}
	})
	s.play()
	pc, offer := newClient(t, video, audio)
	response, answer := s.post("/live/whep/primary?backupStreamId=backup", offer)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	location := response.Header.Get("Location")
	if !strings.HasPrefix(location, "/live/whep/primary/b00112233") {
		t.Errorf("Location %q", location)
	}
	for name, want := range map[string]string{
		"Content-Type":                sdpType,
		"Access-Control-Allow-Origin": "*",
		"Accept-Patch":                "application/trickle-ice-sdpfrag",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	exposed := response.Header.Get("Access-Control-Expose-Headers")
	for _, name := range []string{"Location", "ETag", "Link", "Retry-After"} {
		if !strings.Contains(exposed, name) {
			t.Errorf("scripts of other origins can't read %s", name)
		}
	}
	wantLinks := []string{
		`<stun:stun.example.net>; rel="ice-server"`,
		`<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="secret"; credential-type="password"`,
	}
	if diff := cmp.Diff(wantLinks, response.Header.Values("Link")); diff != "" {
		t.Error("Link:", diff)
	}
	for _, want := range []string{"stereo=1", "a=setup:passive", "a=sendonly", "a=rtcp-fb:", "nack pli", " rtx/90000", "a=ssrc-group:FID "} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in the answer:\n%s", want, answer)
		}
	}
	got := await(t, receive(t, pc, answer), video, audio)
	if got[video].streamID != got[audio].streamID {
		t.Error("the tracks are in different media streams: browsers would not keep them in step")
	}
	if s.handler.ViewerCount() != 1 || s.output.ViewerCount() != 1 {
		t.Errorf("%d sessions and %d viewers, want 1 and 1", s.handler.ViewerCount(), s.output.ViewerCount())
	}
	if reduced, changed := s.handler.Reduced(response.Header.Get(signalling.EventsHeader)); reduced || changed == nil {
		t.Errorf("a new viewer gets IDRs only: %v; followed: %v", reduced, changed != nil)
	}
	if reduced, changed := s.handler.Reduced("unknown"); reduced || changed != nil {
		t.Error("a viewer that is not there can be followed")
	}

	if r, body := s.do("DELETE", strings.Replace(location, "primary", "other", 1), ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("DELETE under another stream's URL: %s %s", r.Status, body)
	}
	if r, body := s.do("DELETE", location, ""); r.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %s %s", r.Status, body)
	}
	if s.handler.ViewerCount() != 0 || s.output.ViewerCount() != 0 || s.released.Load() != 1 {
		t.Errorf("after DELETE %d sessions, %d viewers, %d released", s.handler.ViewerCount(), s.output.ViewerCount(), s.released.Load())
	}
	if r, _ := s.do("DELETE", location, ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("second DELETE: %s, want 404", r.Status)
	}
}

func TestViewerMayBeTheDTLSServer(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	pc, offer := newClient(t, video)
	response, answer := s.post("/live/whep/primary", strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:passive"))
	if response.StatusCode != http.StatusCreated || !strings.Contains(answer, "a=setup:active\r\n") {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	await(t, receive(t, pc, answer), video)
}

// A proxy that strips a prefix off the path names the prefix in a header.
func TestASessionIsFoundBehindAProxyThatStripsAPrefix(t *testing.T) {
	s := newServer(t, nil)
	target, err := url.Parse(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/media", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Set("X-Forwarded-Prefix", "/media")
	}}))
	defer proxy.Close()
	_, offer := newClient(t, video)
	response, body := s.post(proxy.URL+"/media/live/whep/primary", offer)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", response.Status, body)
	}
	location, err := response.Location() // resolved as a browser does
	if err != nil {
		t.Fatal(err)
	}
	if r, body := s.do("DELETE", location.String(), ""); r.StatusCode != http.StatusOK {
		t.Errorf("DELETE %s: %s %s", location, r.Status, body)
	}
}

func TestOneKindIsEnough(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	for _, kind := range []webrtc.RTPCodecType{video, audio} {
		t.Run(kind.String(), func(t *testing.T) {
			pc, offer := newClient(t, kind)
			response, answer := s.post("/live/whep/primary", offer)
			if response.StatusCode != http.StatusCreated {
				t.Fatalf("%s: %s", response.Status, answer)
			}
			await(t, receive(t, pc, answer), kind)
		})
	}
}

func TestSessionMayOpenBeforeAnythingIsLive(t *testing.T) {
	s := newServer(t, nil)
	pc, offer := newClient(t, video, audio)
	response, answer := s.post("/live/whep/primary", offer)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	arrivals := receive(t, pc, answer)
	eventually.True(t, "the viewer is connected", func() bool {
		return s.handler.front.Door.Waiting() == 0
	})
	s.play()
	await(t, arrivals, video, audio)
}

func TestViewerWhoClosesThePageIsForgotten(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	pc, offer := newClient(t, video)
	_, answer := s.post("/live/whep/primary", offer)
	await(t, receive(t, pc, answer), video)
	if err := pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the session is gone", func() bool { return s.handler.ViewerCount() == 0 && s.released.Load() == 1 })
}

func TestTrickle(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	pc, offer := newClient(t, video)
	var candidates, rest []string
	var ufrag, pwd string
	for line := range strings.Lines(offer) {
		if value, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			ufrag = strings.TrimSpace(value)
		}
		if value, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			pwd = strings.TrimSpace(value)
		}
		if strings.HasPrefix(line, "a=candidate:") || strings.HasPrefix(line, "a=end-of-candidates") {
			candidates = append(candidates, line)
		} else {
			rest = append(rest, line)
		}
	}
	response, answer := s.post("/live/whep/primary", strings.Join(rest, ""))
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", response.Status, answer)
	}
	location, etag := response.Header.Get("Location"), response.Header.Get("ETag")
	credentials := "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\n"
	fragment := credentials + "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + strings.Join(candidates, "")
	const fragmentType = "application/trickle-ice-sdpfrag"
	for _, test := range []struct {
		name, path, body, contentType, match string
		status                               int
		reason                               string // in the metric; empty: it is accepted
	}{
		{"candidates", location, fragment, fragmentType, etag, 204, ""},
		{"without If-Match", location, fragment, fragmentType, "", 204, ""},
		{"the end", location, credentials + "a=end-of-candidates\r\n", fragmentType, etag, 204, ""},
		{"another ETag", location, fragment, fragmentType, `"0"`, 412, "etag"},
		{"another type", location, fragment, sdpType, etag, 415, "content_type"},
		{"no fragment", location, "hello", fragmentType, etag, 400, "bad_fragment"},
		{"ICE restart", location, "a=ice-ufrag:abcd\r\na=ice-pwd:" + strings.Repeat("x", 22) + "\r\n", fragmentType, "*", 422, "ice_restart"},
		{"too long", location, strings.Repeat("a=x\r\n", 20000), fragmentType, etag, 413, "body_too_large"},
		{"another session", location + "0", fragment, fragmentType, etag, 404, "unknown_session"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := []string{"Content-Type", test.contentType}
			if test.match != "" {
				header = append(header, "If-Match", test.match)
			}
			counter := s.handler.cfg.Metrics.ViewerRefusals.WithLabelValues(test.reason)
			before := testutil.ToFloat64(counter)
			if r, body := s.do("PATCH", test.path, test.body, header...); r.StatusCode != test.status {
				t.Errorf("%s %s, want %d", r.Status, body, test.status)
			}
			if got := testutil.ToFloat64(counter) > before; got != (test.reason != "") {
				t.Errorf("counted as %q: %t", test.reason, got)
			}
		})
	}
	await(t, receive(t, pc, answer), video)

	many := credentials + "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 60)
	for range 3 {
		if r, body := s.do("PATCH", location, many, "Content-Type", fragmentType); r.StatusCode != http.StatusNoContent {
			t.Errorf("more candidates than are taken: %s %s, want 204", r.Status, body)
		}
	}
}
