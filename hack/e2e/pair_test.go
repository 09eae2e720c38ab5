package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// pair reads a pair. It waits while the API server is unavailable.
func (s *testCluster) pair(t *testing.T, name string) *v1alpha1.StreamPair {
	t.Helper()
	pair := &v1alpha1.StreamPair{}
	var err error
	s.eventually(t, "the API server answers", func() bool {
		err = s.kube.Get(context.WithoutCancel(t.Context()), client.ObjectKey{Namespace: options.namespace, Name: name}, pair)
		return err == nil
	})
	return pair
}

// change changes a pair's spec. It also works in a test's cleanup.
func (s *testCluster) change(t *testing.T, name string, change func(*v1alpha1.StreamPairSpec)) {
	t.Helper()
	pair := s.pair(t, name)
	before := pair.DeepCopy()
	change(&pair.Spec)
	s.must(t, s.kube.Patch(context.WithoutCancel(t.Context()), pair, client.MergeFrom(before)))
}

// waitFor waits for conditions of the pair, written "Type=Status" or "Type=Status/Reason".
func (s *testCluster) waitFor(t *testing.T, conditions ...string) *v1alpha1.StreamPair {
	t.Helper()
	return s.waitForPair(t, pairName, patience, conditions...)
}

func (s *testCluster) waitForPair(t *testing.T, name string, limit time.Duration, conditions ...string) *v1alpha1.StreamPair {
	t.Helper()
	var pair *v1alpha1.StreamPair
	eventually.Seen(t, limit, fmt.Sprintf("%s has %v", name, conditions), func() (shown, bool) {
		pair = s.pair(t, name)
		return shown{pair}, len(missing(pair, conditions)) == 0
	})
	return pair
}

// shown is a pair in the form that a failing test prints.
type shown struct{ *v1alpha1.StreamPair }

func (s shown) String() string { return "\n" + describe(s.StreamPair) }

// missing returns the conditions that do not hold for the current generation of the spec.
func missing(pair *v1alpha1.StreamPair, conditions []string) []string {
	holds := map[string]bool{}
	for _, c := range pair.Status.Conditions {
		if c.ObservedGeneration == pair.Generation {
			holds[fmt.Sprintf("%s=%s", c.Type, c.Status)] = true
			holds[fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(conditions), func(want string) bool { return holds[want] })
}

func describe(pair *v1alpha1.StreamPair) string {
	var b strings.Builder
	for _, c := range pair.Status.Conditions {
		fmt.Fprintf(&b, "  %s=%s/%s since %s (generation %d of %d): %s\n", c.Type, c.Status, c.Reason,
			c.LastTransitionTime.Format("15:04:05"), c.ObservedGeneration, pair.Generation, c.Message)
	}
	fmt.Fprintf(&b, "  active %+v, last switch %+v\n", pair.Status.ActiveStream, pair.Status.LastSwitch)
	for _, ingest := range pair.Status.Ingest {
		fmt.Fprintf(&b, "  %+v\n", ingest)
	}
	return b.String()
}

// events returns the reasons of the Events about the pair since a moment, in order.
func (s *testCluster) events(t *testing.T, since time.Time) []string {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := s.kube.List(t.Context(), list, client.InNamespace(options.namespace)); err != nil {
		return nil // the caller asks again
	}
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var reasons []string
	for _, e := range list.Items {
		at := e.EventTime.Time
		if e.Series != nil {
			at = e.Series.LastObservedTime.Time
		}
		if e.Regarding.Kind == "StreamPair" && e.Regarding.Name == pairName && at.After(since) {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// waitForEvent waits for an Event about the pair.
func (s *testCluster) waitForEvent(t *testing.T, since time.Time, reason string) {
	t.Helper()
	s.eventually(t, "the Event "+reason, func() bool { return slices.Contains(s.events(t, since), reason) })
}
