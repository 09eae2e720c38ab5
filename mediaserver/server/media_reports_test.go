package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestThePageReportsWhatItsViewerSees(t *testing.T) {
	s := startServer(t, sticky)
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	s.open("name", "primary", "backupStreamId", "backup", "playOrder", "webrtc")
	m := s.counters
	eventually.True(t, "a report by WebRTC with received packets and the time to the first picture", func() bool {
		return testutil.ToFloat64(m.ViewerReports.WithLabelValues("sunday", "Primary", "webrtc")) > 0 &&
			testutil.ToFloat64(m.ViewerPacketsReceived.WithLabelValues("sunday", "Primary")) > 100 &&
			testutil.CollectAndCount(m.ViewerJoinSeconds) == 1 && testutil.CollectAndCount(m.ViewerLatencySeconds) == 1
	})
}

// The options are those of docs/operate.md.
func TestHLSJSReportsWhatItsViewerSees(t *testing.T) {
	s := startServer(t, sticky)
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	mux := http.NewServeMux()
	mux.Handle("/hls.js/", http.StripPrefix("/hls.js/", http.FileServer(http.Dir("../player/node_modules/hls.js/dist"))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><video muted autoplay></video><script src="/hls.js/hls.min.js"></script><script>
window.hls = new Hls({cmcd: {version: 2, eventTargets: [{
  url: %q, events: ["t", "ps"], interval: 2,
  includeKeys: ["e", "sf", "sta", "ts", "v"],
}]}});
hls.loadSource(%q);
hls.attachMedia(document.querySelector("video"));
</script>`, s.url("qoe", "name", "primary", "backupStreamId", "backup"), s.url("streams/primary.m3u8", "backupStreamId", "backup"))
	})
	site := httptest.NewServer(mux)
	defer site.Close()
	p := &page{t, mediatest.Browser(t)}
	p.do(chromedp.Navigate(site.URL))
	m := s.counters
	eventually.True(t, "reports by HLS", func() bool {
		return testutil.ToFloat64(m.ViewerReports.WithLabelValues("sunday", "Primary", "hls")) > 2
	})
}

func TestReportsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.NoViewerReports = true })
	answer, _ := s.do(http.MethodPost, s.url("qoe", "name", "primary", "backupStreamId", "backup"), "e=t", "Content-Type", "application/cmcd")
	if answer.StatusCode == http.StatusNoContent {
		t.Error("a report is taken")
	}
	for state := range s.states("primary", "backupStreamId", "backup") {
		if state.ReportShare != 0 {
			t.Errorf("players are asked for reports: %v of them", state.ReportShare)
		}
		break
	}
}
