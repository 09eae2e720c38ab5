package server

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestStatusTellsOfTheLegsAndTheLastSwitch(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	legs := func(want ...control.Leg) {
		t.Helper()
		var got []control.Leg
		eventually.True(t, "the legs are as expected", func() bool {
			got = nil
			for _, l := range s.pair("sunday").Legs {
				got = append(got, control.Leg{
					Role: l.Role, Local: l.Local, Live: l.Live, Publishing: l.Publishing, LossReason: l.LossReason, Conflict: l.Conflict,
				})
			}
			return cmp.Equal(want, got)
		})
	}
	primary, backup := control.Leg{Role: "Primary", Local: true}, control.Leg{Role: "Backup", Local: true}
	primary.LossReason, backup.LossReason = control.LossNotPublished, control.LossNotPublished
	legs(primary, backup)

	first := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false) // else the backup's first picture may come sooner
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	primary.Live, primary.Publishing, primary.LossReason = true, true, ""
	backup.Live, backup.Publishing, backup.LossReason = true, true, ""
	legs(primary, backup)
	if last := s.pair("sunday").LastSwitch; last != nil {
		t.Errorf("nothing was switched, and the last switch is %+v", last)
	}
	if _, err := s.registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "backup"}}); err == nil {
		t.Error("a second publisher without a token is taken")
	}
	backup.Conflict = true
	legs(primary, backup)

	killed := time.Now()
	first.Kill()
	primary.Live, primary.Publishing, primary.LossReason = false, false, control.LossDisconnected
	legs(primary, backup)
	p := s.pair("sunday")
	last := p.LastSwitch
	if last == nil || last.From != "Primary" || last.To != "Backup" || last.Reason != "PrimaryDisconnected" || !last.Time.Equal(*p.Since) {
		t.Fatalf("the last switch is %+v", last)
	}
	t.Logf("switched %v after the encoder was killed", last.Time.Sub(killed).Round(ms))
	var history []string
	for _, e := range p.History {
		history = append(history, strings.TrimSpace(e.Kind+" "+e.Leg+" "+e.Reason))
	}
	want := []string{
		"RedundancyLost Primary PrimaryDisconnected", "Switched Backup PrimaryDisconnected", "Redundant Backup", "OnAir Primary Started",
	}
	if diff := cmp.Diff(want, history); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if e := p.History[1]; !e.Time.Equal(last.Time) || e.GapMilliseconds > 60_000 {
		t.Errorf("the switch in the history is %+v", e)
	}
}

func TestALegIsLocalWhereItsEncoderPublishes(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.Role = v1alpha1.RoleBackup })
	eventually.True(t, "the pair runs", func() bool { return len(s.pair("sunday").Legs) == 2 })
	st := s.status()
	if legs := st.Pairs[0].Legs; legs[0].Local || !legs[1].Local || st.Role != "Backup" {
		t.Errorf("role %s, legs %+v", st.Role, legs)
	}
}
