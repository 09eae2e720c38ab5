package controllers

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// speaks makes a pod one that relays over TLS, and was told that.
func (s *scene) speaks(role v1alpha1.Role, told *control.PeerRelay) {
	told.TLS = true
	s.at(role).State.Status.PeerRelay = told
}

// toldPeers is what the pod of a leg is told of its peers; nil: nothing.
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
			s.at(rolePrimary).State.Status.PeerRelay = &control.PeerRelay{}
			s.speaks(roleBackup, &control.PeerRelay{})
		}, told{roleBackup: {"10.0.0.1"}}},
		{"a pod of the version before and its replacement, with two addresses each", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.at(roleBackup).Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.2"}, {IP: "fd00::2"}}
			next := s.pod(roleBackup, 6)
			next.UID = "backup-2"
			next.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.7"}, {IP: "fd00::7"}}
			next.State.Status.PeerRelay = &control.PeerRelay{TLS: true}
			s.seen.Pods[roleBackup] = append(s.seen.Pods[roleBackup], next)
		}, told{rolePrimary: {"10.0.0.2", "fd00::2"}, roleBackup: none}},
		{"the pod of the version before has ended", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, Clear: []string{"10.0.0.2"}})
			s.at(roleBackup).Status.Phase = corev1.PodFailed
		}, told{rolePrimary: none}},
		{"a pod of the version before that is lost just now", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.silence(roleBackup, time.Minute)
		}, told{rolePrimary: {"10.0.0.2"}}},
		{"a pod that has not been heard yet", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{})
			s.unheard(roleBackup)
		}, told{rolePrimary: none}},
		{"an operator that starts keeps what was told of a pod that it has not heard yet", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, Clear: []string{"10.0.0.2", "10.0.0.99"}})
			s.unheard(roleBackup)
		}, told{rolePrimary: {"10.0.0.2"}}},
		{"and what an operator of the version before allowed", func(s *scene) {
			s.speaks(rolePrimary, &control.PeerRelay{Told: true, ClearAny: true})
			s.unheard(roleBackup)
		}, told{rolePrimary: {"10.0.0.2"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, nil)
			tt.change(s)
			got := told{}
			for _, role := range Roles() {
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

func TestAPodIsToldOfItsPeersAgainWhenItForgot(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		put := func(clear ...string) func() error {
			return func() error { return f.PutPeers(t.Context(), sundayPrimary, control.Peers{Clear: clear}) }
		}
		report := func(boot string, relay *control.PeerRelay) func() error {
			return func() error {
				s := playing("Primary")
				s.BootID, s.PeerRelay = boot, relay
				f.pod.send(s)
				synctest.Wait()
				return nil
			}
		}
		const old = `/v1/peers {"clear":["10.0.0.2"]}`
		for _, step := range []struct {
			what string
			do   func() error
			want []string
		}{
			{"one in clear", put("10.0.0.2"), []string{old}},
			{"the same", put("10.0.0.2"), nil},
			{"the pod reports it", report("boot-1", &control.PeerRelay{TLS: true, Told: true, Clear: []string{"10.0.0.2"}}), nil},
			{"the same", put("10.0.0.2"), nil},
			{"a manifest says nothing of it", func() error { return f.PutConfig(t.Context(), sundayPrimary, []byte("a")) }, []string{"/v1/config a"}},
			{"the same", put("10.0.0.2"), nil},
			{"an operator of the version before came between", report("boot-1", &control.PeerRelay{TLS: true, Told: true, ClearAny: true}), nil},
			{"it is told again", put("10.0.0.2"), []string{old}},
			{"none in clear", put(), []string{`/v1/peers {"clear":[]}`}},
			{"the pod reports it", report("boot-1", &control.PeerRelay{TLS: true, Told: true}), nil},
			{"the same", put(), nil},
			{"the pod restarts", report("boot-2", &control.PeerRelay{TLS: true}), nil},
			{"none in clear, to another boot", put(), []string{`/v1/peers {"clear":[]}`}},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.what, err)
			}
			if diff := cmp.Diff(step.want, f.pod.received()); diff != "" {
				t.Errorf("%s: requests (-want +got):\n%s", step.what, diff)
			}
		}
	})
}

func TestEachCommandSaysThatTheOperatorTellsOfPeers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		said := ""
		f.pod.change(fakeToken, func(w http.ResponseWriter, r *http.Request) {
			said = r.Header.Get(control.HeaderTellsPeers)
			accept(w, r)
		})
		if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); err != nil || said == "" {
			t.Errorf("header %q, %v", said, err)
		}
	})
}

func TestAPodThatHasStartedIsConnectedToAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		refused := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		serve := f.pod.answerWith(refused)
		target := f.pod.target(sundayPrimary)
		f.Follow(sunday, []PodTarget{target})
		time.Sleep(time.Minute) // attempts are seldom by now
		f.pod.answerWith(serve)
		began := time.Now()
		target.Started = began
		f.Follow(sunday, []PodTarget{target})
		f.pod.send(playing("Primary"))
		synctest.Wait()
		if took := time.Since(began); took > 100*time.Millisecond || !f.State(sundayPrimary).Connected {
			t.Errorf("connected after %v: %+v", took, f.State(sundayPrimary))
		}
	})
}

func TestWhenAPodHasStarted(t *testing.T) {
	began := metav1.NewTime(sceneNow)
	s := newScene(t, nil)
	s.at(rolePrimary).Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}}}
	follow := s.decide().Follow
	if len(follow) != 2 || !follow[0].Started.Equal(sceneNow) || !follow[1].Started.IsZero() {
		t.Errorf("started %v and %v", follow[0].Started, follow[1].Started)
	}
}
