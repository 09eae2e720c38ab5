package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// This test is the last one. After it, kubelets and controllers need
// more than a minute to recover, and nodes are NotReady in the meantime.
func TestTheAPIServerIsDown(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		down := time.Now()
		s.do("stop the API server", func() error { return s.cluster.StopAPIServer(t.Context()) })
		s.observe(5 * time.Second)
		s.do("three switches, while nobody can be told", func() error {
			for _, leg := range []v1alpha1.Role{s.active, s.standby, s.active} {
				s.eventually("both legs are whole, and this one is on air: "+string(leg), func() bool { return s.onAir(leg) })
				s.must(s.encoders[leg].Kill())
				s.eventually("the other leg is on air", func() bool {
					return s.everyPod(func(p podState) bool { return p.OnAir && p.Active != leg })
				})
			}
			return nil
		})
		s.observe(time.Until(down.Add(time.Minute)))
		const fault = "API server down for 60 s, three encoders killed meanwhile"
		s.figure(fault, "all viewers", overByCut, s.viewers()...)
		s.must(s.cluster.StartAPIServer(t.Context()))
		back := time.Now()
		s.reportsFailover(disconnected(s.active))
		s.waitFor(t, "PrimaryLive=True", "BackupLive=True", "Redundant=True")
		s.hasSwitches(down, s.standby, s.active, s.standby)
		s.took(fault, "status and history right after its return", returned, time.Since(back))
		s.observe(aftermath)
		s.figure(fault, "all viewers, until after its return", overByCut, s.viewers()...)
	})
}

// hasSwitches waits until the history has the switches to these legs since a moment, in this order.
func (s *faultRun) hasSwitches(since time.Time, want ...v1alpha1.Role) {
	s.t.Helper()
	eventually.Seen(s.t, patience, "the history has all switches", func() (any, bool) {
		history := s.pair(s.t, pairName).Status.History
		var got []v1alpha1.Role
		for _, entry := range slices.Backward(history) { // the newest is the first
			if entry.Kind == v1alpha1.HistorySwitched && entry.Time.After(since) {
				got = append(got, entry.Leg)
			}
		}
		return history, slices.Equal(got, want)
	})
}
