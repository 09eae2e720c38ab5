package controllers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/history"
	"github.com/streampair/streampair/controllers/status"
)

// tells makes the pod of a leg tell one more event, some seconds after the scene's start.
func (s *scene) tells(role v1alpha1.Role, seconds float64, kind, leg, reason string, gap int64) {
	p := s.Reports(role)
	p.History = append([]control.HistoryEntry{{
		Kind: kind, Time: sceneNow.Add(time.Duration(seconds * float64(time.Second))), Leg: leg, Reason: reason, GapMilliseconds: gap,
	}}, p.History...)
}

// historyLines returns a history as text: the seconds since the scene's start, what, which leg, why,
// and the gap.
func historyLines(entries []v1alpha1.HistoryEntry) []string {
	var lines []string
	for _, e := range entries {
		line := fmt.Sprintf("%d: %g %s %s %s", e.Number, e.Time.Sub(sceneNow).Seconds(), e.Kind, e.Leg, e.Reason)
		if e.GapMilliseconds > 0 {
			line += fmt.Sprint(" ", e.GapMilliseconds)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func TestHistoryInTheStatus(t *testing.T) {
	const onAir = "1: 0 OnAir Primary Started"
	for _, test := range []struct {
		name   string
		change func(*scene) // applied a minute after both pods told that the primary was on air
		want   []string
	}{
		{"nothing happened", func(*scene) {}, []string{onAir}},
		{"both pods switched", func(s *scene) {
			s.tells(rolePrimary, 50, "Switched", "Backup", "PrimaryInputLost", 990)
			s.tells(roleBackup, 50.1, "Switched", "Backup", "PrimaryInputLost", 1040)
		}, []string{"2: 50 Switched Backup PrimaryInputLost 1040", onAir}},
		{"a pod has told of a switch, and does not answer any more", func(s *scene) {
			s.tells(roleBackup, 50, "Switched", "Backup", "PrimaryDisconnected", 40)
			s.Silence(roleBackup, time.Minute)
		}, []string{"2: 50 Switched Backup PrimaryDisconnected 40", onAir}},
		{"the pods were made anew, by an operator that was away", func(s *scene) {
			for _, role := range []v1alpha1.Role{rolePrimary, roleBackup} {
				s.Reports(role).History = []control.HistoryEntry{}
				s.tells(role, 55, "OnAir", "Primary", "Started", 0)
			}
		}, []string{onAir}},
		{"pods of an earlier version follow: what is known stays", func(s *scene) {
			s.Both(func(p *control.Pair) { p.History = nil })
		}, []string{onAir}},
		{"the pair is paused", func(s *scene) { s.Pair.Spec.Paused = true }, []string{"2: 60 Dark Primary Paused", onAir}},
		{"no pod runs any more", func(s *scene) {
			s.Unready(rolePrimary)
			s.Unready(roleBackup)
			s.Silence(rolePrimary, time.Second)
			s.Silence(roleBackup, time.Second)
		}, []string{"2: 60 Dark Primary PodNotReady", onAir}},
		{"one pod is dark", func(s *scene) {
			s.tells(roleBackup, 50, "Dark", "Primary", "PrimaryDisconnected", 0)
			s.Reports(roleBackup).OnAir = false
		}, []string{"2: 50 Dark Primary PrimaryDisconnected", onAir}},
		{"one pod was dark and has gone, the other one has a picture", func(s *scene) {
			s.tells(roleBackup, 50, "Dark", "Primary", "PrimaryDisconnected", 0)
			s.Reports(roleBackup).OnAir = false
			s.last, _ = s.report()
			s.Unready(roleBackup)
			s.Silence(roleBackup, time.Second)
		}, []string{"3: 60 OnAir Primary Started", "2: 50 Dark Primary PrimaryDisconnected", onAir}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.tells(rolePrimary, 0, "OnAir", "Primary", "Started", 0)
			s.tells(roleBackup, 0.3, "OnAir", "Primary", "Started", 0)
			s.goesOn(time.Minute)
			test.change(s)
			reported, _ := s.report()
			if diff := cmp.Diff(test.want, historyLines(reported.History)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			s.last = reported
			if again, _ := s.report(); !sameStatus(reported, again) {
				t.Errorf("the same scene gives another status (-before +after):\n%s", cmp.Diff(reported, again))
			}
		})
	}
}

func TestPodsOfAnEarlierVersionLeaveTheHistoryAbsent(t *testing.T) {
	s := newScene(t, nil)
	s.Lose(rolePrimary, control.LossDisconnected)
	reported, _ := s.report()
	if len(reported.History) > 0 || reported.HistoryCompleteSince != nil {
		t.Errorf("history %v, complete since %v", reported.History, reported.HistoryCompleteSince)
	}
}

func TestReceiversInTheStatus(t *testing.T) {
	stamp := func(d time.Duration) *metav1.Time {
		v := metav1.NewTime(sceneNow.Add(d))
		return &v
	}
	studio := func(position int64, since *metav1.Time) v1alpha1.NotificationStatus {
		return v1alpha1.NotificationStatus{Name: "studio", Since: since, Position: position}
	}
	delivered := studio(1, stamp(-time.Hour))
	delivered.LastDeliveredID, delivered.LastStatusCode = "id-1", 204
	for _, test := range []struct {
		name   string
		events []v1alpha1.NotificationEvent
		last   []v1alpha1.NotificationStatus
		sender v1alpha1.NotificationStatus // what it says; zero: it does not know the receiver
		want   v1alpha1.NotificationStatus
	}{
		{name: "a new receiver does not get what was before", want: studio(2, stamp(time.Minute))},
		{name: "a receiver that lacks both events", last: []v1alpha1.NotificationStatus{studio(0, stamp(-time.Hour))}, want: studio(0, stamp(-time.Hour))},
		{name: "a receiver that has just got the first one", last: []v1alpha1.NotificationStatus{studio(0, stamp(-time.Hour))}, sender: delivered, want: delivered},
		{name: "a new operator goes on", last: []v1alpha1.NotificationStatus{delivered}, want: delivered},
		{
			name: "what a receiver does not want is done with", events: []v1alpha1.NotificationEvent{"Dark"},
			last: []v1alpha1.NotificationStatus{studio(0, stamp(-time.Hour))}, want: studio(2, stamp(-time.Hour)),
		},
		{
			name: "a receiver that was removed is forgotten", last: []v1alpha1.NotificationStatus{{Name: "other", Position: 7}, delivered},
			want: delivered,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
				spec.Notifications = []v1alpha1.Notification{{Name: "studio", Events: test.events}}
			})
			s.tells(rolePrimary, 0, "OnAir", "Primary", "Started", 0)
			s.goesOn(time.Minute)
			s.tells(rolePrimary, 50, "Switched", "Backup", "PrimaryInputLost", 990)
			s.last.Notifications = test.last
			facts := s.facts(s.decide())
			facts.Progress = func(string) v1alpha1.NotificationStatus { return test.sender }
			reported, _ := status.New(facts)
			if diff := cmp.Diff([]v1alpha1.NotificationStatus{test.want}, reported.Notifications); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An object of etcd, and what each client's cache keeps of it, has to remain small.
func TestTheLongestHistoryIsSmall(t *testing.T) {
	longest := v1alpha1.HistoryEntry{
		Number: 1 << 40, Kind: v1alpha1.HistoryRedundancyLost, Time: metav1.NewMicroTime(sceneNow.Add(time.Microsecond)), Leg: rolePrimary,
		Reason: strings.Repeat("R", 64), GapMilliseconds: (365 * 24 * time.Hour).Milliseconds(),
	}
	text, err := json.Marshal(slices.Repeat([]v1alpha1.HistoryEntry{longest}, history.Max))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 13<<10 {
		t.Errorf("%d bytes, which leaves too little of 32 KiB", len(text))
	}
}
