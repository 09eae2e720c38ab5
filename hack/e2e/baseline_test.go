package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// What the viewers' own figures are when nothing happens: what follows is to be compared
// with it.
func TestABaselineWithoutAFault(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := setScene(t, active)
		s.do("none", func() error { return nil })
		s.observe(10 * time.Second)
		s.figure("none", "pion viewers of both pods", goal{}, s.watchers[s.active], s.watchers[s.standby])
		s.figure("none", "browser", goal{}, s.page)
		s.stays("active", string(s.active))
	})
}

// The legs are on different nodes where there are two.
func TestLegsAreOnDifferentNodes(t *testing.T) {
	s := setScene(t, v1alpha1.RolePrimary)
	if len(s.nodes(t, true)) < 2 {
		t.Skip("this cluster has one node")
	}
	a, b := s.pods[v1alpha1.RolePrimary].Spec.NodeName, s.pods[v1alpha1.RoleBackup].Spec.NodeName
	if a == b {
		t.Errorf("both legs are on %s", a)
	}
	s.waitFor(t, "Redundant=True/Redundant")
}
