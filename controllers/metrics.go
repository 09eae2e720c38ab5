package controllers

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Metrics are the operator's own figures of pairs. How reconciles go is measured by
// controller-runtime.
type Metrics struct {
	activeLeg  *prometheus.GaugeVec
	switches   *prometheus.CounterVec
	conditions *prometheus.GaugeVec
	paused     *prometheus.GaugeVec
	updates    *prometheus.GaugeVec
	missing    *prometheus.GaugeVec
}

// NewMetrics returns the metrics, registered. A registry that has them already keeps its
// own, and those are returned.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	return &Metrics{
		activeLeg: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_active_leg",
			Help: "1 for the leg that viewers get, 0 for the other; both 0: viewers get no live picture.",
		}, []string{"namespace", "pair", "role"})),
		switches: registered(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streampair_switches_total",
			Help: "Changes from one leg to the other, by reason, since this operator began to follow the pair.",
		}, []string{"namespace", "pair", "reason"})),
		conditions: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_condition",
			Help: "Conditions of pairs: 1 True, 0 False, -1 Unknown.",
		}, []string{"namespace", "pair", "condition"})),
		paused: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_paused",
			Help: "1 for a pair with spec.paused, of which most conditions are False on purpose; 0 for others.",
		}, []string{"namespace", "pair"})),
		updates: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_updates",
			Help: "Pairs that get a change of the operator's, such as a new default image: running, or waiting until fewer others do.",
		}, []string{"state"})),
		missing: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_status_field_missing",
			Help: "1 for each field of the status that the cluster's definition of StreamPair lacked when this operator wrote one: the definition is older than the operator.",
		}, []string{"field"})),
	}
}

func registered[T prometheus.Collector](registry prometheus.Registerer, collector T) T {
	err := registry.Register(collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, same := already.ExistingCollector.(T); same {
			return existing
		}
	}
	if err != nil {
		panic(err) // two metrics of one name with different labels: a mistake in this file
	}
	return collector
}

// Observe takes the status of a pair over.
func (m *Metrics) Observe(pair types.NamespacedName, before, after *v1alpha1.StreamPairStatus) {
	for _, role := range Roles() {
		value := 0.0
		if after.ActiveStream != nil && after.ActiveStream.Role == role {
			value = 1
		}
		m.activeLeg.WithLabelValues(pair.Namespace, pair.Name, string(role)).Set(value)
	}
	paused := 0.0
	for _, c := range after.Conditions {
		m.conditions.WithLabelValues(pair.Namespace, pair.Name, c.Type).Set(conditionValue(c.Status))
		if c.Type == v1alpha1.ConditionOnAir && c.Reason == v1alpha1.ReasonPaused {
			paused = 1
		}
	}
	m.paused.WithLabelValues(pair.Namespace, pair.Name).Set(paused)
	if s := switched(before, after); s != nil {
		m.switches.WithLabelValues(pair.Namespace, pair.Name, s.Reason).Inc()
	}
}

// Updates takes over how many pairs are being updated by the operator, and how many wait.
func (m *Metrics) Updates(running, waiting int) {
	m.updates.WithLabelValues("running").Set(float64(running))
	m.updates.WithLabelValues("waiting").Set(float64(waiting))
}

// MissingStatusFields takes over fields that the cluster's definition of StreamPair lacks.
func (m *Metrics) MissingStatusFields(fields []string) {
	for _, field := range fields {
		m.missing.WithLabelValues(field).Set(1)
	}
}

// Forget removes the series of a pair that is gone.
func (m *Metrics) Forget(pair types.NamespacedName) {
	labels := prometheus.Labels{"namespace": pair.Namespace, "pair": pair.Name}
	m.activeLeg.DeletePartialMatch(labels)
	m.switches.DeletePartialMatch(labels)
	m.conditions.DeletePartialMatch(labels)
	m.paused.DeletePartialMatch(labels)
}

func conditionValue(status metav1.ConditionStatus) float64 {
	switch status {
	case metav1.ConditionTrue:
		return 1
	case metav1.ConditionFalse:
		return 0
	default:
		return -1
	}
}
