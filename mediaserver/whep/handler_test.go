package whep

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestRefusals(t *testing.T) {
	errPrivate := errors.New("the token is missing or wrong")
	s := newServer(t, func(cfg *Config) {
		cfg.Authorize = func(app, streamID, backupID, token string) error {
			switch {
			case streamID == "nowhere":
				return fmt.Errorf("%w: nowhere", stream.ErrUndeclared)
			case streamID == "private" && token != "right token":
				return errPrivate
			}
			return nil
		}
		open := cfg.Open
		cfg.Open = func(from netip.Prefix, app, streamID, backupID string) (*rtc.Output, func(), error) {
			if backupID == "full" {
				return nil, nil, errors.New("too many pairs are played; try again later")
			}
			return open(from, app, streamID, backupID)
		}
	})
	_, offer := newClient(t, video, audio)
	_, picture := newClient(t, video)
	vp8 := strings.NewReplacer("H264/90000", "VP9/90000").Replace(picture)
	for _, test := range []struct {
		name, path, offer string
		header            []string
		status            int
		body              string
		reason            string // in the metric
	}{
		{"body of another type", "/live/whep/a", offer, []string{"Content-Type", "text/plain"}, 415, "application/sdp", "content_type"},
		{"body of no type", "/live/whep/a", offer, []string{"Content-Type", ""}, 415, "application/sdp", "content_type"},
		{"type with a parameter", "/live/whep/private", offer, []string{"Content-Type", "application/sdp; charset=utf-8"}, 401, "token", "unauthorized"},
		{"no SDP", "/live/whep/a", "hello", nil, 400, "no SDP", "bad_offer"},
		{"nothing", "/live/whep/a", "", nil, 400, "", "bad_offer"},
		{"too long", "/live/whep/a", strings.Repeat("a=x\r\n", 20000), nil, 413, "65536", "body_too_large"},
		{"offer that sends", "/live/whep/a", strings.ReplaceAll(offer, "recvonly", "sendonly"), nil, 400, "recvonly", "bad_offer"},
		{"no format in common", "/live/whep/a", vp8, nil, 422, "H.264", "no_common_format"},
		{"neither H.264 nor Opus", "/live/whep/a", strings.NewReplacer("opus/", "speex/", "H264/", "VP9/").Replace(offer), nil, 422, "Opus", "no_common_format"},
		{"no token", "/live/whep/private", offer, nil, 401, errPrivate.Error(), "unauthorized"},
		{"wrong token", "/live/whep/private?token=wrong", offer, nil, 401, errPrivate.Error(), "unauthorized"},
		{"header before URL", "/live/whep/private?token=right+token", offer, []string{"Authorization", "Bearer wrong"}, 401, errPrivate.Error(), "unauthorized"},
		{"unknown stream", "/live/whep/nowhere", offer, nil, 404, "nowhere", "unknown_stream"},
		{"too many pairs", "/live/whep/a?backupStreamId=full", offer, nil, 503, "too many pairs", "open"},
		{"offer that can't be answered", "/live/whep/a", strings.ReplaceAll(offer, "a=fingerprint:", "a=finger:"), nil, 400, "can't be answered", "bad_offer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			counter := s.handler.cfg.Metrics.ViewerRefusals.WithLabelValues(test.reason)
			before := testutil.ToFloat64(counter)
			response, body := s.post(test.path, test.offer, test.header...)
			if got := testutil.ToFloat64(counter) - before; got != 1 {
				t.Errorf("%v refusals counted as %s, want 1", got, test.reason)
			}
			if response.StatusCode != test.status || !strings.Contains(body, test.body) {
				t.Errorf("%s %q, want %d and %q", response.Status, body, test.status, test.body)
			}
			if response.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("a player on another origin can't read why")
			}
			if retry := response.Header.Get("Retry-After"); (retry != "") != (test.status == 503) {
				t.Errorf("Retry-After %q", retry)
			}
			if n := s.handler.ViewerCount(); n != 0 {
				t.Errorf("%d sessions left", n)
			}
		})
	}
	for _, header := range [][]string{{"Authorization", "Bearer right token"}, {"Authorization", "bearer right token"}, nil} {
		path := "/live/whep/private"
		if header == nil {
			path += "?token=right%20token"
		}
		if response, body := s.post(path, offer, header...); response.StatusCode != http.StatusCreated {
			t.Errorf("%v: %s %s, want 201", header, response.Status, body)
		}
	}
}

