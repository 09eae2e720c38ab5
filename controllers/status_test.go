package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
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

func shown(status *v1alpha1.StreamPairStatus) map[string]string {
	m := map[string]string{}
	for _, c := range status.Conditions {
		m[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return m
}

func TestConditions(t *testing.T) {
	tls := func(s *v1alpha1.StreamPairSpec) { s.Playback.TLSSecretName = "live-tls" }
	serve := func(s *scene, served control.TLS) {
		for _, role := range Roles() {
			s.at(role).State.Status.TLS = &served
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
				s.lose(rolePrimary, control.LossNotPublished)
				s.lose(roleBackup, control.LossNotPublished)
				s.both(func(p *control.Pair) { p.Active, p.OnAir, p.Since = "", false, nil })
			},
			want: map[string]string{
				"OnAir": "False/NoLiveStream", "PrimaryLive": "False/WaitingForPublisher", "BackupLive": "False/WaitingForPublisher",
				"Redundant": "False/PrimaryNotLive",
			},
		},
		{
			name:   "the backup's encoder went",
			change: func(s *scene) { s.lose(roleBackup, control.LossDisconnected) },
			want:   map[string]string{"BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup's encoder fell silent",
			change: func(s *scene) {
				s.goesOn(time.Minute)
				s.lose(roleBackup, control.LossSilent)
			},
			want: map[string]string{"BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "the backup's encoder is about to begin",
			change: func(s *scene) { s.lose(roleBackup, control.LossSilent) },
			want:   map[string]string{"BackupLive": "False/WaitingForPublisher", "Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup's pod has crashed a second ago",
			change: func(s *scene) {
				s.silence(roleBackup, time.Second)
				s.unready(roleBackup)
			},
			want: map[string]string{
				"Ready": "False/PodsNotReady", "BackupLive": "False/PodNotReady", "Redundant": "False/BackupNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut",
			},
		},
		{
			name: "the backup has sound only",
			change: func(s *scene) {
				s.both(func(p *control.Pair) { legOf(p, roleBackup).Rank = "AudioOnly" })
			},
			want: map[string]string{"Redundant": "False/BackupNotLive"},
		},
		{
			name: "the backup sends no key frame",
			change: func(s *scene) {
				s.both(func(p *control.Pair) { legOf(p, roleBackup).EntryPoint = false })
			},
			want: map[string]string{"BackupLive": "False/NoEntryPoint", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "two encoders share the primary's stream id",
			change: func(s *scene) { legOf(s.reports(rolePrimary), rolePrimary).Conflict = true },
			want:   map[string]string{"PrimaryLive": "True/PublisherConflict"},
		},
		{
			name: "they share it, and neither gets through",
			change: func(s *scene) {
				s.lose(roleBackup, control.LossDisconnected)
				legOf(s.reports(roleBackup), roleBackup).Conflict = true
			},
			want: map[string]string{"BackupLive": "False/PublisherConflict", "Redundant": "False/BackupNotLive"},
		},
		{
			name:   "both pods on one node",
			change: func(s *scene) { s.at(roleBackup).Spec.NodeName = "node-a" },
			want:   map[string]string{"Redundant": "False/SameNode"},
		},
		{
			name:   "no word for 14 s: what was said last stands",
			change: func(s *scene) { s.silence(roleBackup, 14*time.Second) },
		},
		{
			name:   "no word for 15 s: unknown, and no failure",
			change: func(s *scene) { s.silence(roleBackup, 15*time.Second) },
			want: map[string]string{
				"BackupLive": "Unknown/PodUnreachable", "Redundant": "Unknown/PodUnreachable", "Converged": "Unknown/PodUnreachable",
			},
		},
		{
			name: "no word from either",
			change: func(s *scene) {
				s.silence(rolePrimary, time.Minute)
				s.silence(roleBackup, time.Minute)
			},
			want: map[string]string{
				"OnAir": "Unknown/PodUnreachable", "PrimaryLive": "Unknown/PodUnreachable", "BackupLive": "Unknown/PodUnreachable",
				"Redundant": "Unknown/PodUnreachable", "Converged": "Unknown/PodUnreachable",
			},
		},
		{
			name:   "the backup's pod is gone",
			change: func(s *scene) { s.seen.Pods[roleBackup] = nil },
			want: map[string]string{
				"Ready": "False/PodsNotReady", "BackupLive": "False/PodNotReady", "Redundant": "False/BackupNotLive",
				"Converged": "Unknown/PodNotReady", "Progressing": "True/RollingOut",
			},
		},
		{
			name:   "the backup's pod is not ready, and still says that media arrives",
			change: func(s *scene) { s.unready(roleBackup) },
			want:   map[string]string{"Ready": "False/PodsNotReady", "Progressing": "True/RollingOut"},
		},
		{
			name: "a new operator has heard nobody yet",
			change: func(s *scene) {
				s.unheard(rolePrimary)
				s.unheard(roleBackup)
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
				s.unheard(rolePrimary)
				s.unheard(roleBackup)
			},
		},
		{
			name:   "the relay to the backup's pod is down",
			change: func(s *scene) { legOf(s.reports(roleBackup), rolePrimary).Live = false },
			want:   map[string]string{"Converged": "False/RelayDown"},
		},
		{
			name: "the pods disagree for a second",
			change: func(s *scene) {
				since := s.now.Add(-time.Second)
				s.reports(roleBackup).Active, s.reports(roleBackup).Since = "Backup", &since
			},
			want: map[string]string{"Converged": "False/PodsDisagree"},
		},
		{
			name: "one pod has switched, the other is about to",
			change: func(s *scene) {
				since := s.now.Add(-200 * time.Millisecond)
				s.reports(roleBackup).Active, s.reports(roleBackup).Since = "Backup", &since
			},
		},
		{
			name:   "the backup's pod has an earlier spec",
			change: func(s *scene) { s.at(roleBackup).State.Status.ConfigGeneration = 1 },
			want:   map[string]string{"Converged": "False/DirectivePending"},
		},
		{
			name: "it has accepted the latest just now",
			change: func(s *scene) {
				s.at(roleBackup).State.Status.ConfigGeneration = 1
				s.outcome.Accepted[podKey(s.pair, roleBackup, s.at(roleBackup).Pod)] = true
			},
		},
		{
			name: "a pod misses a key of a Secret",
			change: func(s *scene) {
				s.at(rolePrimary).State.Status.ConfigErrors = []string{`spec.publish.tokenSecretRef: the Secret "mine" has no publishToken`}
			},
			want: map[string]string{"Ready": "False/InvalidSecret"},
		},
		{
			name: "a pod refuses the manifest",
			change: func(s *scene) {
				s.at(rolePrimary).State.Status.ConfigErrors = []string{"spec.mediaServer.fast: unknown field"}
			},
			want: map[string]string{"Ready": "False/InvalidConfiguration"},
		},
		{
			name: "an object in the way",
			change: func(s *scene) {
				s.service("sunday-play").OwnerReferences = nil
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
				s.balancer("sunday-play", corev1.LoadBalancerIngress{IP: "198.51.100.1"})
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
			change: func(s *scene) { s.reports(rolePrimary).SwitchingTo = "Backup" },
			want:   map[string]string{"Progressing": "True/SwitchingOver"},
		},
		{
			name:   "a new default image waits for an idle hour",
			change: func(s *scene) { s.objects.DefaultImage = "media:2" },
			want:   map[string]string{"Progressing": "False/WaitingForIdle"},
		},
		{
			name:   "another stream id is rolled at once, the standby first",
			change: func(s *scene) { s.pair.Spec.App = "tv" },
			want:   map[string]string{"Progressing": "True/RollingOut"},
		},
		{
			name: "half a rollout waits for the standby's encoder",
			change: func(s *scene) {
				s.pair.Spec.App = "tv"
				before := s.seen.deployment(s.pair, rolePrimary).DeepCopy()
				hash := s.at(rolePrimary).Annotations[AnnotationTemplateHash]
				s.settle()
				s.seen.Objects[ObjectKey{KindDeployment, "sunday-primary"}] = before
				s.at(rolePrimary).Annotations[AnnotationTemplateHash] = hash
				s.lose(roleBackup, control.LossDisconnected)
			},
			want: map[string]string{
				"Progressing": "False/WaitingForStandbyPublisher", "BackupLive": "False/InputLost", "Redundant": "False/BackupNotLive",
			},
		},
		{
			name: "paused",
			spec: func(s *v1alpha1.StreamPairSpec) { s.Paused = true },
			change: func(s *scene) {
				s.seen.Pods = map[v1alpha1.Role][]ObservedPod{}
			},
			want: map[string]string{
				"Ready": "False/Paused", "OnAir": "False/Paused", "PrimaryLive": "False/Paused", "BackupLive": "False/Paused",
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
				if c.ObservedGeneration != s.pair.Generation || c.Message == "" || c.LastTransitionTime.IsZero() {
					t.Errorf("incomplete: %+v", c)
				}
			}
		})
	}
}

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
