package whip

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestSessionHasWhatRFC9725Asks(t *testing.T) {
	s := newTestServer(t, func(c *Config) {})
	e := s.publish(t, "/live/whip/primary?token=x", encoderOptions{})
	if !strings.HasPrefix(e.location, "/live/whip/primary/") || strings.Contains(e.location, "token") {
		t.Errorf("Location %q", e.location)
	}
	if !strings.HasPrefix(e.etag, `"`) {
		t.Errorf("ETag %q", e.etag)
	}
	for _, want := range []string{"a=ice-lite", "a=setup:passive", "a=recvonly", "a=end-of-candidates", "stereo=1", "profile-level-id=64001f", "tcptype passive"} {
		if !strings.Contains(e.answer, want) {
			t.Errorf("no %s in the answer", want)
		}
	}
	if strings.Count(e.answer, "H264/90000") != 1 || strings.Contains(e.answer, "VP8") {
		t.Error("the answer must have one video format")
	}
	if t.Failed() {
		t.Log(e.answer)
	}
}

func TestDeleteIsLossAtOnce(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	e := s.publish(t, "/live/whip/primary", encoderOptions{})
	e.play(all[:10], nil)
	live := func() bool { return s.registry.Stream(primary).Snapshot().Publication != nil }
	eventually.True(t, "live", live)
	if res, body := s.do(t, http.MethodDelete, e.location, "", ""); res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, body)
	}
	if live() {
		t.Error("still live after DELETE was answered")
	}
	if res, _ := s.do(t, http.MethodDelete, e.location, "", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("second DELETE: %s", res.Status)
	}
	eventually.True(t, "the encoder to be told", func() bool {
		state := e.pc.ConnectionState()
		return state == webrtc.PeerConnectionStateClosed || state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateDisconnected
	})
}

func TestPublisherThatClosesIsLost(t *testing.T) {
	all := pictures(t, testPictures)
	s := newTestServer(t, nil)
	e := s.publish(t, "/live/whip/primary", encoderOptions{})
	e.play(all[:10], nil)
	eventually.True(t, "live", func() bool { return s.registry.Stream(primary).Snapshot().Publication != nil })
	start := time.Now()
	e.close()
	eventually.True(t, "loss", func() bool { return s.registry.Stream(primary).Snapshot().Publication == nil })
	t.Logf("noticed after %v", time.Since(start))
}

func TestPublisherThatNeverConnectsIsLost(t *testing.T) {
	s := newTestServer(t, func(c *Config) { c.ConnectTimeout = 200 * ms })
	e := newEncoder(t, encoderOptions{})
	if res, body := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, e.offer(t)); res.StatusCode != http.StatusCreated {
		t.Fatal(res.Status, body)
	}
	eventually.True(t, "loss", func() bool { return s.registry.Stream(primary).Snapshot().Publication == nil })
}

