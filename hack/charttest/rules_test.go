package charttest

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"sigs.k8s.io/yaml"
)

// An alert is a rule of config/prometheus/rules.yaml.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// TestAlerts evaluates each alert's expression with Prometheus' own engine, after 30 minutes
// in which the metrics went as the case says. What an alert waits for (`for`) is left out.
func TestAlerts(t *testing.T) {
	const onAir, redundant = `streampair_condition{namespace="live",pair="sunday",condition="OnAir"}`,
		`streampair_condition{namespace="live",pair="sunday",condition="Redundant"}`
	const paused = `streampair_paused{namespace="live",pair="sunday"}`
	const switches = `streampair_switches_total{job="streampair-operator",namespace="live",pair="sunday",reason="PrimaryInputLost"}`
	const keyFetches = `streampair_jwks_fetches_total{job="streampair-mediaserver",namespace="live",pod="sunday-primary-x",result="failure"}`
	const stalled = `streampair_viewer_stalled_seconds_total{namespace="live",pod="sunday-primary-x",pair="sunday",leg="Primary",way="webrtc"}`
	const viewerReports = `streampair_viewer_reports_total{namespace="live",pod="sunday-primary-x",pair="sunday",leg="Primary",way="webrtc"}`
	atBackup := func(metric string) string { return strings.ReplaceAll(metric, "sunday-primary-x", "sunday-backup-x") }
	// rising is a counter that grows by so much in a second.
	rising := func(rate float64) func(time.Duration) float64 {
		return func(left time.Duration) float64 { return rate * (1800 - left.Seconds()) }
	}
	day := 24 * time.Hour.Seconds()
	constant := func(v float64) func(time.Duration) float64 { return func(time.Duration) float64 { return v } }
	// until is one value until that long before the end, and another from then on.
	until := func(before time.Duration, first, then float64) func(time.Duration) float64 {
		return func(left time.Duration) float64 {
			if left > before {
				return first
			}
			return then
		}
	}
	gone := math.Float64frombits(value.StaleNaN)
	// of is a series as one operator exports it.
	of := func(metric, instance string) string {
		return strings.TrimSuffix(metric, "}") + `,instance="` + instance + `",pod="operator-` + instance + `"}`
	}
	tests := []struct {
		name, alert string
		metrics     map[string]func(left time.Duration) float64
		fires       bool
	}{
		{"both encoders are lost", "StreamPairOffAir", series{onAir: until(time.Minute, 1, 0)}, true},
		{"nobody has published", "StreamPairOffAir", series{onAir: constant(0)}, false},
		{"the programme ended an hour ago", "StreamPairOffAir", series{onAir: until(20*time.Minute, 1, 0)}, false},
		{"it is on air again", "StreamPairOffAir", series{onAir: until(time.Minute, 0, 1)}, false},
		{"it was paused", "StreamPairOffAir", series{onAir: until(time.Minute, 1, 0), paused: until(time.Minute, 0, 1)}, false},
		{"it is not paused", "StreamPairOffAir", series{onAir: until(time.Minute, 1, 0), paused: constant(0)}, true},
		{"another pair is paused", "StreamPairOffAir", series{
			onAir: until(time.Minute, 1, 0), strings.ReplaceAll(paused, "sunday", "monday"): constant(1)}, true},
		{"both encoders are lost while one operator takes over from another", "StreamPairOffAir", series{
			of(onAir, "a"): until(3*time.Minute, 1, gone), of(paused, "a"): until(3*time.Minute, 0, gone),
			of(onAir, "b"): until(2*time.Minute, gone, 0), of(paused, "b"): until(2*time.Minute, gone, 0)}, true},
		{"it was paused while one operator takes over from another", "StreamPairOffAir", series{
			of(onAir, "a"): until(3*time.Minute, 1, gone), of(paused, "a"): until(3*time.Minute, 0, gone),
			of(onAir, "b"): until(2*time.Minute, gone, 0), of(paused, "b"): until(2*time.Minute, gone, 1)}, false},

		{"on air with one leg", "StreamPairNotRedundant", series{onAir: constant(1), redundant: constant(0)}, true},
		{"on air with both", "StreamPairNotRedundant", series{onAir: constant(1), redundant: constant(1)}, false},
		{"not on air at all", "StreamPairNotRedundant", series{onAir: constant(0), redundant: constant(0)}, false},
		{"another pair is on air", "StreamPairNotRedundant", series{
			strings.ReplaceAll(onAir, "sunday", "monday"): constant(1), redundant: constant(0)}, false},

		{"the primary is black", "StreamPairContentFault", series{strings.ReplaceAll(onAir, "OnAir", "PrimaryHealthy"): constant(0)}, true},
		{"the backup is silent", "StreamPairContentFault", series{strings.ReplaceAll(onAir, "OnAir", "BackupHealthy"): constant(0)}, true},
		{"pictures are not watched", "StreamPairContentFault", series{strings.ReplaceAll(onAir, "OnAir", "PrimaryHealthy"): constant(-1)}, false},
		{"both legs are well", "StreamPairContentFault", series{
			strings.ReplaceAll(onAir, "OnAir", "PrimaryHealthy"): constant(1), strings.ReplaceAll(onAir, "OnAir", "BackupHealthy"): constant(1)}, false},
		{"the backup is 3 s later", "StreamPairOutOfStep", series{strings.ReplaceAll(onAir, "OnAir", "InStep"): constant(0)}, true},
		{"the step is unknown", "StreamPairOutOfStep", series{strings.ReplaceAll(onAir, "OnAir", "InStep"): constant(-1)}, false},
		{"the pods disagree", "StreamPairNotConverged", series{strings.ReplaceAll(onAir, "OnAir", "Converged"): constant(0)}, true},
		{"a pod cannot be asked", "StreamPairNotConverged", series{strings.ReplaceAll(onAir, "OnAir", "Converged"): constant(-1)}, false},
		{"it is paused", "StreamPairNotConverged", series{strings.ReplaceAll(onAir, "OnAir", "Converged"): constant(0), paused: constant(1)}, false},
		{"another operator serves the pair", "StreamPairOperatorConflict", series{
			`streampair_foreign{namespace="live",pair="sunday",operator="other/streampair-operator"}`: constant(1)}, true},
		{"no other operator serves the pair", "StreamPairOperatorConflict", series{strings.ReplaceAll(onAir, "OnAir", "Ready"): constant(1)}, false},
		{"pods are not ready", "StreamPairNotReady", series{strings.ReplaceAll(onAir, "OnAir", "Ready"): constant(0)}, true},
		{"pods are not ready, and it is not paused", "StreamPairNotReady", series{
			strings.ReplaceAll(onAir, "OnAir", "Ready"): constant(0), paused: constant(0)}, true},
		{"it is paused", "StreamPairNotReady", series{strings.ReplaceAll(onAir, "OnAir", "Ready"): constant(0), paused: constant(1)}, false},
		{"pods are ready", "StreamPairNotReady", series{strings.ReplaceAll(onAir, "OnAir", "Ready"): constant(1)}, false},
		{"the backup's pod cannot be asked", "StreamPairUnknown", series{strings.ReplaceAll(onAir, "OnAir", "BackupLive"): constant(-1)}, true},
		{"the backup is silent", "StreamPairUnknown", series{strings.ReplaceAll(onAir, "OnAir", "BackupLive"): constant(0)}, false},

		{"a switch a minute", "StreamPairSwitchesOften", series{switches: func(left time.Duration) float64 { return 30 - left.Minutes() }}, true},
		{"two switches", "StreamPairSwitchesOften", series{switches: until(5*time.Minute, 7, 9)}, false},
		{"a media pod counts its own", "StreamPairSwitchesOften", series{
			strings.ReplaceAll(switches, "-operator", "-mediaserver"): func(left time.Duration) float64 { return 30 - left.Minutes() }}, false},

		{"a certificate of 3 days", "StreamPairCertificateExpires", series{
			`streampair_tls_certificate_not_after_seconds{namespace="live",pod="sunday-primary-x"}`: constant(float64(now.Unix()) + 3*day)}, true},
		{"a certificate of 30 days", "StreamPairCertificateExpires", series{
			`streampair_tls_certificate_not_after_seconds{namespace="live",pod="sunday-primary-x"}`: constant(float64(now.Unix()) + 30*day)}, false},

		{"each fetch of keys fails", "StreamPairKeySetNotFetched", series{keyFetches: func(left time.Duration) float64 { return 30 - math.Ceil(left.Minutes()) }}, true},
		{"two fetches of keys failed", "StreamPairKeySetNotFetched", series{keyFetches: until(5*time.Minute, 7, 9)}, false},
		{"all fetches of keys succeed", "StreamPairKeySetNotFetched", series{
			strings.ReplaceAll(keyFetches, "failure", "success"): func(left time.Duration) float64 { return 30 - math.Ceil(left.Minutes()) }}, false},

		{"ten viewers stand still for 1 s of 10 s", "StreamPairViewersStall", series{
			stalled: rising(1), viewerReports: rising(1)}, true},
		{"ten viewers stand still for 1 s of 10 s, half of them at each pod", "StreamPairViewersStall", series{
			stalled: rising(0.5), viewerReports: rising(0.5), atBackup(stalled): rising(0.5), atBackup(viewerReports): rising(0.5)}, true},
		{"ten viewers stand still for 0.1 s of 10 s", "StreamPairViewersStall", series{stalled: rising(0.01), viewerReports: rising(1)}, false},
		{"one viewer stands still", "StreamPairViewersStall", series{stalled: rising(0.1), viewerReports: rising(0.1)}, false},

		{"no operator is known", "StreamPairOperatorDown", series{`up{job="another"}`: constant(1)}, true},
		{"the operator does not answer", "StreamPairOperatorDown", series{`up{job="streampair-operator"}`: constant(0)}, true},
		{"one of two answers", "StreamPairOperatorDown", series{
			`up{job="streampair-operator",instance="a"}`: constant(0), `up{job="streampair-operator",instance="b"}`: constant(1)}, false},
		{"an error every 10 s", "StreamPairReconcileErrors", series{
			`controller_runtime_reconcile_errors_total{job="streampair-operator"}`: func(left time.Duration) float64 { return 1800 - left.Seconds()/10 }}, true},
		{"an error now and then", "StreamPairReconcileErrors", series{
			`controller_runtime_reconcile_errors_total{job="streampair-operator"}`: until(5*time.Minute, 3, 5)}, false},
		{"a media pod does not answer", "StreamPairMediaServerDown", series{`up{job="streampair-mediaserver",namespace="live",pod="x"}`: constant(0)}, true},
		{"all media pods answer", "StreamPairMediaServerDown", series{`up{job="streampair-mediaserver",namespace="live",pod="x"}`: constant(1)}, false},
	}

	alerts := loadAlerts(t)
	var fired []string
	for _, test := range tests {
		t.Run(test.alert+": "+test.name, func(t *testing.T) {
			rule, ok := alerts[test.alert]
			if !ok {
				t.Fatal("no such alert")
			}
			result := evaluate(t, rule.Expr, test.metrics)
			if (len(result) > 0) != test.fires {
				t.Errorf("fires: %v, want %v", result, test.fires)
			}
			for _, sample := range result {
				fired = append(fired, test.alert)
				checkAnnotations(t, rule, sample.Metric)
			}
		})
	}
	for name := range alerts {
		if !slices.Contains(fired, name) {
			t.Errorf("no case in which %s fires", name)
		}
	}
}

