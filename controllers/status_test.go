package controllers

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/status"
)

func TestTimesOfConditionsChangeWithTheirStatusOnly(t *testing.T) {
	s := newScene(t, nil)
	s.goesOn(time.Minute)
	s.Lose(roleBackup, control.LossDisconnected)
	status, _ := s.report()
	for _, c := range status.Conditions {
		want := sceneNow
		if c.Type == v1alpha1.ConditionBackupLive || c.Type == v1alpha1.ConditionRedundant {
			want = s.Now
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
	since := s.Now.Add(-400 * time.Millisecond)
	s.Reports(roleBackup).Active, s.Reports(roleBackup).Since = "Backup", &since
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
	// switches makes the pod of role report a switch to the backup at d.
	switches := func(s *scene, role v1alpha1.Role, d time.Duration, reason string) {
		p := s.Reports(role)
		p.Active, p.ActiveStreamID, p.Reason, p.Since = "Backup", "backup", reason, at(d)
		p.LastSwitch = &control.Switch{From: "Primary", To: "Backup", Reason: reason, Time: *at(d)}
	}
	onPrimary := &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(-time.Hour), Reason: "Started"}
	toBackup := &v1alpha1.Switch{From: rolePrimary, To: roleBackup, Reason: "PrimaryInputLost", Time: stamp(time.Minute)}
	onBackup := &v1alpha1.ActiveStream{Role: roleBackup, StreamID: "backup", StartTime: stamp(time.Minute), Reason: "PrimaryInputLost"}

	for _, test := range []struct {
		name   string
		change func(*scene) // applied a minute after a report in which all was well
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
				s.Reports(rolePrimary).OnAir = false
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "the primary's pod has just died: what it said is not what viewers see",
			change: func(s *scene) {
				s.Silence(rolePrimary, 100*time.Millisecond)
				switches(s, roleBackup, time.Minute, "PrimaryInputLost")
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "without a relay the backup's pod always played the backup",
			change: func(s *scene) {
				p := s.Reports(roleBackup)
				p.Active, p.ActiveStreamID, p.Since = "Backup", "backup", at(-2*time.Hour)
				s.Reports(rolePrimary).OnAir = false
				s.Lose(rolePrimary, control.LossSilent)
			},
			active: onBackup, last: toBackup,
		},
		{
			name: "nobody plays",
			change: func(s *scene) {
				s.Both(func(p *control.Pair) { p.OnAir = false })
			},
		},
		{
			name: "nobody is heard: nobody knows better",
			change: func(s *scene) {
				s.Silence(rolePrimary, time.Minute)
				s.Silence(roleBackup, time.Minute)
			},
			active: onPrimary,
		},
		{
			name: "it went to the backup and back between two looks",
			change: func(s *scene) {
				s.Both(func(p *control.Pair) {
					p.Reason, p.Since = "BackupDisconnected", at(50*time.Second)
					p.LastSwitch = &control.Switch{From: "Backup", To: "Primary", Reason: "BackupDisconnected", Time: *at(50 * time.Second)}
				})
			},
			active: &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(50 * time.Second), Reason: "BackupDisconnected"},
			last:   &v1alpha1.Switch{From: roleBackup, To: rolePrimary, Reason: "BackupDisconnected", Time: stamp(50 * time.Second)},
		},
		{
			name: "one pod came back to the leg that the other never left",
			change: func(s *scene) {
				s.last.ActiveStream, s.last.LastSwitch = onBackup.DeepCopy(), toBackup.DeepCopy()
				s.Now = sceneNow.Add(2 * time.Minute)
				p := s.Reports(roleBackup)
				p.Reason, p.Since = "FollowedPeer", at(90*time.Second)
				p.LastSwitch = &control.Switch{From: "Backup", To: "Primary", Reason: "FollowedPeer", Time: *at(90 * time.Second)}
			},
			active: &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(90 * time.Second), Reason: "FollowedPeer"},
			last:   &v1alpha1.Switch{From: roleBackup, To: rolePrimary, Reason: "FollowedPeer", Time: stamp(90 * time.Second)},
		},
		{
			name: "the pod that is left never left the other leg: the start does not go back",
			change: func(s *scene) {
				s.last.ActiveStream, s.last.LastSwitch = onBackup.DeepCopy(), toBackup.DeepCopy()
				s.Now = sceneNow.Add(2 * time.Minute)
				s.Silence(roleBackup, 100*time.Millisecond)
			},
			active: &v1alpha1.ActiveStream{Role: rolePrimary, StreamID: "primary", StartTime: stamp(2 * time.Minute), Reason: "Started"},
			last:   &v1alpha1.Switch{From: roleBackup, To: rolePrimary, Reason: "Started", Time: stamp(2 * time.Minute)},
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
			// The next reconcile finds nothing new.
			s.outcome.Conflicts = nil
			s.last, s.Now = status, s.Now.Add(time.Second)
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
		change func(*scene) // applied after a report in which both legs were live
		backup v1alpha1.IngestState
	}{
		{"live", func(*scene) {}, v1alpha1.IngestLive},
		{"gone", func(s *scene) { s.Lose(roleBackup, control.LossDisconnected) }, v1alpha1.IngestLost},
		{"silent", func(s *scene) { s.Lose(roleBackup, control.LossSilent) }, v1alpha1.IngestLost},
		{"the pod is new and nobody has published to it", func(s *scene) { s.Lose(roleBackup, control.LossNotPublished) }, v1alpha1.IngestLost},
		{"the stream id is new", func(s *scene) {
			s.Lose(roleBackup, control.LossNotPublished)
			s.Pair.Spec.Backup.StreamID = "other"
		}, v1alpha1.IngestWaiting},
		{"the pod is out of reach", func(s *scene) { s.Silence(roleBackup, time.Minute) }, v1alpha1.IngestUnknown},
		{"the operator is new", func(s *scene) { s.Unheard(roleBackup) }, v1alpha1.IngestLive},
		{"the pod is gone", func(s *scene) { s.Seen.Pods[roleBackup] = nil }, v1alpha1.IngestLost},
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

func TestWhatIsLostWhileNobodyCanAskIsReported(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(*scene)
		after  func(*scene)
		state  v1alpha1.IngestState
		events []string
	}{
		{"a live leg's node is lost, and another pod takes over", func(*scene) {},
			func(s *scene) { s.Lose(roleBackup, control.LossNotPublished) }, v1alpha1.IngestLost, []string{v1alpha1.EventInputLost}},
		{"a live leg's node is lost, and its pod removed", func(*scene) {},
			func(s *scene) { s.Seen.Pods[roleBackup] = nil }, v1alpha1.IngestLost, []string{v1alpha1.EventInputLost}},
		{"it was live all the time", func(*scene) {}, func(*scene) {}, v1alpha1.IngestLive, nil},
		{"nobody had published", func(s *scene) { s.Lose(roleBackup, control.LossNotPublished) },
			func(s *scene) { s.Lose(roleBackup, control.LossNotPublished) }, v1alpha1.IngestWaiting, nil},
		{"it had been lost before", func(s *scene) { s.Lose(roleBackup, control.LossDisconnected) },
			func(s *scene) { s.Lose(roleBackup, control.LossNotPublished) }, v1alpha1.IngestLost, nil},
		{"it had been lost before and is back", func(s *scene) { s.Lose(roleBackup, control.LossDisconnected) },
			func(*scene) {}, v1alpha1.IngestLive, []string{v1alpha1.EventInputRecovered}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m memory
			s := newScene(t, nil)
			var events []string
			report := func() *v1alpha1.StreamPairStatus {
				s.Pair.Status = *s.last
				before := m.before(s.Pair)
				s.known = m.knownStates
				reported, _ := s.report()
				m.knownStates = knownStatesOf(before, reported)
				for _, e := range status.Edges(before, reported) {
					events = append(events, e.Reason)
				}
				s.last, s.Now = reported, s.Now.Add(time.Minute)
				return reported
			}
			fine := s.At(roleBackup).State
			test.before(s)
			report()
			events = nil
			s.Silence(roleBackup, time.Minute)
			for range 2 {
				if got := report().Ingest[1].State; got != v1alpha1.IngestUnknown {
					t.Fatalf("out of reach it is %s", got)
				}
			}
			fresh := s.Pod(roleBackup, 1)
			fresh.State.Since = fine.Since
			s.Seen.Pods[roleBackup][0] = fresh
			observed.LegOf(s.Reports(rolePrimary), roleBackup).Live = true
			test.after(s)
			if got := report().Ingest[1].State; got != test.state {
				t.Errorf("it is %s, want %s", got, test.state)
			}
			if diff := cmp.Diff(test.events, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPausedPairKeepsItsAddresses(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.StreamPairSpec){
		"as it was": func(*v1alpha1.StreamPairSpec) {}, "other stream ids": func(s *v1alpha1.StreamPairSpec) { s.Primary.StreamID = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(s *v1alpha1.StreamPairSpec) {
				s.Exposure.HTTP.Type, s.Exposure.RTMP.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort
			})
			s.goesOn(time.Minute)
			before := s.last
			if before.PlaybackURL == "" || before.Ingest[0].RTMP == "" || before.Ingest[0].WHIP == "" {
				t.Fatalf("no addresses: %+v", before)
			}
			s.Pair.Spec.Paused, s.Seen.Pods = true, nil
			change(&s.Pair.Spec)
			status, _ := s.report()
			kept := s.Pair.Spec.Primary.StreamID == "primary"
			if (status.PlaybackURL == before.PlaybackURL) != kept || (status.Ingest[0].RTMP == before.Ingest[0].RTMP) != kept ||
				(status.Ingest[0].WHIP == before.Ingest[0].WHIP) != kept || status.Ingest[1].RTMP != before.Ingest[1].RTMP {
				t.Errorf("addresses %q %+v, before %q %+v", status.PlaybackURL, status.Ingest, before.PlaybackURL, before.Ingest)
			}
		})
	}
}

func TestAPairThatCannotBeReadIsReported(t *testing.T) {
	s := newScene(t, nil)
	s.goesOn(time.Minute)
	reported := status.Unreadable(s.Pair, s.last, errors.New("read the pair's Secret: forbidden "+strings.Repeat("x", 40000)), s.Now)
	want := maps.Clone(allWell)
	want["Ready"] = "Unknown/ReadFailed"
	if diff := cmp.Diff(want, shown(reported)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if again := status.Unreadable(s.Pair, reported, errors.New("something else"), s.Now); again != nil {
		t.Error("it is written at each failure")
	}
	s.last = reported
	reported, _ = s.report()
	if diff := cmp.Diff(allWell, shown(reported)); diff != "" {
		t.Errorf("when it can be read again (-want +got):\n%s", diff)
	}
	var m memory
	if since := m.noteUnreadable(s.Now); !since.Equal(s.Now) {
		t.Error("the first failure is not the first")
	}
	if since := m.noteUnreadable(s.Now.Add(time.Minute)); !since.Equal(s.Now) {
		t.Error("the first failure is forgotten")
	}
	m.noteReadable()
	if since := m.noteUnreadable(s.Now.Add(time.Hour)); since.Equal(s.Now) {
		t.Error("what has passed counts")
	}
}

func TestThePodThatHasTheMediaSpeaksForItsLeg(t *testing.T) {
	s := newScene(t, nil)
	// The old pod drains and still has the encoder. The new pod is ready already.
	old := s.Seen.Pods[roleBackup][0]
	ending := metav1.NewTime(s.Now)
	old.DeletionTimestamp = &ending
	fresh := s.Pod(roleBackup, 1)
	fresh.Name, fresh.UID = "sunday-backup-2", "backup-2"
	leg := observed.LegOf(&fresh.State.Status.Pairs[0], roleBackup)
	leg.Live, leg.LossReason = false, control.LossNotPublished
	s.Seen.Pods[roleBackup] = []observed.Pod{fresh, old}
	status, _ := s.report()
	if got := status.Ingest[1]; got.State != v1alpha1.IngestLive || got.PodName != "sunday-backup-1" {
		t.Errorf("the backup is %+v, want it live at the old pod", got)
	}
	if shown(status)["Ready"] != "True/Ready" {
		t.Errorf("Ready is %s: the new pod is", shown(status)["Ready"])
	}
}
