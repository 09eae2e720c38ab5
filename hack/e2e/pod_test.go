package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestThePodOfTheActiveLegIsDeleted(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := setScene(t, active)
		s.do("kubectl delete pod", func() error {
			_, err := s.kubectl("delete", "pod", s.pods[s.active].Name, "-n", options.namespace, "--wait=false")
			return err
		})
		s.observe(2 * aftermath)
		const fault = "`kubectl delete pod` of the active leg"
		s.figure(fault, "viewers of the other pod", goal{within: 200 * time.Millisecond}, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", goal{within: 500 * time.Millisecond, reconnects: true}, s.page)
		s.legIsBack()
		s.stays("OnAir", "True/OnAir")
	})
}

func TestTheMediaServerOfTheActiveLegIsKilled(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := setScene(t, active)
		if restarted(s.pods[s.active]) {
			// Kubelets put a second restart off.
			s.must(s.kube.Delete(t.Context(), s.pods[s.active]))
			s.eventually("another pod", func() bool {
				pod, ok := s.pod(t, s.active)
				return ok && pod.UID != s.pods[s.active].UID
			})
			s.leaveScene()
			s = setScene(t, active)
		}
		s.do("kill -9 of the media server", func() error {
			return s.cluster.KillContainer(t.Context(), s.pods[s.active].Status.ContainerStatuses[0].ContainerID)
		})
		s.observe(2 * aftermath)
		const fault = "kill -9 of the active leg's media server"
		s.figure(fault, "viewers of the other pod", goal{within: 300 * time.Millisecond}, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", goal{within: 2 * time.Second, reconnects: true}, s.page)
		s.legIsBack()
	})
}

// legIsBack waits until the leg that was active has a pod again, and its encoder there.
func (s *scene) legIsBack() {
	s.t.Helper()
	s.waitFor(s.t, string(s.active)+"Live=True", "OnAir=True", "Converged=True", "Ready=True")
	pair := s.pair(s.t, pairName)
	if a := pair.Status.ActiveStream; a == nil || a.Role != s.standby {
		s.t.Errorf("active is %+v, want the %s, which has played since the fault", a, s.standby)
	}
	s.timeline.say("the %s is back after %v", s.active, time.Since(s.fault))
	s.t.Logf("the leg was back after %v", time.Since(s.fault).Round(100*time.Millisecond))
}
