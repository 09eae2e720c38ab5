// Package metrics has the Prometheus metrics of pairs that the operator serves.
package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// Metrics are the operator's own metrics of pairs. controller-runtime measures the reconciles.
type Metrics struct {
	activeLeg  *prometheus.GaugeVec
	switches   *prometheus.CounterVec
	conditions *prometheus.GaugeVec
	paused     *prometheus.GaugeVec
	updates    *prometheus.GaugeVec
	missing    *prometheus.GaugeVec
	foreign    *prometheus.GaugeVec
	notified   *prometheus.CounterVec
}

// New returns the metrics, registered. If the registry already has them, New returns those.
func New(registry prometheus.Registerer) *Metrics {
	return &Metrics{
		activeLeg: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_active_leg",
			Help: "1 for the leg that viewers get, 0 for the other; both 0: viewers get no live picture.",
		}, []string{"namespace", "pair", "role"})),
		switches: Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streampair_switches_total",
			Help: "Changes from one leg to the other, by reason, since this operator began to follow the pair.",
		}, []string{"namespace", "pair", "reason"})),
		conditions: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_condition",
			Help: "Conditions of pairs: 1 True, 0 False, -1 Unknown.",
		}, []string{"namespace", "pair", "condition"})),
		paused: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_paused",
			Help: "1 for a pair with spec.paused, of which most conditions are False on purpose; 0 for others.",
		}, []string{"namespace", "pair"})),
		updates: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_updates",
			Help: "Pairs that get a change of the operator's, such as a new default image: running, or waiting until fewer others do.",
		}, []string{"state"})),
		missing: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_status_field_missing",
			Help: "1 for each field of the status that the cluster's definition of StreamPair lacked when this operator wrote one: the definition is older than the operator.",
		}, []string{"field"})),
		foreign: Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_foreign",
			Help: "1 for each pair that another operator serves, and that this one leaves alone therefore; operator is the other one, by its Lease.",
		}, []string{"namespace", "pair", "operator"})),
		notified: Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streampair_notifications_total",
			Help: "Attempts to send an event to a receiver of spec.notifications, by result: delivered, failed, which is tried again, or gave_up after an hour.",
		}, []string{"namespace", "pair", "receiver", "result"})),
	}
}

// Register registers the collector and returns it. If the registry
// already has one of that name, Register returns the existing one.
func Register[T prometheus.Collector](registry prometheus.Registerer, collector T) T {
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

// Observe sets the metrics to a pair's status. switched
// is the new switch in it; nil: there is none.
func (m *Metrics) Observe(pair types.NamespacedName, after *v1alpha1.StreamPairStatus, switched *v1alpha1.Switch) {
	for _, role := range objects.Roles() {
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
	if switched != nil {
		m.switches.WithLabelValues(pair.Namespace, pair.Name, switched.Reason).Inc()
	}
}

// Updates sets how many pairs the operator is updating, and how many wait.
func (m *Metrics) Updates(running, waiting int) {
	m.updates.WithLabelValues("running").Set(float64(running))
	m.updates.WithLabelValues("waiting").Set(float64(waiting))
}

// MissingStatusFields sets the fields that the cluster's definition of StreamPair lacks.
func (m *Metrics) MissingStatusFields(fields []string) {
	for _, field := range fields {
		m.missing.WithLabelValues(field).Set(1)
	}
}

// Foreign sets which other operator serves the pair; empty: none does.
func (m *Metrics) Foreign(pair types.NamespacedName, operator string) {
	m.foreign.DeletePartialMatch(prometheus.Labels{"namespace": pair.Namespace, "pair": pair.Name})
	if operator != "" {
		m.foreign.WithLabelValues(pair.Namespace, pair.Name, operator).Set(1)
	}
}

// Notified counts an attempt to send an event to a receiver.
func (m *Metrics) Notified(pair types.NamespacedName, receiver, result string) {
	m.notified.WithLabelValues(pair.Namespace, pair.Name, receiver, result).Inc()
}

// Forget removes the series of a pair that is gone.
func (m *Metrics) Forget(pair types.NamespacedName) {
	labels := prometheus.Labels{"namespace": pair.Namespace, "pair": pair.Name}
	m.activeLeg.DeletePartialMatch(labels)
	m.switches.DeletePartialMatch(labels)
	m.conditions.DeletePartialMatch(labels)
	m.paused.DeletePartialMatch(labels)
	m.foreign.DeletePartialMatch(labels)
	m.notified.DeletePartialMatch(labels)
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