// These are the offers that GStreamer's whepsrc makes from the caps in its documentation.
func TestEachSectionIsAnsweredByItself(t *testing.T) {
	s := newServer(t, nil)
	const (
		head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
		rest = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\n" +
			"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
		h264 = "m=video 9 UDP/TLS/RTP/SAVPF 127\r\n" + rest + "a=mid:0\r\na=rtpmap:127 H264/90000\r\na=rtcp-fb:127 nack pli\r\n"
		opus = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + rest + "a=mid:1\r\na=rtpmap:111 OPUS/48000/2\r\n"
		pcmu = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + rest + "a=mid:1\r\na=rtpmap:0 PCMU/8000\r\n"
		vp8  = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + rest + "a=mid:0\r\na=rtpmap:96 VP8/90000\r\n"

		served, unserved = "UDP/TLS/RTP/SAVPF 127", "m=audio 0 UDP/TLS/RTP/SAVPF 0"
	)
	for _, test := range []struct {
		name, offer string
		playing     bool
		status      int
		want        []string // in the answer, per section
	}{
		{"H.264 without parameters before anything is on air", head + h264 + opus, false, 201,
			[]string{served, "a=fmtp:127 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", "m=audio 9"}},
		{"H.264 without parameters: the profile on air", head + h264 + opus, true, 201, []string{served, "packetization-mode=1;profile-level-id=64001f"}},
		{"mode 1 without a profile", head + h264 + "a=fmtp:127 packetization-mode=1\r\n", true, 201, []string{served, "profile-level-id=64001f"}},
		{"a profile without a mode", head + h264 + "a=fmtp:127 profile-level-id=42e01f\r\n", true, 201, []string{served, "packetization-mode=1;profile-level-id=42e01f"}},
		{"all parameters: as offered", head + h264 + "a=fmtp:127 packetization-mode=1;profile-level-id=42e01f\r\n", true, 201, []string{served, "profile-level-id=42e01f"}},
		{"PCMU beside it is rejected alone", head + h264 + pcmu, true, 201, []string{served, unserved, "a=mid:1"}},
		{"VP8 beside Opus is rejected alone", head + vp8 + opus, true, 201, []string{"m=video 0 UDP/TLS/RTP/SAVPF 96", "m=audio 9 UDP/TLS/RTP/SAVPF 111"}},
		{"PCMU alone", head + pcmu, true, 422, []string{"H.264"}},
		{"VP8 and PCMU", head + vp8 + pcmu, true, 422, []string{"H.264"}},
		{"mode 0 by its name", head + h264 + "a=fmtp:127 packetization-mode=0\r\n", true, 422, []string{"packetization-mode=1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.playing && s.output.SPS() == nil {
				s.play()
				eventually.True(t, "a picture is on air", func() bool { return s.output.SPS() != nil })
			}
			response, answer := s.post("/live/whep/primary", test.offer)
			if response.StatusCode != test.status {
				t.Fatalf("%s: %s, want %d", response.Status, answer, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(answer, want) {
					t.Errorf("no %q in the answer:\n%s", want, answer)
				}
			}
			if test.status == 201 && strings.Count(answer, "m=") != strings.Count(test.offer, "m=") {
				t.Errorf("the answer has other sections than the offer:\n%s", answer)
			}
		})
	}
}

// GStreamer's whepsrc, as it was recorded: the sound is bundle-only, and H.264 has no parameters.
func TestGStreamersOfferIsServed(t *testing.T) {
	s := newServer(t, nil)
	response, answer := s.post("/live/whep/primary", mediatest.RecordedOffer(t, "gstreamer-whepsrc"))
	if response.StatusCode != http.StatusCreated {
		t.Fatal(response.Status, answer)
	}
	for _, want := range []string{
		"a=group:BUNDLE video0 audio1\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 127\r\n", "a=mid:video0\r\n", "packetization-mode=1",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "a=mid:audio1\r\n",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in the answer:\n%s", want, answer)
		}
	}
}

