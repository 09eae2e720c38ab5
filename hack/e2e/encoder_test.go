package e2e_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// aftermath is how long viewers are observed after a momentary fault.
const aftermath = 4 * time.Second

// overByCut is the goal for a fault that the servers notice at once. overBySilence
// is the goal for a fault that they only notice after the input loss time.
var (
	overByCut     = measure.Goal{Within: 200 * time.Millisecond}
	overBySilence = measure.Goal{Within: inputLoss + 300*time.Millisecond}
)

// hlsOverByCut and hlsOverBySilence are the goals of an HLS viewer for the same faults.
var (
	hlsOverByCut     = hlsGoal{otherLeg: 2 * time.Second, still: time.Second}
	hlsOverBySilence = hlsGoal{otherLeg: inputLoss + 2*time.Second, still: inputLoss + time.Second}
)

func TestTheActiveEncoderIsKilled(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		hls := s.openHLS(t, "")
		s.do("kill the active encoder", s.encoders[s.active].Kill)
		s.observe(aftermath)
		s.figure("active encoder killed", "pion viewers of both pods", overByCut, s.watchers[s.active], s.watchers[s.standby])
		s.figure("active encoder killed", "browser", overByCut, s.page)
		s.hlsFigures(hls, "active encoder killed", hlsOverByCut)
		s.hlsIsRight(t, hls)
		s.hasFailedOver(disconnected(s.active))
	})
}

func TestTheActiveEncoderIsConnectedButSilent(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		hls := s.openHLS(t, "")
		s.do("freeze the active encoder", s.encoders[s.active].Freeze)
		t.Cleanup(func() { s.must(s.encoders[s.active].Kill()) })
		s.observe(inputLoss + aftermath)
		s.figure("active encoder connected but silent", "pion viewers of both pods", overBySilence, s.watchers[s.active], s.watchers[s.standby])
		s.figure("active encoder connected but silent", "browser", overBySilence, s.page)
		s.hlsFigures(hls, "active encoder connected but silent", hlsOverBySilence)
		s.hlsIsRight(t, hls)
		s.hasFailedOver(silent(s.active))
	})
}

func disconnected(role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return v1alpha1.SwitchBackupDisconnected
	}
	return v1alpha1.SwitchPrimaryDisconnected
}

func silent(role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return v1alpha1.SwitchBackupInputLost
	}
	return v1alpha1.SwitchPrimaryInputLost
}

// hasFailedOver checks that the other leg is played, and that status and Events say
// so. Each pod reports the switch separately, so one of the reasons must match.
func (s *faultRun) hasFailedOver(reasons ...string) {
	s.t.Helper()
	for _, pod := range s.pods {
		s.eventually("pod "+pod.Name+" plays the "+string(s.standby), func() bool {
			state, err := stateAt(s.t.Context(), base(pod), "")
			return err == nil && state.Active == s.standby && state.OnAir
		})
	}
	s.reportsFailover(reasons...)
}

// reportsFailover waits until the status shows the switch, and then a pair that is well again.
func (s *faultRun) reportsFailover(reasons ...string) {
	s.t.Helper()
	s.reportsSwitch(reasons...)
	s.waitFor(s.t, "OnAir=True", "Converged=True")
}

// reportsSwitch waits until the status shows the switch.
func (s *faultRun) reportsSwitch(reasons ...string) {
	s.t.Helper()
	var last *v1alpha1.Switch
	s.eventually("status tells of the switch", func() bool {
		pair := s.pair(s.t, pairName)
		last = pair.Status.LastSwitch
		return pair.Status.ActiveStream != nil && pair.Status.ActiveStream.Role == s.standby && last != nil && last.To == s.standby
	})
	known := false
	for _, reason := range reasons {
		known = known || last.Reason == reason
	}
	if !known {
		s.t.Errorf("the reason of the switch is %s, want %v", last.Reason, reasons)
	}
	s.waitForEvent(s.t, s.fault.Add(-time.Second), v1alpha1.EventFailedOver)
}
