package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/pods"
)

// loseNode changes the scene to one in which the primary's node was lost
// a minute ago. The primary's pod is unready and was evicted. It stays,
// because nobody can confirm that it has ended. Viewers have the backup.
func loseNode(s *scene) {
	s.Silence(rolePrimary, time.Minute)
	s.Unready(rolePrimary)
	evicted := metav1.NewTime(s.Now.Add(-30 * time.Second))
	s.At(rolePrimary).DeletionTimestamp = &evicted
	since := s.Now.Add(-time.Minute)
	p := s.Reports(roleBackup)
	p.Active, p.ActiveStreamID, p.Reason, p.Since = "Backup", "backup", v1alpha1.SwitchPrimaryInputLost, &since
	leg := observed.LegOf(p, rolePrimary)
	leg.Live, leg.Rank, leg.EntryPoint, leg.LossReason = false, "None", false, control.LossDisconnected
}

func TestTheReplacementOfALostPodIsWhatIsShown(t *testing.T) {
	for _, test := range []struct {
		name string
		// replacement changes the pod that replaces the lost one; nil: there is none yet.
		replacement func(*observed.Pod)
		node        string // of the primary, as shown
		rtmp        string // its address
		want        map[string]string
	}{
		{
			name: "there is none yet", node: "node-a", rtmp: "203.0.113.1",
			want: map[string]string{"Ready": "False/PodsNotReady", "PrimaryLive": "False/PodNotReady", "Redundant": "False/PrimaryNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut"},
		},
		{
			name: "no node has room for it", node: "", rtmp: "203.0.113.1",
			replacement: func(pod *observed.Pod) {
				pod.Spec.NodeName, pod.NodeAddress, pod.ControlAddress, pod.State = "", "", "", pods.State{}
				pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
					{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are available"},
				}}
			},
			want: map[string]string{"Ready": "False/PodsNotReady", "PrimaryLive": "False/PodNotReady", "Redundant": "False/PrimaryNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut"},
		},
		{
			name: "its encoder is not back", node: "node-c", rtmp: "203.0.113.3",
			replacement: func(pod *observed.Pod) {
				p := &pod.State.Status.Pairs[0]
				p.Active, p.ActiveStreamID = "Backup", "backup"
				*observed.LegOf(p, rolePrimary) = control.Leg{Role: "Primary", StreamID: "primary", Rank: "None", LossReason: control.LossNotPublished}
			},
			want: map[string]string{"PrimaryLive": "False/InputLost", "Redundant": "False/PrimaryNotLive"},
		},
		{
			name: "it is live", node: "node-c", rtmp: "203.0.113.3",
			replacement: func(pod *observed.Pod) {
				p := &pod.State.Status.Pairs[0]
				p.Active, p.ActiveStreamID = "Backup", "backup"
			},
			want: map[string]string{},
		},
		{
			name: "it is live, beside the other leg", node: "node-b", rtmp: "203.0.113.3",
			replacement: func(pod *observed.Pod) {
				p := &pod.State.Status.Pairs[0]
				p.Active, p.ActiveStreamID, pod.Spec.NodeName = "Backup", "backup", "node-b"
			},
			want: map[string]string{"Redundant": "False/SameNode"},
		},
	} {
		for _, order := range []string{"the lost pod first", "the lost pod last"} {
			t.Run(test.name+", "+order, func(t *testing.T) {
				s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
					spec.Exposure.HTTP.Type, spec.Exposure.RTMP.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort
					spec.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort
				})
				s.goesOn(time.Hour)
				loseNode(s)
				name := "sunday-primary-1"
				if test.replacement != nil {
					name = "sunday-primary-2"
					pod := s.Pod(rolePrimary, 2)
					pod.Name, pod.UID, pod.CreationTimestamp = name, "primary-2", metav1.NewTime(s.Now.Add(-30*time.Second))
					test.replacement(&pod)
					if pod.State.Connected && observed.LegOf(&pod.State.Status.Pairs[0], rolePrimary).Live {
						*observed.LegOf(s.Reports(roleBackup), rolePrimary) = *observed.LegOf(&pod.State.Status.Pairs[0], rolePrimary)
					}
					s.Seen.Pods[rolePrimary] = append(s.Seen.Pods[rolePrimary], pod)
				}
				if order == "the lost pod last" {
					slices.Reverse(s.Seen.Pods[rolePrimary])
				}
				status, _ := s.report()
				want := map[string]string{
					"Ready": "True/Ready", "OnAir": "True/OnAir", "PrimaryLive": "True/Live", "BackupLive": "True/Live",
					"Redundant": "True/Redundant", "Converged": "True/Converged", "Exposed": "True/Exposed", "Progressing": "False/UpToDate",
				}
				for c, v := range test.want {
					want[c] = v
				}
				if diff := cmp.Diff(want, shown(status)); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
				leg := status.Ingest[0]
				if leg.PodName != name || leg.NodeName != test.node || !strings.HasPrefix(leg.RTMP, "rtmp://"+test.rtmp+":") {
					t.Errorf("shown are pod %q on node %q at %s, want %q on %q at %s", leg.PodName, leg.NodeName, leg.RTMP, name, test.node, test.rtmp)
				}
				ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
				if test.replacement == nil && !strings.Contains(ready.Message, "should have ended on node node-a") {
					t.Errorf("Ready: %s", ready.Message)
				}
				if a := status.ActiveStream; a == nil || a.Role != roleBackup {
					t.Errorf("the active stream is %+v", a)
				}
			})
		}
	}
}