func TestMaxViewers(t *testing.T) {
	const other = "http://192.0.2.1:5080"
	s := newServer(t, func(cfg *Config) { cfg.MaxViewers, cfg.Alternate = 1, func() string { return other } })
	s.play()
	pc, offer := newClient(t, video)
	first, body := s.post("/live/whep/primary", offer)
	if first.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", first.Status, body)
	}
	await(t, receive(t, pc, body), video)
	_, offer = newClient(t, video)
	second, body := s.post("/live/whep/primary", offer)
	if second.StatusCode != http.StatusServiceUnavailable || second.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q: %s", second.Status, second.Header.Get("Retry-After"), body)
	}
	if got := second.Header.Get("Link"); got != "<"+other+`>; rel="alternate"` {
		t.Errorf("a full server names %q, want the other one", got)
	}
	s.do("DELETE", first.Header.Get("Location"), "")
	third, body := s.post("/live/whep/primary", offer)
	if third.StatusCode != http.StatusCreated {
		t.Errorf("after one has left: %s %s", third.Status, body)
	}
}

func TestShutdownEndsSessionsAndRefusesNew(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	pc, offer := newClient(t, video)
	_, answer := s.post("/live/whep/primary", offer)
	await(t, receive(t, pc, answer), video)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := s.handler.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if n := s.handler.ViewerCount(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
	_, offer = newClient(t, video)
	if response, body := s.post("/live/whep/primary", offer); response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", response.Status, body)
	}
}

func TestOptions(t *testing.T) {
	s := newServer(t, nil)
	for path, want := range map[string]string{
		"/live/whep/primary":    "Accept-Post",
		"/live/whep/primary/s1": "Accept-Patch",
	} {
		response, _ := s.do("OPTIONS", path, "", "Origin", "https://elsewhere.example", "Access-Control-Request-Method", "POST")
		if response.StatusCode != http.StatusOK || response.Header.Get(want) == "" {
			t.Errorf("%s: %s, %s %q", path, response.Status, want, response.Header.Get(want))
		}
		for _, name := range []string{"Authorization", "Content-Type", "If-Match"} {
			if !strings.Contains(response.Header.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("%s: %s may not be sent", path, name)
			}
		}
		for _, method := range []string{"POST", "PATCH", "DELETE"} {
			if !strings.Contains(response.Header.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("%s: %s may not be used", path, method)
			}
		}
	}
	for path, allowed := range map[string]string{"/live/whep/primary": "GET, HEAD, OPTIONS, POST", "/live/whep/primary/s1": "DELETE, GET, HEAD, OPTIONS, PATCH"} {
		response, _ := s.do("PUT", path, "")
		if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != allowed {
			t.Errorf("PUT %s: %s, Allow %q, want 405 and %q", path, response.Status, response.Header.Get("Allow"), allowed)
		}
	}
	if got := testutil.ToFloat64(s.handler.cfg.Metrics.ViewerRefusals.WithLabelValues("method")); got != 2 {
		t.Errorf("%v refusals of a method counted, want 2", got)
	}
}

func TestOptionsTellOfICEServersOnlyWhoMayWatch(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.ICEServers = func(string, string, string) []webrtc.ICEServer {
			return []webrtc.ICEServer{{URLs: []string{"turn:turn.example.net"}, Username: "user", Credential: "secret"}}
		}
		cfg.Authorize = func(_, _, _, token string) error {
			if token != "right" {
				return errors.New("the token is wrong")
			}
			return nil
		}
	})
	for token, want := range map[string]int{"": 0, "wrong": 0, "right": 1} {
		response, _ := s.do("OPTIONS", "/live/whep/primary", "", "Authorization", "Bearer "+token)
		if got := len(response.Header.Values("Link")); got != want {
			t.Errorf("token %q: %d servers, want %d", token, got, want)
		}
	}
}
