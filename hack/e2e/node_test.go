package e2e_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/e2e/measure"
)

func TestTheNodeOfTheActiveLegIsCutOff(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		s.loseNode("node of the active leg cut off", func(node string) error { return s.cluster.Partition(t.Context(), node) })
		// The old pod, which stayed on the lost node, must not hinder the pod that replaced it.
		s.must(s.cluster.HealAll(t.Context()))
		s.waitFor(t, "OnAir=True", "Converged=True", "PrimaryLive=True", "BackupLive=True")
	})
}

func TestTheNodeOfTheActiveLegCrashes(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		s.loseNode("node of the active leg crashed", func(node string) error { return s.cluster.Crash(t.Context(), node) })
		s.must(s.cluster.HealAll(t.Context()))
		s.waitFor(t, "OnAir=True", "Converged=True", "PrimaryLive=True", "BackupLive=True")
	})
}

// loseNode takes the node of the active leg away. It checks what
// viewers and the status show until the leg is back on the other node.
func (s *faultRun) loseNode(fault string, lose func(node string) error) {
	s.t.Helper()
	if len(s.nodes(s.t, true)) < 2 {
		s.t.Skip("this cluster has one node")
	}
	node := s.pods[s.active].Spec.NodeName
	s.moveOperatorOff(node)
	hls := s.openHLS(s.t, "")
	s.do(fault+": "+node, func() error { return lose(node) })
	s.observe(12 * time.Second)
	s.figure(fault, "viewers of the other pod", overBySilence, s.watchers[s.standby])
	s.figure(fault, "its own (browser)", measure.Goal{Within: 5 * time.Second, Reconnects: true}, s.page)
	s.hlsFigures(hls, fault, hlsOverBySilence)
	s.waitFor(s.t, "Redundant=False")
	// Redundant first says that its input is missing,
	// and at the end that both pods are on one node.
	s.waitFor(s.t, string(s.active)+"Live=True", string(s.standby)+"Live=True", "OnAir=True", "Converged=True", "Redundant=False/SameNode")
	s.took(fault, "leg back on the other node", s.settings.NodeMonitorGracePeriod+toleration+15*time.Second, time.Since(s.fault))
	story := s.timeline.story("Redundant", s.fault)
	s.t.Logf("Redundant was %v", story)
	if want := "False/" + string(s.active) + "NotLive"; !slices.Contains(story, want) && !slices.Contains(story, "Unknown/PodUnreachable") {
		s.t.Errorf("Redundant was %v, without %s", story, want)
	}
	s.stays("OnAir", "True/OnAir")
	for _, pod := range s.legPods(s.t, s.active) {
		if pod.DeletionTimestamp.IsZero() && pod.Spec.NodeName == node {
			s.t.Errorf("the leg's pod %s is still bound to %s", pod.Name, node)
		}
	}
	hls.Close()
	s.hlsIsRight(s.t, hls)
}

// moveOperatorOff makes sure that the operator is not lost with the
// node. Another test covers what is reported of the pair in that case.
func (s *faultRun) moveOperatorOff(node string) {
	s.t.Helper()
	for _, pod := range s.operatorPods() {
		if pod.Spec.NodeName != node {
			continue
		}
		s.cordon(node)
		s.must(s.kube.Delete(s.t.Context(), &pod))
		s.eventually("the operator runs on another node", func() bool {
			pods := s.operatorPods()
			return len(pods) == 1 && ready(&pods[0]) && pods[0].Spec.NodeName != node
		})
		s.uncordon(node)
		// The operator reports once it leads.
		s.waitFor(s.t, whole...)
	}
}

func (s *faultRun) operatorPods() []corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	s.eventually("the API server answers", func() bool {
		return s.kube.List(s.t.Context(), &list, client.InNamespace(s.operator.Namespace),
			client.MatchingLabels{"app.kubernetes.io/name": "streampair", "app.kubernetes.io/component": "operator"}) == nil
	})
	return list.Items
}

func (s *faultRun) cordon(node string)   { s.mustKubectl(s.t, "cordon", node) }
func (s *faultRun) uncordon(node string) { s.mustKubectl(s.t, "uncordon", node) }

// A node without the API server keeps its pods. After a while the leg's Deployment
// starts another pod elsewhere. Once the node is back, its old pod goes.
func TestTheNodeOfTheActiveLegLosesTheAPIServer(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		here(t).needCluster(t)
		s := newFaultRun(t, active)
		node := s.pods[s.active].Spec.NodeName
		s.moveOperatorOff(node)
		s.do("cut "+node+" off from the API server", func() error { return s.cluster.CutAPI(t.Context(), node) })
		s.eventually("the leg has another pod elsewhere", func() bool {
			return slices.ContainsFunc(s.legPods(t, s.active), func(pod corev1.Pod) bool { return pod.Spec.NodeName != node && ready(&pod) })
		})
		s.observe(aftermath)
		const fault = "node cut off from the API server only"
		s.figure(fault, "viewers of both pods", measure.Goal{}, s.watchers[s.active], s.watchers[s.standby])
		s.figure(fault, "browser", measure.Goal{}, s.page)
		s.stays("OnAir", "True/OnAir")

		s.opened[s.page] = s.page.Opened()
		s.do("heal "+node, func() error { return s.cluster.Heal(t.Context(), node) })
		s.eventually("the first pod has gone", func() bool {
			_, ok := s.pod(t, s.active)
			return ok
		})
		s.observe(aftermath)
		s.figure("… and back, its pod removed", "browser on that pod", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.page)
		s.stays("OnAir", "True/OnAir")
	})
}

func TestTheNodeOfTheActiveLegIsDrained(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		node := s.pods[s.active].Spec.NodeName
		t.Cleanup(func() { _, _ = s.kubectl("uncordon", node) })
		s.do("kubectl drain "+node, func() error {
			_, err := s.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
			return err
		})
		s.observe(aftermath)
		const fault = "`kubectl drain` of the node of the active leg"
		s.figure(fault, "viewers of the other pod", measure.Goal{Within: 200 * time.Millisecond}, s.watchers[s.standby])
		s.figure(fault, "its own (browser)", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.page)
		s.waitFor(t, "PrimaryLive=True", "BackupLive=True", "OnAir=True", "Converged=True")
		s.stays("OnAir", "True/OnAir")
		s.uncordon(node)
	})
}

// Everything works on one node, and Redundant says what is wrong with that.
func TestOneNodeIsEnough(t *testing.T) {
	s := newFaultRun(t, v1alpha1.RolePrimary)
	if len(s.nodes(t, true)) > 1 {
		node := s.pods[s.standby].Spec.NodeName
		t.Cleanup(func() { _, _ = s.kubectl("uncordon", node) })
		s.cordon(node)
		s.must(s.kube.Delete(t.Context(), s.pods[s.standby]))
	}
	s.pods = s.settle("Ready=True", "OnAir=True", "PrimaryLive=True", "BackupLive=True", "Redundant=False/SameNode", "Converged=True", "Progressing=False")
	for _, w := range s.watchers {
		w.Close()
	}
	s.openWatchers()
	s.openPage(s.active)
	s.waitForCalm()
	s.countSessions()
	s.do("kill the active encoder", s.encoders[s.active].Kill)
	s.observe(aftermath)
	s.figure("active encoder killed, both pods on one node", "all viewers", overByCut, s.viewers()...)
	s.hasFailedOver(disconnected(s.active))
}
