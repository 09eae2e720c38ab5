package server

import (
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestWhenAPublisherOfAReplacedTokenGoes(t *testing.T) {
	start := time.Unix(1e9, 0)
	const grace = 10 * time.Minute
	for _, tt := range []struct {
		name            string
		role            failover.Role
		after           time.Duration
		live, otherLive bool
		lastEnd         time.Duration // after start; 0: never
		want            bool
	}{
		{name: "within the grace", role: failover.Backup, after: grace - 1, live: true, otherLive: true},
		{name: "the backup's at the end of the grace", role: failover.Backup, after: grace, live: true, otherLive: true, want: true},
		{name: "the primary's not yet", role: failover.Primary, after: grace + primaryLater - 1, live: true, otherLive: true},
		{name: "the primary's later", role: failover.Primary, after: grace + primaryLater, live: true, otherLive: true, want: true},
		{name: "the backup's is all there is to play", role: failover.Backup, after: 2 * grace, live: true},
		{name: "the primary's is all there is to play", role: failover.Primary, after: 2 * grace, live: true},
		{name: "nothing comes of it", role: failover.Backup, after: grace, otherLive: true, want: true},
		{name: "nothing comes of either", role: failover.Backup, after: grace, want: true},
		{name: "another publisher was ended less than a minute ago", role: failover.Primary, after: 2 * grace, live: true, otherLive: true, lastEnd: 2*grace - betweenEnds + 1},
		{name: "another publisher was ended a minute ago", role: failover.Primary, after: 2 * grace, live: true, otherLive: true, lastEnd: 2*grace - betweenEnds, want: true},
	} {
		r := revocation{Role: tt.role, Replaced: start, Grace: grace, Live: tt.live, OtherLive: tt.otherLive}
		if tt.lastEnd != 0 {
			r.LastEnd = start.Add(tt.lastEnd)
		}
		if got := r.due(start.Add(tt.after)); got != tt.want {
			t.Errorf("%s: due %t, want %t", tt.name, got, tt.want)
		}
	}
}

// The two pods learn of a new token at different times, and do not coordinate.
func TestTheTwoPodsNeverEndTheirPublishersInTheSameMinute(t *testing.T) {
	const apart = 90 * time.Second // how much longer one kubelet may take than another
	start := time.Unix(1e9, 0)
	for _, grace := range []time.Duration{0, time.Second, time.Hour} {
		ends := make(map[failover.Role]time.Time)
		for role, learned := range map[failover.Role]time.Time{failover.Primary: start, failover.Backup: start.Add(apart)} {
			r := revocation{Role: role, Replaced: learned, Grace: grace, Live: true, OtherLive: true}
			now := learned
			for !r.due(now) {
				now = now.Add(revocationInterval)
			}
			ends[role] = now
		}
		if between := ends[failover.Primary].Sub(ends[failover.Backup]); between < time.Minute {
			t.Errorf("with a grace of %v the ends are %v apart", grace, between)
		}
	}
}

func TestAReplacedTokenEndsWhatItOpened(t *testing.T) {
	t.Parallel()
	const graces = "  publish: {replacedTokenGraceSeconds: 0, "
	manifest := strings.NewReplacer("  publish: {", graces, "playback: {", "playback: {replacedTokenGraceSeconds: 0, ").Replace(guarded)
	s := startServer(t, manifest)
	primary := s.replay("primary?token=publish-me-1", mediatest.Programme{}, mediatest.ReplayOptions{})
	backup := s.replay("backup?token=publish-me-1", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	s.begin("whep/primary", "Authorization", "Bearer watch-me-1")
	renewed := strings.NewReplacer("publish-me-1", "publish-me-2", "watch-me-1", "watch-me-2").Replace(manifest)
	if err := s.Configure([]byte(renewed)); err != nil {
		t.Fatal(err)
	}
	newcomer := s.begin("whep/primary", "Authorization", "Bearer watch-me-2")
	select {
	case <-backup.Done():
	case <-time.After(patience):
		t.Error("the backup's publisher goes on")
	}
	eventually.True(t, "the viewer of the old token is gone", func() bool { return s.whep.ViewerCount() == 1 })
	if _, ok := s.whep.Session(newcomer.id); !ok {
		t.Error("the viewer of the new token is gone")
	}
	select {
	case <-primary.Done():
		t.Error("the primary's publisher was ended with the backup's")
	default:
	}
	s.onAir("primary", true, false)
}
