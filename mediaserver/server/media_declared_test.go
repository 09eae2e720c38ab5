package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// asks sends a request without a token, and returns the answer.
func (s *testServer) asks(method, path, contentType, body string, query ...string) (code int, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url(path, query...), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.Header.Get("Content-Type") == "text/event-stream" {
		return answer.StatusCode, ""
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(content)
}

// publishes reports whether an encoder may publish
// the stream, and what the encoder is told if not.
func (s *testServer) publishes(streamID string) (taken bool, told string) {
	s.t.Helper()
	tape, err := mediatest.Programme{}.Tape(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	encoder, err := mediatest.Replay(s.t.Context(), s.publishURL(streamID), tape, mediatest.ReplayOptions{})
	var refused *mediatest.RefusedError
	switch {
	case err == nil:
		encoder.Kill()
		return true, ""
	case errors.As(err, &refused):
		return false, refused.Status
	}
	s.t.Fatal(err)
	return false, ""
}

func TestAMediaPodTakesAndPlaysDeclaredStreamsOnly(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.Role = v1alpha1.RolePrimary })
	says := func(door, text string) {
		t.Helper()
		if !strings.Contains(text, "o StreamPair names this stream; use a stream id that the StreamPair declares") {
			t.Errorf("%s: %q does not say what to do", door, text)
		}
		if strings.Contains(text, "primary") || strings.Contains(text, "backup") {
			t.Errorf("%s: %q tells a stranger what is declared", door, text)
		}
	}
	taken, told := s.publishes("third")
	if taken || !strings.Contains(told, "NetStream.Publish.BadName") {
		t.Errorf("RTMP: taken %t, %q", taken, told)
	}
	says("RTMP", told)
	for _, refused := range []struct {
		door, method, path, contentType string
		query                           []string
	}{
		{"WHIP", http.MethodPost, "whip/third", "application/sdp", nil},
		{"WHEP", http.MethodPost, "whep/third", "application/sdp", nil},
		{"WHEP, a backup of no pair", http.MethodPost, "whep/primary", "application/sdp", []string{"backupStreamId", "third"}},
		{"FLV", http.MethodGet, "third.flv", "", nil},
		{"events", http.MethodGet, "events/third", "", nil},
		{"events, a backup of no pair", http.MethodGet, "events/primary", "", []string{"backupStreamId", "third"}},
	} {
		code, text := s.asks(refused.method, refused.path, refused.contentType, offer(t), refused.query...)
		if code != http.StatusNotFound {
			t.Errorf("%s: %d %s", refused.door, code, text)
		}
		says(refused.door, text)
	}
	if n := len(s.status().Pairs); n != 1 {
		t.Errorf("%d pairs run, want the declared one", n)
	}

	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	pair, alone := s.watchPair(), s.watch(mediatest.WatchOptions{Decode: true}, "primary")
	pair.sees(0, fps, time.Time{})
	alone.sees(0, fps, time.Time{})
	if code, text := s.asks(http.MethodGet, "events/backup", "", ""); code != http.StatusOK {
		t.Errorf("events of one declared stream: %d %s", code, text)
	}
}

func TestAStandaloneServerTakesUndeclaredStreams(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	if taken, told := s.publishes("third"); !taken {
		t.Errorf("RTMP: %s", told)
	}
	for _, path := range []string{"whep/third", "whip/fourth"} {
		if code, text := s.asks(http.MethodPost, path, "application/sdp", offer(t)); code != http.StatusCreated {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}