func TestTrickle(t *testing.T) {
	s := newTestServer(t, nil)
	e := newEncoder(t, encoderOptions{})
	offer := e.offer(t)
	var without, candidates strings.Builder
	ufrag, password := "", ""
	for line := range strings.Lines(offer) {
		switch {
		case strings.HasPrefix(line, "a=candidate:"):
			candidates.WriteString(line)
			continue
		case strings.HasPrefix(line, "a=end-of-candidates"):
			continue
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			ufrag = line
		case strings.HasPrefix(line, "a=ice-pwd:"):
			password = line
		}
		without.WriteString(line)
	}
	res, answer := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, without.String())
	if res.StatusCode != http.StatusCreated {
		t.Fatal(res.Status, answer)
	}
	location, etag := res.Header.Get("Location"), res.Header.Get("ETag")
	fragment := ufrag + password + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + candidates.String() + "a=end-of-candidates\r\n"
	tests := []struct {
		name, contentType, match, body string
		want                           int
	}{
		{"wrong type", sdpType, etag, fragment, http.StatusUnsupportedMediaType},
		{"no If-Match", sdpfrag.ContentType, "", fragment, http.StatusNoContent},
		{"wrong If-Match", sdpfrag.ContentType, `"x"`, fragment, http.StatusPreconditionFailed},
		{"malformed", sdpfrag.ContentType, etag, "hello", http.StatusBadRequest},
		{"too large", sdpfrag.ContentType, etag, strings.Repeat("a=x\n", 10000), http.StatusRequestEntityTooLarge},
		{"ICE restart", sdpfrag.ContentType, "*", "a=ice-ufrag:other\r\na=ice-pwd:0123456789012345678901\r\n", http.StatusUnprocessableEntity},
		{"candidates", sdpfrag.ContentType, etag, fragment, http.StatusNoContent},
		{"end of candidates", sdpfrag.ContentType, etag, "a=end-of-candidates\r\n", http.StatusNoContent},
		{"many", sdpfrag.ContentType, etag, strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n", 64), http.StatusNoContent},
		{"more than are taken", sdpfrag.ContentType, etag, strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n", 200), http.StatusNoContent},
	}
	for _, test := range tests {
		var header []string
		if test.match != "" {
			header = []string{"If-Match", test.match}
		}
		if res, body := s.do(t, http.MethodPatch, location, test.contentType, test.body, header...); res.StatusCode != test.want {
			t.Errorf("%s: %s: %s", test.name, res.Status, body)
		}
	}
	e.accept(t, res, answer)
	eventually.True(t, "connect", func() bool { return e.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

func TestOffersThatAreRefused(t *testing.T) {
	s := newTestServer(t, nil)
	replace := func(pairs ...string) func(string) string { return replaced(t, pairs...) }
	tests := map[string]struct {
		options encoderOptions
		offer   func(string) string
		status  int
		text    string
	}{
		"H.265 and Speex":  {offer: replace("H264/90000", "H265/90000", "opus/48000/2", "speex/48000/2"), status: 422, text: "H.264 (packetization-mode=1) and one audio track in Opus"},
		"mode 0 and Speex": {offer: replace("packetization-mode=1", "packetization-mode=0", "opus/48000/2", "speex/48000/2"), status: 422, text: "H.264 in other modes or profiles only"},
		"receiver":         {offer: replace("a=sendonly", "a=recvonly"), status: 422, text: "recvonly"},
		"not SDP":          {offer: func(string) string { return "hello" }, status: 400, text: "not an SDP offer"},
		"two video tracks": {offer: func(o string) string {
			video, _, _ := strings.Cut(o[strings.Index(o, "m=video"):], "m=audio")
			return o + strings.Replace(video, "a=mid:", "a=mid:x", 1)
		}, status: 422, text: "more than one video track"},
		"no track":       {offer: func(o string) string { return o[:strings.Index(o, "m=")] }, status: 422, text: "no track"},
		"no fingerprint": {offer: replace("a=fingerprint:", "a=x:"), status: 400, text: "cannot be answered"},
		"too large":      {offer: func(o string) string { return o + strings.Repeat("a=x\r\n", 20000) }, status: 413, text: "larger than"},
		"no ICE":         {offer: replace("a=ice-ufrag:", "a=x:"), status: 400, text: "ice-ufrag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEncoder(t, test.options)
			offer := e.offer(t)
			if test.offer != nil {
				offer = test.offer(offer)
			}
			res, body := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, offer)
			if res.StatusCode != test.status || !strings.Contains(body, test.text) {
				t.Errorf("%s: %s; want %d with %q", res.Status, body, test.status, test.text)
			}
			if strings.Count(strings.TrimSpace(body), "\n") > 0 {
				t.Errorf("not one sentence: %q", body)
			}
			if s.registry.Stream(primary).Snapshot().Publication != nil {
				t.Error("a publication was left")
			}
		})
	}
	if got := s.refusals(t, "UnsupportedMedia"); got != 5 {
		t.Errorf("%v refusals counted, want 5", got)
	}
}

func TestMethodsAndCORS(t *testing.T) {
	s := newTestServer(t, nil)
	tests := []struct {
		method, path, contentType string
		want                      int
	}{
		{http.MethodOptions, "/live/whip/primary", "", 200},
		{http.MethodOptions, "/live/whip/primary/x", "", 200},
		{http.MethodGet, "/live/whip/primary", "", 200},
		{http.MethodPut, "/live/whip/primary", "", 405},
		{http.MethodHead, "/live/whip/primary", "", 200},
		{http.MethodPost, "/live/whip/primary/x", sdpType, 405},
		{http.MethodGet, "/live/whip/primary/x", "", 404},
		{http.MethodPost, "/live/whip/primary", "", 415},
		{http.MethodPost, "/live/whip/primary", "text/plain", 415},
		{http.MethodPost, "/live/whip/" + strings.Repeat("x", 200), sdpType, 400},
		{http.MethodPost, "/live/whip/a%2Fb", sdpType, 400},
		{http.MethodPatch, "/live/whip/primary/x", sdpfrag.ContentType, 404},
		{http.MethodDelete, "/live/whip/primary/x", "", 404},
	}
	for _, test := range tests {
		res, body := s.do(t, test.method, test.path, test.contentType, "")
		if res.StatusCode != test.want {
			t.Errorf("%s %s: %s: %s", test.method, test.path, res.Status, body)
		}
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s %s: Access-Control-Allow-Origin %q", test.method, test.path, got)
		}
		for _, exposed := range []string{"Location", "ETag", "Link"} {
			if !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), exposed) {
				t.Errorf("%s %s: %s is not exposed", test.method, test.path, exposed)
			}
		}
		if res.StatusCode == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", test.method, test.path)
		}
	}
	if got := s.refusals(t, "MethodNotAllowed"); got != 2 {
		t.Errorf("%v refusals of a method counted, want 2", got)
	}
	res, _ := s.do(t, http.MethodOptions, "/live/whip/primary", "", "")
	if res.Header.Get("Accept-Post") != sdpType || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %v", res.Header)
	}
}

