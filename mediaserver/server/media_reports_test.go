package server

import (
	"testing"

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
