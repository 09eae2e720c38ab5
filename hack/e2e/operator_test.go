package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// returned is how soon after the operator's return its status must be right.
const returned = 30 * time.Second

func TestTheOperatorIsKilled(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		operator := s.freshOperator()
		s.do("kill -9 of the operator, then of the active encoder", func() error {
			if err := s.cluster.KillContainer(t.Context(), operator.Status.ContainerStatuses[0].ContainerID); err != nil {
				return err
			}
			return s.encoders[s.active].Kill()
		})
		s.observe(aftermath)
		const fault = "operator killed, and an encoder meanwhile"
		s.figure(fault, "all viewers", overByCut, s.viewers()...)
		s.eventually("the operator is back", func() bool {
			pods := s.operatorPods()
			return len(pods) == 1 && ready(&pods[0]) && restarted(&pods[0])
		})
		back := time.Now()
		s.reportsFailover(disconnected(s.active))
		s.took(fault, "status right after its return", returned, time.Since(back))
	})
}

// freshOperator returns an operator's pod whose container has not been restarted,
// because kubelets delay a second restart. If necessary it replaces the pod.
func (s *faultRun) freshOperator() corev1.Pod {
	s.t.Helper()
	pod := s.operatorPods()[0]
	if restarted(&pod) {
		s.must(s.kube.Delete(s.t.Context(), &pod))
		s.eventually("another pod of the operator", func() bool {
			pods := s.operatorPods()
			if len(pods) != 1 || pods[0].UID == pod.UID || !ready(&pods[0]) {
				return false
			}
			pod = pods[0]
			return true
		})
		s.waitFor(s.t, whole...)
	}
	return pod
}

func restarted(pod *corev1.Pod) bool {
	return len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].RestartCount > 0
}

// An operator of a new release brings another image for the pods. The image
// is rolled out when nobody is on air, unless the pair says otherwise.
func TestTheOperatorIsUpgraded(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		// An image in the pair's spec would not come from the operator.
		here(t).change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.Image = "" })
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		image := s.otherImage(s.pods[s.active])
		_, tag, _ := strings.Cut(image, ":")
		s.reinstall = true
		s.do("upgrade the operator to one of the default image "+image, func() error {
			return s.cluster.Install(t.Context(), "mediaServer: {image: {tag: "+tag+"}}")
		})
		s.waitFor(t, "Progressing=False/"+v1alpha1.ReasonWaitingForIdle)
		s.observe(2 * aftermath)
		const fault = "operator upgraded with a new default media image"
		s.figure(fault, "all viewers, WhenIdle", measure.Goal{}, s.viewers()...)
		for _, role := range objects.Roles() {
			if pod, ok := s.pod(t, role); !ok || pod.UID != s.pods[role].UID {
				t.Errorf("the %s's pod was replaced while on air", role)
			}
		}

		s.do("let it roll", func() error {
			s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
			return nil
		})
		t.Cleanup(func() {
			s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.UpdatePolicy = v1alpha1.UpdateWhenIdle })
		})
		s.rollsOut(fault+", Auto", image)
	})
}

func TestTheMediaImageIsUpdated(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		image := s.otherImage(s.pods[s.active])
		hls := s.openHLS(t, "")
		s.do("update the media image to "+image, func() error {
			s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.Image = image })
			return nil
		})
		const fault = "rolling update of the media image"
		s.rollsOut(fault, image)
		s.hlsStoodStill(hls, fault, hlsOverByCut.still)
		s.hlsAsksBoth(hls)
		s.hlsIsRight(t, hls)
	})
}

// otherImage returns the one of the two images that the pod does not have.
func (s *faultRun) otherImage(pod *corev1.Pod) string {
	if pod.Spec.Containers[0].Image == s.settings.MediaImage {
		return s.settings.NextMediaImage
	}
	return s.settings.MediaImage
}

// rollsOut waits until both pods have the image, and checks what viewers noticed:
// a planned switch, and a new session that was opened before the old one ended.
func (s *faultRun) rollsOut(fault, image string) {
	s.t.Helper()
	s.eventually("both pods have the image "+image, func() bool {
		for _, role := range objects.Roles() {
			pod, ok := s.pod(s.t, role)
			if !ok || pod.Spec.Containers[0].Image != image {
				return false
			}
		}
		return true
	})
	s.waitFor(s.t, whole...)
	s.took(fault, "both legs updated and live", time.Minute, time.Since(s.fault))
	s.observe(aftermath)
	s.figure(fault, "browser", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.page)
	s.figure(fault, "pion viewers", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.watchers[s.active], s.watchers[s.standby])
	s.stays("OnAir", "True/OnAir")
	if away := s.timeline.bothAway(s.fault); !away.IsZero() {
		s.t.Errorf("both legs were away at %v", away)
	}
	if story := s.timeline.story("Progressing", s.fault); !slices.ContainsFunc(story, func(v string) bool { return strings.HasPrefix(v, "True/") }) {
		s.t.Errorf("Progressing was %v: it told nothing of the rollout", story)
	}
}

// bothAway returns when neither leg was live for the first time since a moment; zero: never.
func (l *timeline) bothAway(since time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	away := map[string]bool{}
	for _, e := range l.entries {
		if e.subject != v1alpha1.ConditionPrimaryLive && e.subject != v1alpha1.ConditionBackupLive {
			continue
		}
		away[e.subject] = strings.HasPrefix(e.value, "False")
		if e.at.After(since) && away[v1alpha1.ConditionPrimaryLive] && away[v1alpha1.ConditionBackupLive] {
			return e.at
		}
	}
	return time.Time{}
}