func TestTokens(t *testing.T) {
	s := newTestServer(t, func(c *Config) {
		c.Authorize = func(_ stream.Key, token string) (bool, error) {
			if token != "secret" {
				return false, errors.New("the token is missing or wrong")
			}
			return true, nil
		}
	})
	e := newEncoder(t, encoderOptions{})
	offer := e.offer(t)
	for _, test := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/live/whip/primary", nil, 401},
		{"/live/whip/primary", []string{"Authorization", "Basic secret"}, 401},
		{"/live/whip/primary", []string{"Authorization", "Bearer wrong"}, 401},
		{"/live/whip/primary?token=wrong", nil, 401},
	} {
		res, body := s.do(t, http.MethodPost, test.path, sdpType, offer, test.header...)
		if res.StatusCode != test.want {
			t.Errorf("%s %v: %s: %s", test.path, test.header, res.Status, body)
		}
		if test.want == 401 && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Error("no WWW-Authenticate")
		}
		if strings.Contains(body, "secret") {
			t.Error("the answer tells the token")
		}
		if want := "append ?token=… to the URL"; !strings.Contains(body, want) || !strings.Contains(body, "live/primary") {
			t.Errorf("%s %v: %s, want the stream and %q", test.path, test.header, body, want)
		}
	}
	inHeader := s.publish(t, "/live/whip/primary", encoderOptions{}, "Authorization", "bearer secret")
	for _, test := range []struct {
		header []string
		want   int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer wrong"}, 401},
		{[]string{"Authorization", "Bearer secret"}, 200},
	} {
		if res, _ := s.do(t, http.MethodDelete, inHeader.location, "", "", test.header...); res.StatusCode != test.want {
			t.Errorf("DELETE with %v: %s", test.header, res.Status)
		}
	}
	inQuery := s.publish(t, "/live/whip/primary?token=secret", encoderOptions{})
	if res, _ := s.do(t, http.MethodDelete, inQuery.location, "", ""); res.StatusCode != 200 {
		t.Errorf("DELETE of a session whose token was in the URL: %s", res.Status)
	}
	if got := s.refusals(t, "Unauthorized"); got < 4 {
		t.Errorf("%v refusals counted", got)
	}
}

func TestPublishersThatNeverConnectKeepNobodyOut(t *testing.T) {
	s := newTestServer(t, func(c *Config) {
		c.Authorize = func(stream.Key, string) (bool, error) { return false, nil }
	})
	for range 6 {
		if res, body := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, newEncoder(t, encoderOptions{}).offer(t)); res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %s", res.Status, body)
		}
	}
	all := pictures(t, testPictures)
	got := collect(t, s.registry.Stream(primary))
	encoder := s.publish(t, "/live/whip/primary", encoderOptions{})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		encoder.play(all, stop)
	}()
	defer func() { close(stop); <-done }()
	eventually.True(t, "the encoder's pictures", func() bool { return len(got.of(stream.Video)) > 10 })
}

