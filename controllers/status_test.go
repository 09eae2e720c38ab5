package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

func TestTimesOfConditionsChangeWithTheirStatusOnly(t *testing.T) {
	s := newScene(t, nil)
	s.goesOn(time.Minute)
	s.lose(roleBackup, control.LossDisconnected)
	status, _ := s.report()
	for _, c := range status.Conditions {
		want := sceneNow
		if c.Type == v1alpha1.ConditionBackupLive || c.Type == v1alpha1.ConditionRedundant {
			want = s.now
		}
		if !c.LastTransitionTime.Time.Equal(want) {
			t.Errorf("%s changed at %v, want %v", c.Type, c.LastTransitionTime, want)
		}
	}
}

func TestTheSameSceneGivesTheSameStatus(t *testing.T) {
	s := newScene(t, nil)
	s.goesOn(time.Hour)
	status, recheck := s.report()
	if diff := cmp.Diff(s.last, status); diff != "" {
		t.Errorf("the status changed by itself (-before +after):\n%s", diff)
	}
	if recheck != 0 {
		t.Errorf("a pair with which all is well is looked at again after %v", recheck)
	}
}

func TestADisagreementIsLookedAtAgain(t *testing.T) {
	s := newScene(t, nil)
	since := s.now.Add(-400 * time.Millisecond)
	s.reports(roleBackup).Active, s.reports(roleBackup).Since = "Backup", &since
	if _, recheck := s.report(); recheck != 600*time.Millisecond {
		t.Errorf("again after %v, want 600ms", recheck)
	}
}

