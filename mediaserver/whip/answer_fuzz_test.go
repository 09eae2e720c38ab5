package whip

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// maxAnswerBytes bounds what one offer may make the server allocate. An answer to a
	// browser takes about 0.2 MB.
	maxAnswerBytes = 8 << 20
	maxAnswerTime  = 20 * time.Second
)

// negotiating returns a function that answers an offer as a session does, takes a
// trickled fragment, and ends.
func negotiating(f testing.TB) func(offer, fragment string) (answer string, r *refusal) {
	f.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.DiscardHandler)
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: "127.0.0.1:0", Logger: log, Metrics: m})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(engine.Close)
	h := NewHandler(Config{Engine: engine, Registry: stream.NewRegistry(stream.Config{}), Metrics: m, Logger: log})
	key := stream.Key{App: "live", ID: "fuzz"}
	return func(text, fragment string) (string, *refusal) {
		s := h.newSession(key, "", false, "127.0.0.1:1", rtc.Reach{})
		answer, r := s.begin(text, false, "127.0.0.1:1")
		if r != nil {
			return "", r
		}
		defer func() {
			s.end(stream.EndClosed, nil)
			_ = s.pc.GracefulClose()
		}()
		if parsed, err := sdpfrag.Parse([]byte(fragment)); err == nil {
			r = s.trickle(parsed)
		}
		return answer, r
	}
}

// Whatever is offered or trickled is answered, or refused in words, within bounds of time
// and memory.
func FuzzAnswer(f *testing.F) {
	f.Add(chromiumOffer, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
	f.Add(chromiumOffer, "a=candidate:1 1 udp 1 x.local 9 typ host\r\na=candidate:1 1 udp 1 x.invalid 9 typ host\r\na=candidate:1 1 tcp 1 ::1 9 typ host tcptype passive\r\n")
	for _, shape := range mediatest.HostileOffers() {
		shape.Direction = "sendonly"
		f.Add(shape.Offer(), "a=end-of-candidates\r\n")
	}
	negotiate := negotiating(f)
	f.Fuzz(func(t *testing.T, offer, fragment string) {
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			answer, r := negotiate(offer, fragment)
			switch {
			case r != nil && (r.text == "" || r.reason == "" || r.status < 400 || r.status >= 500):
				t.Errorf("refused as %+v", r)
			case r == nil && strings.Count(answer, "\r\nm=") < 1:
				t.Errorf("answered with %q", answer)
			}
		})
	})
}

func TestHostileOffersAreRefusedInWords(t *testing.T) {
	negotiate := negotiating(t)
	refused := map[string]int{}
	for _, shape := range mediatest.HostileOffers() {
		shape.Direction = "sendonly"
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			if _, r := negotiate(shape.Offer(), ""); r != nil {
				refused[fmt.Sprint(r.status, " ", r.reason)]++
			}
		})
	}
	if refused["413 OfferTooLarge"] < 8 {
		t.Errorf("refused: %v", refused)
	}
}