// No rollout waits for a pod that will never be heard of again.
func TestALostPodHoldsNoRollout(t *testing.T) {
	s := newScene(t, nil)
	loseNode(s)
	fresh := s.Pod(rolePrimary, 2)
	fresh.Name, fresh.UID, fresh.State.Status.Pairs[0].Active = "sunday-primary-2", "primary-2", "Backup"
	s.Seen.Pods[rolePrimary] = append(s.Seen.Pods[rolePrimary], fresh)
	s.Pair.Spec.MediaServer.PriorityClassName = "now"
	if diff := cmp.Diff([]string{"apply ConfigMap sunday-config", "apply Deployment sunday-primary"}, written(s.decide())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	s.Seen.Pods[rolePrimary] = s.Seen.Pods[rolePrimary][:1] // nor where it has no replacement
	if diff := cmp.Diff([]string{"apply ConfigMap sunday-config", "apply Deployment sunday-primary"}, written(s.decide())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// A viewer who gets the page but no picture needs an explanation in the status.
func TestMediaThatStaysInsideIsSaid(t *testing.T) {
	for _, test := range []struct {
		name string
		spec func(*v1alpha1.StreamPairSpec)
		want string // in the message; empty: nothing is said
	}{
		{"behind an Ingress", func(*v1alpha1.StreamPairSpec) {}, "of the primary and of the backup stays inside"},
		{"an address for one leg", func(s *v1alpha1.StreamPairSpec) {
			s.Exposure.WebRTC.ExternalAddresses = &v1alpha1.LegAddresses{Primary: []string{"203.0.113.7"}}
		}, "of the backup stays inside"},
		{"node ports", func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort }, ""},
		{"STUN helps nobody in", func(s *v1alpha1.StreamPairSpec) {
			s.MediaServer.ICEServers = []v1alpha1.ICEServer{{URLs: []string{"stun:stun.example.com"}}}
		}, "stays inside"},
		{"TURN does", func(s *v1alpha1.StreamPairSpec) {
			s.MediaServer.ICEServers = []v1alpha1.ICEServer{{URLs: []string{"stun:stun.example.com", "turns:turn.example.com"}}}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, func(spec *v1alpha1.StreamPairSpec) {
				spec.Playback.ExternalURL = "https://live.example.com"
				test.spec(spec)
			})
			status, _ := s.report()
			exposed := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionExposed)
			reason := v1alpha1.ReasonMediaClusterOnly
			if test.want == "" {
				reason = v1alpha1.ReasonExposed
			}
			ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
			for _, c := range []*metav1.Condition{exposed, ready} {
				if c.Status != metav1.ConditionTrue || test.want == "" && strings.Contains(c.Message, "inside") ||
					!strings.Contains(c.Message, test.want) || strings.Contains(c.Message, "HLS") {
					t.Errorf("%s is %s: %s", c.Type, c.Status, c.Message)
				}
			}
			if exposed.Reason != reason || ready.Reason != v1alpha1.ReasonReady {
				t.Errorf("Exposed is %s, want %s; Ready is %s", exposed.Reason, reason, ready.Reason)
			}
		})
	}
}
