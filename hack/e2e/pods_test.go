package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// legPods returns the pods of a leg of the pair, including
// ending ones. It also works in a test's cleanup.
func (s *testCluster) legPods(t *testing.T, role v1alpha1.Role) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	s.eventually(t, "the API server answers", func() bool {
		return s.kube.List(context.WithoutCancel(t.Context()), &list, client.InNamespace(options.namespace), client.MatchingLabels(objects.LegSelector(pairName, role))) == nil
	})
	return list.Items
}

// pod returns the pod of a leg. ok says that the pod is ready and the leg has no other.
func (s *testCluster) pod(t *testing.T, role v1alpha1.Role) (pod *corev1.Pod, ok bool) {
	t.Helper()
	pods := s.legPods(t, role)
	if len(pods) != 1 || !pods[0].DeletionTimestamp.IsZero() || pods[0].Status.PodIP == "" {
		return nil, false
	}
	return &pods[0], ready(&pods[0])
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// base returns the base URL of a pod.
func base(pod *corev1.Pod) string {
	return "http://" + net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(objects.PortHTTP))
}

// podState is what a pod tells its players, who need no rights to get it.
type podState struct {
	Active   v1alpha1.Role `json:"active"`
	OnAir    bool          `json:"onAir"`
	Reason   string        `json:"reason"`
	Switches int           `json:"switches"`
	ServedBy v1alpha1.Role `json:"servedBy"`
	Legs     []struct {
		Role v1alpha1.Role `json:"role"`
		Live bool          `json:"live"`
		Rank string        `json:"rank"`
	} `json:"legs"`
}

// full reports whether both legs have all their tracks.
func (p podState) full() bool {
	return len(p.Legs) == 2 && p.Legs[0].Live && p.Legs[0].Rank == "Full" && p.Legs[1].Live && p.Legs[1].Rank == "Full"
}

// stateAt requests the first event of the stream at a base URL. query is added to the URL.
func stateAt(ctx context.Context, base, query string) (podState, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/live/events/primary?backupStreamId=backup"+query, nil)
	if err != nil {
		return podState{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return podState{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return podState{}, fmt.Errorf("events: %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	event := ""
	for lines.Scan() {
		if name, found := strings.CutPrefix(lines.Text(), "event:"); found {
			event = strings.TrimSpace(name)
		}
		if data, found := strings.CutPrefix(lines.Text(), "data:"); found && event == "state" {
			var state podState
			return state, json.Unmarshal([]byte(data), &state)
		}
	}
	return podState{}, errors.Join(errors.New("the events have no state"), lines.Err())
}

// metrics returns a pod's metrics without labels.
func metrics(ctx context.Context, pod *corev1.Pod) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	at := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(objects.PortProbe))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return measure.Samples(answer.Body)
}

// nodes returns the nodes that are ready and can be scheduled on, or all nodes.
func (s *testCluster) nodes(t *testing.T, usable bool) []corev1.Node {
	t.Helper()
	var list corev1.NodeList
	s.eventually(t, "the API server answers", func() bool { return s.kube.List(t.Context(), &list) == nil })
	var nodes []corev1.Node
	for _, node := range list.Items {
		if !usable || canUse(&node) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func canUse(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && !node.Spec.Unschedulable
		}
	}
	return false
}
