package whip

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A client that offers again and again and never connects does not fill the log. An
// encoder that connects from the same address is logged all the same.
func TestAFloodOfOffersDoesNotFillTheLog(t *testing.T) {
	var lines mediatest.LogLines
	var registry *stream.Registry
	s := newTestServer(t, func(c *Config) {
		log := slog.New(slog.NewTextHandler(&lines, nil))
		registry = stream.NewRegistry(stream.Config{Metrics: c.Metrics, Logger: log})
		c.Registry, c.Logger, c.MaxConnecting = registry, log, 8
	})
	halfRejected := replaced(t, "opus/48000/2", "speex/48000/2")
	offer := halfRejected(newEncoder(t, encoderOptions{}).offer(t))
	const offers = 100
	for i := range offers {
		if res, answer := s.do(t, http.MethodPost, fmt.Sprint("/live/whip/flood", i), sdpType, offer); res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("%s: %s", res.Status, answer)
		}
	}
	// A logged session has five lines: it is accepted, its publication begins, the
	// rejected sound is warned of, and both end.
	if n := len(lines.With("")); n < 5 || n > 5*10 {
		t.Errorf("%d lines about %d offers", n, offers)
	}

	e := newEncoder(t, encoderOptions{})
	res, answer := s.do(t, http.MethodPost, "/live/whip/primary", sdpType, halfRejected(e.offer(t)))
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", res.Status, answer)
	}
	if n := len(lines.With("stream=live/primary")); n > 0 {
		t.Errorf("%d lines about an encoder that has yet to connect", n)
	}
	e.accept(t, res, answer+"a=rtpmap:111 opus/48000/2\r\n") // pion needs it even when a track is rejected
	eventually.True(t, "the encoder to be connected", func() bool { return len(lines.With("publisher connected")) == 1 })
	for _, want := range []string{"publication began", "code=" + warningUnsupportedAudio} {
		if n := len(lines.With("stream=live/primary", want)); n != 1 {
			t.Errorf("%d lines with %q about the encoder, want 1", n, want)
		}
	}
	s.do(t, http.MethodDelete, res.Header.Get("Location"), "", "")
	for _, want := range []string{"publication ended", "publisher disconnected"} {
		if n := len(lines.With("stream=live/primary", want)); n != 1 {
			t.Errorf("%d lines with %q about the encoder, want 1", n, want)
		}
	}
}
