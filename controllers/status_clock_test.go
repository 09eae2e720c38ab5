package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/status"
)

// plays makes a leg's pod report that it switched at a time by its own clock.
func (s *scene) plays(role v1alpha1.Role, from, to string, at time.Time) {
	p := s.Reports(role)
	p.Active, p.Since, p.LastSwitch = to, &at, &control.Switch{From: from, To: to, Reason: v1alpha1.SwitchPrimaryDisconnected, Time: at}
}

// A node whose clock is ahead must not hide later switches by nodes whose clocks are right.
func TestAClockThatIsAheadHidesNothing(t *testing.T) {
	s := newScene(t, nil)
	ahead := time.Hour
	s.goesOn(time.Minute)
	s.plays(rolePrimary, "Primary", "Backup", s.Now.Add(ahead))
	s.plays(roleBackup, "Primary", "Backup", s.Now.Add(ahead))
	reported, _ := s.report()
	first := metav1.NewTime(s.Now)
	if got := reported.LastSwitch; got == nil || got.To != v1alpha1.RoleBackup || !got.Time.Equal(&first) || !reported.ActiveStream.StartTime.Equal(&first) {
		t.Fatalf("the first switch is %+v, the leg on air %+v", got, reported.ActiveStream)
	}

	// It is still the same switch.
	s.last = reported
	s.goesOn(time.Minute)
	reported, _ = s.report()
	if len(status.Edges(s.last, reported)) > 0 || !reported.LastSwitch.Time.Equal(&first) || !reported.ActiveStream.StartTime.Equal(&first) {
		t.Errorf("a minute later: %+v, on air %+v, events %v", reported.LastSwitch, reported.ActiveStream, status.Edges(s.last, reported))
	}

	// The next switch is reported by a pod whose clock is right.
	s.last = reported
	s.goesOn(time.Minute)
	s.plays(rolePrimary, "Backup", "Primary", s.Now)
	s.plays(roleBackup, "Backup", "Primary", s.Now)
	reported, _ = s.report()
	second := metav1.NewTime(s.Now)
	if got := reported.LastSwitch; got.To != v1alpha1.RolePrimary || !got.Time.Equal(&second) || reported.ActiveStream.Role != v1alpha1.RolePrimary || len(status.Edges(s.last, reported)) == 0 {
		t.Errorf("the second switch is %+v, the leg on air %+v", got, reported.ActiveStream)
	}
}

// An older operator may have written a time that lies in the future.
func TestATimeOfTomorrowInTheStatusHidesNothing(t *testing.T) {
	s := newScene(t, nil)
	tomorrow := metav1.NewTime(s.Now.Add(24 * time.Hour))
	s.last.ActiveStream = &v1alpha1.ActiveStream{Role: v1alpha1.RoleBackup, StreamID: "backup", StartTime: tomorrow, Reason: v1alpha1.SwitchPrimaryDisconnected}
	s.last.LastSwitch = &v1alpha1.Switch{From: v1alpha1.RolePrimary, To: v1alpha1.RoleBackup, Reason: v1alpha1.SwitchPrimaryDisconnected, Time: tomorrow}
	s.goesOn(time.Minute)
	s.plays(rolePrimary, "Backup", "Primary", s.Now)
	s.plays(roleBackup, "Backup", "Primary", s.Now)
	status, _ := s.report()
	if got := status.LastSwitch; got.To != v1alpha1.RolePrimary || got.Time.After(s.Now) || status.ActiveStream.Role != v1alpha1.RolePrimary || status.ActiveStream.StartTime.After(s.Now) {
		t.Errorf("the switch is %+v, the leg on air %+v", got, status.ActiveStream)
	}
}

func TestADisagreementIsSaidWhateverTheClocksSay(t *testing.T) {
	s := newScene(t, nil)
	s.goesOn(time.Minute)
	s.plays(roleBackup, "Primary", "Backup", s.Now.Add(time.Hour))
	status, _ := s.report()
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionConverged); c.Reason != v1alpha1.ReasonPodsDisagree {
		t.Errorf("Converged is %s/%s: %s", c.Status, c.Reason, c.Message)
	}
}
