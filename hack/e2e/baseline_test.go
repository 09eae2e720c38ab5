package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// The test measures the viewers' figures when nothing
// happens. The figures of the faults are compared with them.
func TestABaselineWithoutAFault(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		hls := s.openHLS(t, "")
		s.do("none", func() error { return nil })
		s.observe(10 * time.Second)
		s.figure("none", "pion viewers of both pods", measure.Goal{}, s.watchers[s.active], s.watchers[s.standby])
		s.figure("none", "browser", measure.Goal{}, s.page)
		s.hlsStoodStill(hls, "none", hlsSteady)
		s.hlsIsRight(t, hls)
		s.stays("active", string(s.active))
	})
}

// The legs are on different nodes if there are two.
func TestLegsAreOnDifferentNodes(t *testing.T) {
	s := newFaultRun(t, v1alpha1.RolePrimary)
	if len(s.nodes(t, true)) < 2 {
		t.Skip("this cluster has one node")
	}
	a, b := s.pods[v1alpha1.RolePrimary].Spec.NodeName, s.pods[v1alpha1.RoleBackup].Spec.NodeName
	if a == b {
		t.Errorf("both legs are on %s", a)
	}
	s.waitFor(t, "Redundant=True/Redundant")
}
