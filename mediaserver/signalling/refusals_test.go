package signalling

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefusalsAreLoggedWithTheirReason(t *testing.T) {
	var out bytes.Buffer
	l := NewRefusalLog(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	r := httptest.NewRequest("POST", "/live/whip/primary", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set("User-Agent", "Encoder/1.0 "+strings.Repeat("x", 1000))
	l.Log(r, Refusal{Protocol: "whip", Stream: "live/primary", Status: 406, Reason: "UnsupportedMedia", Message: "The offer has no track."})
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"level": "INFO", "protocol": "whip", "stream": "live/primary", "method": "POST", "status": 406.0,
		"reason": "UnsupportedMedia", "message": "The offer has no track.", "remote": "192.0.2.1:1234",
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
	if agent := line["userAgent"].(string); !strings.HasPrefix(agent, "Encoder/1.0 ") || len(agent) > maxLogged {
		t.Errorf("user agent of %d bytes", len(agent))
	}
}

func TestAFloodOfRefusalsDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewRefusalLog(slog.New(slog.NewTextHandler(&out, nil)))
		r := httptest.NewRequest("POST", "/live/whip/primary", nil)
		for range 1000 {
			l.Log(r, Refusal{Reason: "Forbidden"})
		}
		if n := strings.Count(out.String(), "\n"); n != refusalBurst {
			t.Errorf("%d lines at once, want %d", n, refusalBurst)
		}
		out.Reset()
		time.Sleep(refusalInterval)
		l.Log(r, Refusal{Reason: "Forbidden"})
		l.Log(r, Refusal{Reason: "Forbidden"})
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "leftOut=980") {
			t.Errorf("after a second: %s", out.String())
		}
		out.Reset()
		time.Sleep(time.Hour)
		l.Log(r, Refusal{Reason: "Forbidden"})
		if !strings.Contains(out.String(), "leftOut=1") {
			t.Errorf("after an hour: %s", out.String())
		}
	})
}
