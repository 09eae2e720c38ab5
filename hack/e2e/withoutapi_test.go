package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
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
		s.do("kill the active encoder", s.encoders[s.active].Kill)
		s.observe(time.Until(down.Add(time.Minute)))
		const fault = "API server down for 60 s, an encoder killed meanwhile"
		s.figure(fault, "all viewers", overByCut, s.viewers()...)
		s.must(s.cluster.StartAPIServer(t.Context()))
		back := time.Now()
		s.reportsFailover(disconnected(s.active))
		s.waitFor(t, "PrimaryLive=True", "BackupLive=True", "Redundant=True")
		s.took(fault, "status right after its return", returned, time.Since(back))
		s.observe(aftermath)
		s.figure(fault, "all viewers, until after its return", overByCut, s.viewers()...)
	})
}
