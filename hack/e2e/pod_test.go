package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/e2e/measure"
)

func TestThePodOfTheActiveLegIsDeleted(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		s.do("kubectl delete pod", func() error {
			_, err := s.kubectl("delete", "pod", s.pods[s.active].Name, "-n", options.namespace, "--wait=false")
			return err
		})
		s.observe(2 * aftermath)
		const fault = "`kubectl delete pod` of the active leg"
		s.figure(fault, "viewers of the other pod", measure.Goal{Within: 200 * time.Millisecond}, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.page)
		s.legIsBack()
		s.stays("OnAir", "True/OnAir")
	})
}

func TestTheMediaServerOfTheActiveLegIsKilled(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		if restarted(s.pods[s.active]) {
			// Kubelets delay a second restart.
			s.must(s.kube.Delete(t.Context(), s.pods[s.active]))
			s.eventually("another pod", func() bool {
				pod, ok := s.pod(t, s.active)
				return ok && pod.UID != s.pods[s.active].UID
			})
			s.finish()
			s = newFaultRun(t, active)
		}
		hls := s.openHLS(t, "")
		s.do("kill -9 of the media server", func() error {
			return s.cluster.KillContainer(t.Context(), s.pods[s.active].Status.ContainerStatuses[0].ContainerID)
		})
		s.observe(2 * aftermath)
		const fault = "kill -9 of the active leg's media server"
		s.figure(fault, "viewers of the other pod", measure.Goal{Within: 300 * time.Millisecond}, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", measure.Goal{Within: 2 * time.Second, Reconnects: true}, s.page)
		s.hlsFigures(hls, fault, hlsOverByCut)
		s.legIsBack()
		s.hlsIsRight(t, hls)
	})
}

// While it was frozen, its peer's viewers were switched to the other leg. The media server
// still plays the old leg. It must adopt what the peer plays, and not pull the peer back.
func TestTheMediaServerOfTheActiveLegIsFrozen(t *testing.T) {
	const frozen = 20 * time.Second
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		container := s.pods[s.active].Status.ContainerStatuses[0].ContainerID
		s.do("SIGSTOP of the media server", func() error { return s.cluster.FreezeContainer(t.Context(), container) })
		s.observe(frozen)
		const fault = "active leg's media server frozen for 20 s (SIGSTOP)"
		s.figure(fault, "viewers of the other pod", overBySilence, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", measure.Goal{Within: 5 * time.Second, Reconnects: true}, s.page)
		before, err := stateAt(t.Context(), base(s.pods[s.standby]), "")
		s.must(err)
		s.reportsSwitch(silent(s.active), disconnected(s.active))
		s.waitFor(t, "OnAir=True")
		failover := s.pair(t, pairName).Status.ActiveStream.StartTime

		s.countSessions()
		s.do("SIGCONT of the media server", func() error { return s.cluster.ThawContainer(t.Context(), container) })
		s.eventually("both pods play the "+string(s.standby), func() bool {
			for _, pod := range s.pods {
				if state, err := stateAt(t.Context(), base(pod), ""); err != nil || state.Active != s.standby || !state.OnAir {
					return false
				}
			}
			return true
		})
		s.took(fault, "both pods play the other leg after it was thawed", 5*time.Second, time.Since(s.fault))
		s.legIsBack()
		s.observe(2 * aftermath)
		s.figure(fault, "viewers of the other pod, once thawed", measure.Goal{}, s.watchers[s.standby])
		s.stays("active", string(s.standby))
		after, err := stateAt(t.Context(), base(s.pods[s.standby]), "")
		s.must(err)
		if after.Active != s.standby || after.Switches != before.Switches {
			t.Errorf("the pod that was well plays the %s after %d switches since the other was thawed, want the %s and none",
				after.Active, after.Switches-before.Switches, s.standby)
		}
		if a := s.pair(t, pairName).Status.ActiveStream; a == nil || a.StartTime.Before(&failover) {
			t.Errorf("status tells %+v, want a start that is not before %v", a, failover)
		}
	})
}

// legIsBack waits until the leg that was active has a pod and its encoder again.
func (s *faultRun) legIsBack() {
	s.t.Helper()
	s.waitFor(s.t, string(s.active)+"Live=True", "OnAir=True", "Converged=True", "Ready=True")
	pair := s.pair(s.t, pairName)
	if a := pair.Status.ActiveStream; a == nil || a.Role != s.standby {
		s.t.Errorf("active is %+v, want the %s, which has played since the fault", a, s.standby)
	}
	s.timeline.say("the %s is back after %v", s.active, time.Since(s.fault))
	s.t.Logf("the leg was back after %v", time.Since(s.fault).Round(100*time.Millisecond))
}
