package metrics_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/metrics/metricstest"
)

// The alert rules in config/prometheus read these names.
func TestConditionsAreMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := metrics.New(registry)
	pair := types.NamespacedName{Namespace: "live", Name: "sunday"}
	metrics.Observe(pair, &v1alpha1.StreamPairStatus{Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionOnAir, Status: metav1.ConditionTrue},
		{Type: v1alpha1.ConditionRedundant, Status: metav1.ConditionFalse},
		{Type: v1alpha1.ConditionBackupLive, Status: metav1.ConditionUnknown},
	}}, nil)
	want := map[string]float64{
		"condition=OnAir namespace=live pair=sunday":      1,
		"condition=Redundant namespace=live pair=sunday":  0,
		"condition=BackupLive namespace=live pair=sunday": -1,
	}
	if diff := cmp.Diff(want, metricstest.Gathered(t, registry, "streampair_condition")); diff != "" {
		t.Error(diff)
	}
	metrics.Forget(pair)
	if left := metricstest.Gathered(t, registry, "streampair_condition"); len(left) > 0 {
		t.Errorf("a pair that is gone left %v", left)
	}
}