func TestTakeover(t *testing.T) {
	all := pictures(t, testPictures)
	var authenticated bool
	s := newTestServer(t, func(c *Config) {
		c.Authorize = func(stream.Key, string) (bool, error) { return authenticated, nil }
	})
	got := collect(t, s.registry.Stream(primary))
	first := s.publish(t, "/live/whip/primary", encoderOptions{})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		first.play(all, stop)
	}()
	defer func() { close(stop); <-done }()
	eventually.True(t, "first publisher", func() bool { return len(got.of(stream.Video)) > 0 })

	res, body := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, newEncoder(t, encoderOptions{}).offer(t))
	if res.StatusCode != http.StatusConflict || !strings.Contains(body, "token") {
		t.Errorf("without a token: %s: %s", res.Status, body)
	}

	authenticated = true
	incumbent := got.of(stream.Video)[0].Publication
	second := s.publish(t, "/live/whip/primary", encoderOptions{})
	select {
	case <-incumbent.Done():
		t.Fatal("the incumbent ended before the newcomer's first picture")
	default:
	}
	second.play(all[:20], nil)
	eventually.True(t, "takeover", func() bool {
		v := got.of(stream.Video)
		return v[len(v)-1].Publication != incumbent
	})
	eventually.True(t, "end of the first session", func() bool {
		res, _ := s.do(t, http.MethodPatch, first.location, sdpfrag.ContentType, "")
		return res.StatusCode == http.StatusNotFound
	})
}

func TestSessionsAreLimited(t *testing.T) {
	s := newTestServer(t, func(c *Config) { c.MaxSessions = 2 })
	for _, id := range []string{"primary", "backup"} {
		e := s.publish(t, "/live/whip/"+id, encoderOptions{})
		eventually.True(t, "connected", func() bool { return e.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	}
	eventually.True(t, "both to keep their place", func() bool { return s.connecting() == 0 })
	res, body := s.do(t, http.MethodPost, "/live/whip/third", sdpType, newEncoder(t, encoderOptions{}).offer(t))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("one more than there is place for: %s %s", res.Status, body)
	}
}

// connecting returns the number of publishers that have not connected.
func (s *testServer) connecting() int {
	return s.handler.front.Door.Waiting()
}

func TestStrangersWhoNeverConnectKeepNoPublisherOut(t *testing.T) {
	s := newTestServer(t, func(c *Config) { c.MaxSessions = 3; c.MaxConnecting = 2 })
	strangers := newEncoder(t, encoderOptions{}).offer(t)
	for i := range 10 {
		if res, body := s.do(t, http.MethodPost, fmt.Sprintf("/live/whip/stranger%d", i), sdpType, strangers); res.StatusCode != 201 {
			t.Fatalf("stranger %d: %s %s", i, res.Status, body)
		}
	}
	for _, id := range []string{"primary", "backup", "third"} {
		e := s.publish(t, "/live/whip/"+id, encoderOptions{})
		eventually.True(t, id+" to connect", func() bool { return e.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
		before := s.connecting()
		eventually.True(t, "its place to be its own", func() bool { return s.connecting() <= before })
	}
	eventually.True(t, "the strangers to be gone", func() bool {
		return len(s.handler.front.Peers()) == 3 && s.handler.front.Door.Waiting() == 0
	})
	for _, one := range s.registry.Streams() {
		if strings.HasPrefix(one.Key().ID, "stranger") {
			t.Errorf("%s is published still", one.Key())
		}
	}
}

func TestCloseEndsSessions(t *testing.T) {
	s := newTestServer(t, nil)
	s.publish(t, "/live/whip/primary", encoderOptions{})
	again := newEncoder(t, encoderOptions{}).offer(t)
	s.handler.Close()
	if s.registry.Stream(primary).Snapshot().Publication != nil {
		t.Error("still published")
	}
	if res, _ := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, again); res.StatusCode != 503 {
		t.Errorf("after Close: %s", res.Status)
	}
}