func TestActiveStreamAndLastSwitch(t *testing.T) {
	at := func(d time.Duration) *time.Time {
		v := sceneNow.Add(d)
		return &v
	}
	stamp := func(d time.Duration) metav1.Time { return metav1.NewTime(sceneNow.Add(d)) }
	// The pod of role has switched to the backup at d.
	switches := func(s *scene, role v1alpha1.Role, d time.Duration, reason string) {
		p := s.reports(role)
		p.Active, p.ActiveStreamID, p.Reason, p.Since = "Backup", "backup", reason, at(d)
		p.LastSwitch = &control.Switch{From: "Primary", To: "Backup", Reason: reason, Time: *at(d)}
	}
	onPrimary := &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(-time.Hour), Reason: "Started"}
	toBackup := &v1alpha1.Switch{From: rolePrimary, To: roleBackup, Reason: "PrimaryInputLost", Time: stamp(time.Minute)}
	onBackup := &v1alpha1.ActiveStream{Role: roleBackup, StreamID: "backup", StartTime: stamp(time.Minute), Reason: "PrimaryInputLost"}

	for _, test := range []struct {
		name   string
		change func(*scene) // a minute after a report in which all was well
		active *v1alpha1.ActiveStream
		last   *v1alpha1.Switch
	}{
		{name: "nothing happened", change: func(*scene) {}, active: onPrimary},
		{
			name: "both pods switched, some milliseconds apart",
			change: func(s *scene) {
				switches(s, rolePrimary, time.Minute+3*time.Millisecond, "PrimaryInputLost")
				switches(s, roleBackup, time.Minute+90*time.Millisecond, "PrimaryInputLost")
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "one pod switched: the last agreed leg stands while it is played",
			change: func(s *scene) {
				switches(s, roleBackup, time.Minute, "PrimaryInputLost")
			},
			active: onPrimary,
		},
		{
			name: "one pod switched, and the other plays nothing",
			change: func(s *scene) {
				switches(s, roleBackup, time.Minute, "PrimaryInputLost")
				s.reports(rolePrimary).OnAir = false
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "the primary's pod has just died: what it said is not what viewers see",
			change: func(s *scene) {
				s.silence(rolePrimary, 100*time.Millisecond)
				switches(s, roleBackup, time.Minute, "PrimaryInputLost")
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "without a relay the backup's pod always played the backup",
			change: func(s *scene) {
				p := s.reports(roleBackup)
				p.Active, p.ActiveStreamID, p.Since = "Backup", "backup", at(-2*time.Hour)
				s.reports(rolePrimary).OnAir = false
				s.lose(rolePrimary, control.LossSilent)
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "nobody plays",
			change: func(s *scene) {
				s.both(func(p *control.Pair) { p.OnAir = false })
			},
		},
		{
			name: "nobody is heard: nobody knows better",
			change: func(s *scene) {
				s.silence(rolePrimary, time.Minute)
				s.silence(roleBackup, time.Minute)
			},
			active: onPrimary,
		},
		{
			name: "it went to the backup and back between two looks",
			change: func(s *scene) {
				s.both(func(p *control.Pair) {
					p.Reason, p.Since = "BackupDisconnected", at(50*time.Second)
					p.LastSwitch = &control.Switch{From: "Backup", To: "Primary", Reason: "BackupDisconnected", Time: *at(50 * time.Second)}
				})
			},
			active: &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(50 * time.Second), Reason: "BackupDisconnected"},
			last:   &v1alpha1.Switch{From: roleBackup, To: rolePrimary, Reason: "BackupDisconnected", Time: stamp(50 * time.Second)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.goesOn(time.Minute)
			test.change(s)
			status, _ := s.report()
			if diff := cmp.Diff(test.active, status.ActiveStream); diff != "" {
				t.Errorf("activeStream (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.last, status.LastSwitch); diff != "" {
				t.Errorf("lastSwitch (-want +got):\n%s", diff)
			}
			// The next look finds nothing new.
			s.outcome.Conflicts = nil
			s.last, s.now = status, s.now.Add(time.Second)
			again, _ := s.report()
			if diff := cmp.Diff(status.LastSwitch, again.LastSwitch); diff != "" {
				t.Errorf("lastSwitch changed by itself (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(status.ActiveStream, again.ActiveStream); diff != "" {
				t.Errorf("activeStream changed by itself (-before +after):\n%s", diff)
			}
		})
	}
}

func TestIngest(t *testing.T) {
	state := func(s *scene) map[v1alpha1.Role]v1alpha1.IngestState {
		status, _ := s.report()
		m := map[v1alpha1.Role]v1alpha1.IngestState{}
		for _, i := range status.Ingest {
			m[i.Role] = i.State
		}
		return m
	}
	for _, test := range []struct {
		name   string
		change func(*scene) // after a report in which both were live
		backup v1alpha1.IngestState
	}{
		{"live", func(*scene) {}, v1alpha1.IngestLive},
		{"gone", func(s *scene) { s.lose(roleBackup, control.LossDisconnected) }, v1alpha1.IngestLost},
		{"silent", func(s *scene) { s.lose(roleBackup, control.LossSilent) }, v1alpha1.IngestLost},
		{"the pod is new and nobody has published to it", func(s *scene) { s.lose(roleBackup, control.LossNotPublished) }, v1alpha1.IngestLost},
		{"the stream id is new", func(s *scene) {
			s.lose(roleBackup, control.LossNotPublished)
			s.pair.Spec.Backup.StreamID = "other"
		}, v1alpha1.IngestWaiting},
		{"the pod is out of reach", func(s *scene) { s.silence(roleBackup, time.Minute) }, v1alpha1.IngestUnknown},
		{"the operator is new", func(s *scene) { s.unheard(roleBackup) }, v1alpha1.IngestLive},
		{"the pod is gone", func(s *scene) { s.seen.Pods[roleBackup] = nil }, v1alpha1.IngestLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.goesOn(time.Minute)
			test.change(s)
			want := map[v1alpha1.Role]v1alpha1.IngestState{rolePrimary: v1alpha1.IngestLive, roleBackup: test.backup}
			if diff := cmp.Diff(want, state(s)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePodThatHasTheMediaSpeaksForItsLeg(t *testing.T) {
	s := newScene(t, nil)
	// The old pod drains with the encoder still on it; the new one is ready already.
	old := s.seen.Pods[roleBackup][0]
	ending := metav1.NewTime(s.now)
	old.DeletionTimestamp = &ending
	fresh := s.pod(roleBackup, 1)
	fresh.Name, fresh.UID = "sunday-backup-2", "backup-2"
	leg := legOf(&fresh.State.Status.Pairs[0], roleBackup)
	leg.Live, leg.LossReason = false, control.LossNotPublished
	s.seen.Pods[roleBackup] = []ObservedPod{fresh, old}
	status, _ := s.report()
	if got := status.Ingest[1]; got.State != v1alpha1.IngestLive || got.PodName != "sunday-backup-1" {
		t.Errorf("the backup is %+v, want it live at the old pod", got)
	}
	if shown(status)["Ready"] != "True/Ready" {
		t.Errorf("Ready is %s: the new pod is", shown(status)["Ready"])
	}
}
