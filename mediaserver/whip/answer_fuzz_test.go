package whip

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
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

// An exchange is what a client was told in one attempt to publish.
type exchange struct {
	answer  string // empty: the offer was refused
	refused int    // status; 0: nothing was refused
	message string
}

// negotiating returns a function that sends an offer, then trickles a fragment, and ends the
// session. The metrics have the reasons of refusals.
func negotiating(f testing.TB) (negotiate func(t testing.TB, offer, fragment string) exchange, m *metrics.Metrics) {
	f.Helper()
	m = metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.DiscardHandler)
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: "127.0.0.1:0", Logger: log, Metrics: m})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(engine.Close)
	h := NewHandler(Config{
		Engine: engine, Registry: stream.NewRegistry(stream.Config{}), Metrics: m, Logger: log,
		Authorize: func(stream.Key, string) (bool, error) { return false, nil },
	})
	mux := http.NewServeMux()
	h.Register(mux)
	do := func(method, path, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	return func(t testing.TB, offer, fragment string) exchange {
		w := do(http.MethodPost, "/live/whip/fuzz", sdpType, offer)
		if w.Code != http.StatusCreated {
			return exchange{"", w.Code, w.Body.String()}
		}
		e, location := exchange{answer: w.Body.String()}, w.Header().Get("Location")
		if w := do(http.MethodPatch, location, sdpfrag.ContentType, fragment); w.Code != http.StatusNoContent {
			e.refused, e.message = w.Code, w.Body.String()
		}
		do(http.MethodDelete, location, "", "")
		eventually.True(t, "the session has left", func() bool { return len(h.front.Peers()) == 0 })
		return e
	}, m
}

// Every offer and every fragment is answered, or refused in words. Time and memory
// stay within bounds.
func FuzzAnswer(f *testing.F) {
	f.Add(chromiumOffer, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
	f.Add(chromiumOffer, "a=candidate:1 1 udp 1 x.local 9 typ host\r\na=candidate:1 1 udp 1 x.invalid 9 typ host\r\na=candidate:1 1 tcp 1 ::1 9 typ host tcptype passive\r\n")
	for _, shape := range mediatest.HostileOffers() {
		shape.Direction = "sendonly"
		f.Add(shape.Offer(), "a=end-of-candidates\r\n")
	}
	negotiate, _ := negotiating(f)
	f.Fuzz(func(t *testing.T, offer, fragment string) {
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			e := negotiate(t, offer, fragment)
			switch {
			case e.refused != 0 && (strings.TrimSpace(e.message) == "" || e.refused < 400 || e.refused >= 500):
				t.Errorf("refused as %+v", e)
			case e.refused == 0 && strings.Count(e.answer, "\r\nm=") < 1:
				t.Errorf("answered with %q", e.answer)
			}
		})
	})
}

func TestHostileOffersAreRefusedInWords(t *testing.T) {
	negotiate, m := negotiating(t)
	for _, shape := range mediatest.HostileOffers() {
		shape.Direction = "sendonly"
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			if e := negotiate(t, shape.Offer(), ""); e.refused != 0 && (e.refused >= 500 || strings.TrimSpace(e.message) == "") {
				t.Errorf("refused as %+v", e)
			}
		})
	}
	if n := testutil.ToFloat64(m.PublishRefusals.WithLabelValues("whip", "OfferTooLarge")); n < 8 {
		t.Errorf("%v are refused as too large", n)
	}
}
