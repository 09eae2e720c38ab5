package signalling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
)

func TestRefusalsAreLoggedWithTheirReason(t *testing.T) {
	var out bytes.Buffer
	l := newRefusalLog(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	r := httptest.NewRequest("POST", "/live/whip/primary", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set("User-Agent", "Encoder/1.0 "+strings.Repeat("x", 1000))
	r.SetPathValue("app", "live")
	r.SetPathValue("streamId", "primary")
	l.write(r, "whip", Refuse(422, "UnsupportedMedia", "The offer has no track."))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"level": "INFO", "protocol": "whip", "stream": "live/primary", "method": "POST", "status": 422.0,
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

// One stranger is refused all the time.
func TestAFloodOfRefusalsDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)))
		r := httptest.NewRequest("POST", "/live/whip/primary", nil)
		r.RemoteAddr = "192.0.2.1:1234"
		for range 1000 {
			l.write(r, "whip", &Refusal{Reason: "Forbidden"})
		}
		if n := strings.Count(out.String(), "\n"); n != networkBurst {
			t.Errorf("%d lines at once, want %d", n, networkBurst)
		}
		out.Reset()
		time.Sleep(networkInterval)
		l.write(r, "whip", &Refusal{Reason: "Forbidden"})
		l.write(r, "whip", &Refusal{Reason: "Forbidden"})
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "leftOut=995") {
			t.Errorf("after the interval: %s", out.String())
		}
		out.Reset()
		time.Sleep(time.Hour)
		l.write(r, "whip", &Refusal{Reason: "Forbidden"})
		if !strings.Contains(out.String(), "leftOut=1") {
			t.Errorf("after an hour: %s", out.String())
		}
	})
}

func TestAFloodOfRefusalsFromManyAddressesDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)))
		flood := func() (lines int) {
			out.Reset()
			for i := range 1000 {
				r := httptest.NewRequest("POST", "/live/whip/primary", nil)
				r.RemoteAddr = fmt.Sprintf("[2001:db8:0:%x::1]:1234", i)
				l.write(r, "whip", &Refusal{Reason: "Forbidden"})
			}
			return strings.Count(out.String(), "\n")
		}
		if n := flood(); n != lineBurst {
			t.Errorf("%d lines at once, want %d", n, lineBurst)
		}
		time.Sleep(lineInterval)
		if n := flood(); n != 1 {
			t.Errorf("%d lines after an interval, want 1", n)
		}
	})
}

// A stranger that is refused all the time does not hide why an encoder is refused.
func TestAStrangersRefusalsDoNotHideAnEncoders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)))
		stranger := netip.MustParseAddr("192.0.2.1")
		encoder := stranger.Next()
		for l.budgetOf(admission.NetworkOf(encoder)) == l.budgetOf(admission.NetworkOf(stranger)) {
			encoder = encoder.Next() // addresses with the same hash share a budget
		}
		refuse := func(from netip.Addr, reason string) {
			r := httptest.NewRequest("POST", "/live/whip/primary", nil)
			r.RemoteAddr = netip.AddrPortFrom(from, 1234).String()
			l.write(r, "whip", &Refusal{Reason: reason})
		}
		for minute := range 3 {
			for range 600 {
				refuse(stranger, "Forbidden")
				time.Sleep(100 * time.Millisecond)
			}
			out.Reset()
			refuse(encoder, "UnsupportedMedia")
			if !strings.Contains(out.String(), "UnsupportedMedia") {
				t.Errorf("after minute %d of a stranger's refusals the encoder's is not logged", minute+1)
			}
		}
	})
}
