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
	"github.com/streampair/streampair/controllers/observed"
)

const (
	rolePrimary = v1alpha1.RolePrimary
	roleBackup  = v1alpha1.RoleBackup
)

// allWell are the conditions of a scene in which nothing is wrong.
var allWell = map[string]string{
	"Ready": "True/Ready", "OnAir": "True/OnAir", "PrimaryLive": "True/Live", "BackupLive": "True/Live",
	"Redundant": "True/Redundant", "Converged": "True/Converged", "Exposed": "True/ClusterOnly", "Progressing": "False/UpToDate",
}

// ofContent are the conditions about the legs' content. TestContentConditions is about them.
var ofContent = []string{v1alpha1.ConditionPrimaryHealthy, v1alpha1.ConditionBackupHealthy, v1alpha1.ConditionInStep}

// shown returns the conditions, without those about the legs' content.
func shown(status *v1alpha1.StreamPairStatus) map[string]string {
	m := shownWith(status)
	for _, name := range ofContent {
		delete(m, name)
	}
	return m
}

// shownWith returns all conditions.
func shownWith(status *v1alpha1.StreamPairStatus) map[string]string {
	m := map[string]string{}
	for _, c := range status.Conditions {
		m[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return m
}

func TestConditions(t *testing.T) {
	tls := func(s *v1alpha1.StreamPairSpec) { s.Playback.TLSSecretName = "live-tls" }
	serve := func(s *scene, served control.TLS) {
		for _, role := range objects.Roles() {
			s.At(role).State.Status.TLS = &served
		}
	}
	tomorrow, yesterday := sceneNow.AddDate(0, 0, 1), sceneNow.AddDate(0, 0, -1)
	for _, test := range []struct {
		name   string
		spec   func(*v1alpha1.StreamPairSpec)
		change func(*scene)
		want   map[string]string // beside allWell
	}{
		{name: "all is well"},
		{
			name: "nobody has published yet: ready all the same",
			change: func(s *scene) {
				s.Lose(rolePrimary, control.LossNotPublished)
				s.Lose(roleBackup, control.LossNotPublished)
				s.Both(func(p *control.Pair) { p.Active, p.OnAir, p.Since = "", false, nil })
			},
			want: map[string]string{
				"OnAir": "False/NoLiveStream", "PrimaryLive": "False/WaitingForPublisher", "BackupLive": "False/WaitingForPublisher",
				"Redundant": "False/PrimaryNotLive",
			},
		},
		{
			name:   "the backup's encoder went",
			change: func(s *scene) { s.Lose(roleBackup, control.LossDisconnected) },
			want:   map[string]string{"BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup's encoder fell silent",
			change: func(s *scene) {
				s.goesOn(time.Minute)
				s.Lose(roleBackup, control.LossSilent)
			},
			want: map[string]string{"BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "the backup's encoder is about to begin",
			change: func(s *scene) { s.Lose(roleBackup, control.LossSilent) },
			want:   map[string]string{"BackupLive": "False/WaitingForPublisher", "Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup's pod has crashed a second ago",
			change: func(s *scene) {
				s.Silence(roleBackup, time.Second)
				s.Unready(roleBackup)
			},
			want: map[string]string{
				"Ready": "False/PodsNotReady", "BackupLive": "False/PodNotReady", "Redundant": "False/BackupNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut",
			},
		},
		{
			name: "the backup has sound only",
			change: func(s *scene) {
				s.Both(func(p *control.Pair) { observed.LegOf(p, roleBackup).Rank = "AudioOnly" })
			},
			want: map[string]string{"Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup's sound cannot be played",
			change: func(s *scene) {
				s.Both(func(p *control.Pair) {
					leg := observed.LegOf(p, roleBackup)
					leg.Rank = "VideoOnly"
					leg.Warnings = []control.Warning{{Code: "UnsupportedAudio", Message: "Set the encoder's audio to AAC-LC."}}
				})
			},
			want: map[string]string{"BackupLive": "True/Degraded", "Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup sends no key frame",
			change: func(s *scene) {
				s.Both(func(p *control.Pair) { observed.LegOf(p, roleBackup).EntryPoint = false })
			},
			want: map[string]string{"BackupLive": "False/NoEntryPoint", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "two encoders share the primary's stream id",
			change: func(s *scene) { observed.LegOf(s.Reports(rolePrimary), rolePrimary).Conflict = true },
			want:   map[string]string{"PrimaryLive": "True/PublisherConflict"},
		},
		{
			name: "they share it, and neither gets through",
			change: func(s *scene) {
				s.Lose(roleBackup, control.LossDisconnected)
				observed.LegOf(s.Reports(roleBackup), roleBackup).Conflict = true
			},
			want: map[string]string{"BackupLive": "False/PublisherConflict", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "both pods on one node",
			change: func(s *scene) { s.At(roleBackup).Spec.NodeName = "node-a" },
			want:   map[string]string{"Redundant": "False/SameNode"},
		},
		{
			name:   "no word for 14 s: what was said last stands",
			change: func(s *scene) { s.Silence(roleBackup, 14*time.Second) },
		},
		{
			name:   "no word for 15 s: unknown, and no failure",
			change: func(s *scene) { s.Silence(roleBackup, 15*time.Second) },
			want: map[string]string{
				"BackupLive": "Unknown/PodUnreachable", "Redundant": "Unknown/PodUnreachable", "Converged": "Unknown/PodUnreachable",
			},
		},
		{
			name: "no word from either",
			change: func(s *scene) {
				s.Silence(rolePrimary, time.Minute)
				s.Silence(roleBackup, time.Minute)
			},
			want: map[string]string{
				"OnAir": "Unknown/PodUnreachable", "PrimaryLive": "Unknown/PodUnreachable", "BackupLive": "Unknown/PodUnreachable",
				"Redundant": "Unknown/PodUnreachable", "Converged": "Unknown/PodUnreachable",
			},
		},
		{
			name:   "the backup's pod is gone",
			change: func(s *scene) { s.Seen.Pods[roleBackup] = nil },
			want: map[string]string{
				"Ready": "False/PodsNotReady", "BackupLive": "False/PodNotReady", "Redundant": "False/BackupNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut",
			},
		},
		{
			name:   "the backup's pod is not ready, and still says that media arrives",
			change: func(s *scene) { s.Unready(roleBackup) },
			want:   map[string]string{"Ready": "False/PodsNotReady", "Progressing": "True/RollingOut"},
		},
		{
			name: "a new operator has heard nobody yet",
			change: func(s *scene) {
				s.Unheard(rolePrimary)
				s.Unheard(roleBackup)
			},
			want: map[string]string{
				"OnAir": "False/NoLiveStream", "PrimaryLive": "False/PodNotReady", "BackupLive": "False/PodNotReady",
				"Redundant": "False/PrimaryNotLive", "Converged": "Unknown/PodNotReady",
			},
		},
		{
			name: "a new operator has heard nobody yet, but the last one had",
			change: func(s *scene) {
				s.goesOn(time.Minute)
				s.Unheard(rolePrimary)
				s.Unheard(roleBackup)
			},
		},
		{
			name: "the relay to the backup's pod is down",
			change: func(s *scene) {
				s.goesOn(time.Minute)
				observed.LegOf(s.Reports(roleBackup), rolePrimary).Live = false
			},
			want: map[string]string{"Converged": "False/RelayDown"},
		},
		{
			name:   "a publisher has just begun, and the relay has not yet",
			change: func(s *scene) { observed.LegOf(s.Reports(roleBackup), rolePrimary).Live = false },
		},
		{
			name: "nobody publishes, and the pods do not reach each other",
			change: func(s *scene) {
				s.Lose(rolePrimary, control.LossNotPublished)
				s.Lose(roleBackup, control.LossNotPublished)
				s.Both(func(p *control.Pair) { p.Active, p.OnAir, p.Since = "", false, nil })
				s.Reports(roleBackup).Peer = &control.Peer{}
			},
			want: map[string]string{
				"OnAir": "False/NoLiveStream", "PrimaryLive": "False/WaitingForPublisher", "BackupLive": "False/WaitingForPublisher",
				"Redundant": "False/PrimaryNotLive", "Converged": "False/RelayDown",
			},
		},
		{
			name: "a pod is new, and the other does not reach it yet",
			change: func(s *scene) {
				s.At(rolePrimary).Status.Conditions[0].LastTransitionTime = metav1.NewTime(s.Now.Add(-5 * time.Second))
				s.Both(func(p *control.Pair) { p.Peer = &control.Peer{} })
			},
		},
		{
			name: "the pods disagree for a second",
			change: func(s *scene) {
				since := s.Now.Add(-time.Second)
				s.Reports(roleBackup).Active, s.Reports(roleBackup).Since = "Backup", &since
			},
			want: map[string]string{"Converged": "False/PodsDisagree"},
		},
		{
			name: "one pod has switched, the other is about to",
			change: func(s *scene) {
				since := s.Now.Add(-200 * time.Millisecond)
				s.Reports(roleBackup).Active, s.Reports(roleBackup).Since = "Backup", &since
			},
		},
		{
			name:   "the backup's pod has an earlier spec",
			change: func(s *scene) { s.At(roleBackup).State.Status.ConfigGeneration = 1 },
			want:   map[string]string{"Converged": "False/DirectivePending"},
		},
		{
			name: "it has accepted the latest just now",
			change: func(s *scene) {
				s.At(roleBackup).State.Status.ConfigGeneration = 1
				s.outcome.Accepted[observed.PodKey(s.Pair, roleBackup, s.At(roleBackup).Pod)] = true
			},
		},
		{
			name: "it refuses its media addresses",
			change: func(s *scene) {
				s.outcome.AddressErrors[observed.PodKey(s.Pair, roleBackup, s.At(roleBackup).Pod)] = "PUT /v1/addresses: 422: no address"
			},
			want: map[string]string{"Converged": "False/DirectivePending"},
		},
		{
			name: "a pod misses a key of a Secret",
			change: func(s *scene) {
				s.At(rolePrimary).State.Status.ConfigMistakes = []control.ConfigMistake{{Reason: control.MistakeSecret, Message: "a key is missing"}}
			},
			want: map[string]string{"Ready": "False/InvalidSecret"},
		},
		{
			name: "a pod refuses the manifest in words that name a Secret",
			change: func(s *scene) {
				status := s.At(rolePrimary).State.Status
				status.ConfigErrors = []string{`kind: Required value: StreamPair or Secret`}
				status.ConfigMistakes = []control.ConfigMistake{{Reason: control.MistakeManifest, Message: status.ConfigErrors[0]}}
			},
			want: map[string]string{"Ready": "False/InvalidConfiguration"},
		},
		{
			name: "a pod has a mistake of a reason that came later",
			change: func(s *scene) {
				s.At(roleBackup).State.Status.ConfigMistakes = []control.ConfigMistake{{Reason: "Later", Message: "something else is wrong"}}
			},
			want: map[string]string{"Ready": "False/InvalidConfiguration"},
		},
		{
			name: "a pod of an earlier version misses a key of a Secret",
			change: func(s *scene) {
				s.At(rolePrimary).State.Status.ConfigErrors = []string{`spec.publish.tokenSecretRef: there is no Secret "mine" with publishToken`}
			},
			want: map[string]string{"Ready": "False/InvalidSecret"},
		},
		{
			name: "a pod of an earlier version refuses the manifest",
			change: func(s *scene) {
				s.At(rolePrimary).State.Status.ConfigErrors = []string{"spec.mediaServer.fast: unknown field"}
			},
			want: map[string]string{"Ready": "False/InvalidConfiguration"},
		},
		{
			name: "an object in the way",
			change: func(s *scene) {
				s.Service("sunday-play").OwnerReferences = nil
			},
			want: map[string]string{"Ready": "False/NameConflict", "Exposed": "False/NameConflict"},
		},
		{
			name:   "the API server refused an object",
			change: func(s *scene) { s.outcome.Refused = []string{"Deployment sunday-primary: exceeded quota"} },
			want:   map[string]string{"Ready": "False/ApplyFailed"},
		},
		{
			name:   "an image that is not allowed",
			change: func(s *scene) { s.refused.Image = true },
			want:   map[string]string{"Ready": "False/ImageNotAllowed"},
		},
		{
			name:   "an exposure that is not allowed",
			change: func(s *scene) { s.refused.Exposure = []string{"spec.exposure.http.type NodePort"} },
			want:   map[string]string{"Ready": "False/NotExposed", "Exposed": "False/ExposureNotAllowed"},
		},
		{
			name: "a load balancer without an address",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Exposure.HTTP.Type = v1alpha1.ExposureLoadBalancer },
			want: map[string]string{"Ready": "False/NotExposed", "Exposed": "False/AddressPending"},
		},
		{
			name: "a load balancer with one",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Exposure.HTTP.Type = v1alpha1.ExposureLoadBalancer },
			change: func(s *scene) {
				s.Balancer("sunday-play", corev1.LoadBalancerIngress{IP: "198.51.100.1"})
			},
			want: map[string]string{"Exposed": "True/Exposed"},
		},
		{
			name: "the certificate is not there", spec: tls,
			change: func(s *scene) { serve(s, control.TLS{SelfSigned: true, NotAfter: &tomorrow}) },
			want:   map[string]string{"Ready": "False/NotExposed", "Exposed": "False/InvalidTLSSecret"},
		},
		{
			name: "the certificate cannot be read", spec: tls,
			change: func(s *scene) { serve(s, control.TLS{Present: true, NotAfter: &tomorrow, Error: "tls: no PEM"}) },
			want:   map[string]string{"Ready": "False/NotExposed", "Exposed": "False/InvalidTLSSecret"},
		},
		{
			name: "the certificate has expired", spec: tls,
			change: func(s *scene) { serve(s, control.TLS{Present: true, NotAfter: &yesterday}) },
			want:   map[string]string{"Ready": "False/NotExposed", "Exposed": "False/InvalidTLSSecret"},
		},
		{
			name: "the certificate is good", spec: tls,
			change: func(s *scene) { serve(s, control.TLS{Present: true, NotAfter: &tomorrow}) },
		},
		{
			name:   "a planned switch waits for a key frame",
			change: func(s *scene) { s.Reports(rolePrimary).SwitchingTo = "Backup" },
			want:   map[string]string{"Progressing": "True/SwitchingOver"},
		},
		{
			name:   "a new default image waits for an idle hour",
			change: func(s *scene) { s.Settings.DefaultImage = "media:2" },
			want:   map[string]string{"Progressing": "False/WaitingForIdle"},
		},
		{
			name:   "another stream id is rolled at once, the standby first",
			change: func(s *scene) { s.Pair.Spec.App = "tv" },
			want:   map[string]string{"Progressing": "True/RollingOut"},
		},
		{
			name: "half a rollout waits for the standby's encoder",
			change: func(s *scene) {
				s.Pair.Spec.App = "tv"
				before := s.Seen.Deployment(s.Pair, rolePrimary).DeepCopy()
				hash := s.At(rolePrimary).Annotations[objects.AnnotationTemplateHash]
				s.ApplyAll()
				s.Seen.Objects[objects.Key{Kind: objects.KindDeployment, Name: "sunday-primary"}] = before
				s.At(rolePrimary).Annotations[objects.AnnotationTemplateHash] = hash
				s.Lose(roleBackup, control.LossDisconnected)
			},
			want: map[string]string{
				"Progressing": "False/WaitingForStandbyPublisher", "BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive",
			},
		},
		{
			name: "paused, and the pods are ending",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Paused = true },
			want: map[string]string{
				"Ready": "False/Paused", "OnAir": "False/Paused", "PrimaryLive": "False/Paused", "BackupLive": "False/Paused",
				"Redundant": "False/Paused", "Converged": "False/Paused",
			},
		},
		{
			name: "paused",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Paused = true },
			change: func(s *scene) {
				s.Seen.Pods = map[v1alpha1.Role][]observed.Pod{}
			},
			want: map[string]string{
				"Ready": "True/Paused", "OnAir": "False/Paused", "PrimaryLive": "False/Paused", "BackupLive": "False/Paused",
				"Redundant": "False/Paused", "Converged": "False/Paused",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, test.spec)
			if test.change != nil {
				test.change(s)
			}
			status, _ := s.report()
			want := map[string]string{}
			for name, value := range allWell {
				want[name] = value
			}
			for name, value := range test.want {
				want[name] = value
			}
			if diff := cmp.Diff(want, shown(status)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			for _, c := range status.Conditions {
				if c.ObservedGeneration != s.Pair.Generation || c.Message == "" || c.LastTransitionTime.IsZero() {
					t.Errorf("incomplete: %+v", c)
				}
			}
		})
	}
}