// checkAnnotations looks for labels that a text names and the alert does not have: they
// would be empty in the message.
func checkAnnotations(t *testing.T, rule alert, has labels.Labels) {
	t.Helper()
	if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
		t.Errorf("%s lacks a summary, a description or a severity", rule.Alert)
	}
	for _, text := range rule.Annotations {
		for _, match := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
			if has.Get(match[1]) == "" {
				t.Errorf("the text of %s names the label %s, which %v lacks", rule.Alert, match[1], has)
			}
		}
	}
}

func loadAlerts(t *testing.T) map[string]alert {
	t.Helper()
	var rule struct {
		Spec struct{ Groups []struct{ Rules []alert } }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "../../config/prometheus/rules.yaml")), &rule); err != nil {
		t.Fatal(err)
	}
	alerts := map[string]alert{}
	for _, group := range rule.Spec.Groups {
		for _, a := range group.Rules {
			alerts[a.Alert] = a
			if _, err := time.ParseDuration(a.For); a.For != "" && err != nil {
				t.Errorf("%s: %v", a.Alert, err)
			}
		}
	}
	return alerts
}

// now is the time at which alerts are evaluated.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// series are metrics, by name and labels, with their value so long before now.
type series = map[string]func(left time.Duration) float64

func evaluate(t *testing.T, expression string, metrics series) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	var stored memory
	for metric, at := range metrics {
		var samples []chunks.Sample
		for left := 30 * time.Minute; left >= 0; left -= 30 * time.Second {
			samples = append(samples, sample{now.Add(-left).UnixMilli(), at(left)})
		}
		stored = append(stored, storage.NewListSeries(parseLabels(t, metric), samples))
	}
	query, err := engine.NewInstantQuery(t.Context(), stored, nil, expression, now)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Warnings) > 0 {
		t.Errorf("warnings: %v", result.Warnings)
	}
	return vector
}

// parseLabels reads name{label="value",…}.
func parseLabels(t *testing.T, metric string) labels.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(metric, "{")
	pairs := []string{labels.MetricName, name}
	for _, match := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		pairs = append(pairs, match[1], match[2])
	}
	return labels.FromStrings(pairs...)
}

// memory is a storage with a few series.
type memory []storage.Series

func (m memory) Querier(int64, int64) (storage.Querier, error) { return querier{m}, nil }

type querier struct{ memory }

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range q.memory {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			found = append(found, s)
		}
	}
	return &seriesSet{found: found}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

type seriesSet struct {
	found []storage.Series
	next  int
}

func (s *seriesSet) Next() bool                        { s.next++; return s.next <= len(s.found) }
func (s *seriesSet) At() storage.Series                { return s.found[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

type sample struct {
	milliseconds int64
	value        float64
}

func (s sample) T() int64                    { return s.milliseconds }
func (s sample) F() float64                  { return s.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }
