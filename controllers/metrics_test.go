package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
)

// TestConditionsAreMetrics: the alert rules in config/prometheus read them by these names.
func TestConditionsAreMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	pair := types.NamespacedName{Namespace: "live", Name: "sunday"}
	metrics.Observe(pair, &v1alpha1.StreamPairStatus{}, &v1alpha1.StreamPairStatus{Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionOnAir, Status: metav1.ConditionTrue},
		{Type: v1alpha1.ConditionRedundant, Status: metav1.ConditionFalse},
		{Type: v1alpha1.ConditionBackupLive, Status: metav1.ConditionUnknown},
	}})
	want := map[string]float64{
		"condition=OnAir namespace=live pair=sunday":      1,
		"condition=Redundant namespace=live pair=sunday":  0,
		"condition=BackupLive namespace=live pair=sunday": -1,
	}
	if diff := cmp.Diff(want, gathered(t, registry, "streampair_condition")); diff != "" {
		t.Error(diff)
	}
	metrics.Forget(pair)
	if left := gathered(t, registry, "streampair_condition"); len(left) > 0 {
		t.Errorf("a pair that is gone left %v", left)
	}
}

// TestPausedIsAMetric: the alerts leave out a pair that was paused.
func TestPausedIsAMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	pair := types.NamespacedName{Namespace: "live", Name: "sunday"}
	for _, paused := range []bool{false, true, false} {
		s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.Paused = paused })
		status, _ := s.report()
		metrics.Observe(pair, &v1alpha1.StreamPairStatus{}, status)
		want := map[string]float64{"namespace=live pair=sunday": 0}
		if paused {
			want["namespace=live pair=sunday"] = 1
		}
		if diff := cmp.Diff(want, gathered(t, registry, "streampair_paused")); diff != "" {
			t.Errorf("paused %v: (-want +got):\n%s", paused, diff)
		}
	}
	metrics.Forget(pair)
	if left := gathered(t, registry, "streampair_paused"); len(left) > 0 {
		t.Errorf("a pair that is gone left %v", left)
	}
}

func gathered(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			values[strings.Join(labels, " ")] = metric.GetGauge().GetValue()
		}
	}
	return values
}
