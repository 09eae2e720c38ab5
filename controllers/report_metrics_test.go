package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/metrics/metricstest"
)

// The alerts leave out a paused pair.
func TestPausedIsAMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := metrics.New(registry)
	pair := types.NamespacedName{Namespace: "live", Name: "sunday"}
	for _, paused := range []bool{false, true, false} {
		s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.Paused = paused })
		status, _ := s.report()
		metrics.Observe(pair, status, nil)
		want := map[string]float64{"namespace=live pair=sunday": 0}
		if paused {
			want["namespace=live pair=sunday"] = 1
		}
		if diff := cmp.Diff(want, metricstest.Gathered(t, registry, "streampair_paused")); diff != "" {
			t.Errorf("paused %v: (-want +got):\n%s", paused, diff)
		}
	}
	metrics.Forget(pair)
	if left := metricstest.Gathered(t, registry, "streampair_paused"); len(left) > 0 {
		t.Errorf("a pair that is gone left %v", left)
	}
}
