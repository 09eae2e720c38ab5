package whep

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
)

const (
	// maxAnswerBytes bounds what one offer may make the server allocate. An answer to a
	// browser takes about 0.2 MB.
	maxAnswerBytes = 8 << 20
	maxAnswerTime  = 20 * time.Second
)

// answering returns a function that answers an offer as a session does, without media.
func answering(f testing.TB) func(offer string) (answer string, r *signalling.Refusal) {
	f.Helper()
	m := metrics.New(prometheus.NewRegistry())
	log := slog.New(slog.DiscardHandler)
	engine, err := rtc.NewEngine(rtc.EngineConfig{Address: "127.0.0.1:0", Logger: log, Metrics: m})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(engine.Close)
	output := rtc.NewOutput(rtc.OutputConfig{Now: func() time.Duration { return 0 }, Metrics: m, Logger: log})
	return func(offer string) (string, *signalling.Refusal) {
		formats, r := selectFormats(offer)
		if r != nil {
			return "", r
		}
		if r := formats.complete(nil); r != nil {
			return "", r
		}
		connection, err := engine.NewViewerConnection(formats.offer)
		if err != nil {
			return "", signalling.Refuse(500, "internal", "%v", err)
		}
		viewer, err := output.AddViewer(connection, rtc.ViewerConfig{Protocol: protocol, Video: formats.video, Audio: formats.audio})
		if err != nil {
			return "", signalling.Refuse(500, "internal", "%v", err)
		}
		defer viewer.Close()
		answer, err := connection.Answer(rtc.Reach{})
		if err != nil {
			return "", signalling.Refuse(400, signalling.ReasonMalformedOffer, "%v", err)
		}
		return answer, nil
	}
}

// Every offer is answered, or refused in words. Time and memory stay within bounds.
func FuzzAnswer(f *testing.F) {
	f.Add(mediatest.OfferShape{}.Offer())
	f.Add(mediatest.OfferShape{Direction: "sendrecv"}.Offer())
	for _, shape := range mediatest.HostileOffers() {
		f.Add(shape.Offer())
	}
	answer := answering(f)
	f.Fuzz(func(t *testing.T, offer string) {
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			got, r := answer(offer)
			switch {
			case r != nil && (r.Message == "" || r.Reason == "" || r.Status < 400 || r.Status >= 500):
				t.Errorf("refused as %+v", r)
			case r == nil && strings.Count(got, "\r\nm=") < 1:
				t.Errorf("answered with %q", got)
			}
		})
	})
}

func TestHostileOffersAreRefusedInWords(t *testing.T) {
	answer := answering(t)
	refused := 0
	for _, shape := range mediatest.HostileOffers() {
		offer := shape.Offer()
		mediatest.AssertCost(t, maxAnswerBytes, maxAnswerTime, func() {
			got, r := answer(offer)
			switch {
			case r == nil && strings.Count(got, "\r\nm=") != strings.Count(offer, "\r\nm="):
				t.Errorf("%+v: the answer has other sections than the offer: %s", shape, got)
			case r != nil && (r.Status != 413 || r.Reason != signalling.ReasonOfferTooLarge):
				t.Errorf("%+v: refused as %+v", shape, r)
			case r != nil:
				refused++
			}
		})
	}
	if refused < 8 {
		t.Errorf("only %d are refused", refused)
	}
}

func BenchmarkAnswer(b *testing.B) {
	answer := answering(b)
	offer := mediatest.OfferShape{}.Offer()
	b.ReportAllocs()
	for b.Loop() {
		if _, r := answer(offer); r != nil {
			b.Fatal(r.Message)
		}
	}
}
