package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// speaks makes the pod of a leg relay over TLS, and sets what it was told of its peers.
func (s *scene) speaks(role v1alpha1.Role, told *control.PeerRelay) {
	told.TLS = true
	s.At(role).State.Status.PeerRelay = told
}

// toldPeers returns what the plan tells the pod of a leg of its peers; nil: nothing.
func (s *scene) toldPeers(role v1alpha1.Role) []string {
	for _, push := range s.decide().Pushes {
		if push.Pod.Role == role && push.Peers != nil {
			return push.Peers.Clear
		}
	}
	return nil
}

func TestWhatAPodIsToldOfItsPeers(t *testing.T) {
	type told map[v1alpha1.Role][]string
	none := []string{}
	for _, tt := range []struct {
		name   string
		change func(*scene)
		want   told
	}{
		{"both pods are of the version before: it cannot be told", func(*scene) {}, told{}},
		{"both speak TLS", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.speaks(roleBackup, &control.PeerRelay{Told: true, Clear: []string{"10.0.0.1"}})
		}, told{rolePrimary: none, roleBackup: none}},
		{"the backup's pod is of the version before", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
		}, told{rolePrimary: {"10.0.0.2"}}},
		{"a server that speaks in clear because it was told to by hand is none that can be told", func(s *scene) {
			s.At(rolePrimary).State.Status.PeerRelay = &control.PeerRelay{}
			s.speaks(roleBackup, &control.PeerRelay{})
		}, told{roleBackup: {"10.0.0.1"}}},
		{"a pod of the version before and its replacement, with two addresses each", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.At(roleBackup).Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.2"}, {IP: "fd00::2"}}
			next := s.Pod(roleBackup, 6)
			next.UID = "backup-2"
			next.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.7"}, {IP: "fd00::7"}}
			next.State.Status.PeerRelay = &control.PeerRelay{TLS: true}
			s.Seen.Pods[roleBackup] = append(s.Seen.Pods[roleBackup], next)
		}, told{rolePrimary: {"10.0.0.2", "fd00::2"}, roleBackup: none}},
		{"the pod of the version before has ended", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, Clear: []string{"10.0.0.2"}})
			s.At(roleBackup).Status.Phase = corev1.PodFailed
		}, told{rolePrimary: none}},
		{"a pod of the version before that is lost just now", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.Silence(roleBackup, time.Minute)
		}, told{rolePrimary: {"10.0.0.2"}}},
		{"a pod that has not been heard yet", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.Unheard(roleBackup)
		}, told{rolePrimary: none}},
		{"an operator that starts keeps what was told of a pod that it has not heard yet", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, Clear: []string{"10.0.0.2", "10.0.0.99"}})
			s.Unheard(roleBackup)
		}, told{rolePrimary: {"10.0.0.2"}}},
		{"and what an operator of the version before allowed", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, ClearAny: true})
			s.Unheard(roleBackup)
		}, told{rolePrimary: {"10.0.0.2"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, nil)
			tt.change(s)
			got := told{}
			for _, role := range objects.Roles() {
				if clear := s.toldPeers(role); clear != nil {
					got[role] = clear
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhenAPodHasStarted(t *testing.T) {
	began := metav1.NewTime(sceneNow)
	s := newScene(t, nil)
	s.At(rolePrimary).Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}}}
	follow := s.decide().Follow
	if len(follow) != 2 || !follow[0].Started.Equal(sceneNow) || !follow[1].Started.IsZero() {
		t.Errorf("started %v and %v", follow[0].Started, follow[1].Started)
	}
}
