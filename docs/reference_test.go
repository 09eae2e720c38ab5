package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	operatormetrics "github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/metrics"
)

var update = flag.Bool("update", false, "write reference.md anew")

// reference is the head of reference.md. What follows it is taken from the sources.
const reference = `# Reference

* [StreamPair](../api/REFERENCE.md): every field, condition, reason, Event, label and annotation. The same
  is in ` + "`kubectl explain streampair`" + `.
* [Samples](../config/samples) of StreamPairs, one for each case.
* [The chart](../charts/streampair/README.md) and its [values](../charts/streampair/values.yaml).
* The operator's flags: ` + "`streampair-operator --help`" + `. The chart sets all of them.
* The command port of a media server: [` + "`api/control`" + `](../api/control).
`

// TestReference: reference.md lists the flags and the metrics that there are.
func TestReference(t *testing.T) {
	var want strings.Builder
	want.WriteString(reference)
	fmt.Fprintf(&want, "\n## Flags of the media server\n\n```\n%s\n```\n", strings.TrimSpace(config.Usage()))

	mediaServer, operator := &registerer{}, &registerer{}
	metrics.New(mediaServer)
	metrics.RegisterMemory(mediaServer, func() int64 { return 0 }, map[string]func() int64{"class": nil})
	metrics.RegisterMeasures(mediaServer, metrics.MeasuresConfig{})
	operatormetrics.New(operator)
	fmt.Fprintf(&want, "\n## Metrics of a media server\n\n%s", mediaServer.table(t))
	fmt.Fprintf(&want, "\n## Metrics of the operator\n\nThose of controller-runtime stand beside these.\n\n%s", operator.table(t))

	if *update {
		if err := os.WriteFile("reference.md", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("reference.md is not up to date (-want +got); write it anew with go test ./docs -update:\n%s", diff)
	}
}

// A registerer collects the descriptions of metrics.
type registerer struct{ descriptions []string }

func (r *registerer) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 100)
	c.Describe(descriptions)
	close(descriptions)
	for d := range descriptions {
		r.descriptions = append(r.descriptions, d.String())
	}
	return nil
}

func (r *registerer) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		_ = r.Register(c) // which never fails
	}
}

func (r *registerer) Unregister(prometheus.Collector) bool { return false }

// descriptionText is how the Prometheus client prints a description.
var descriptionText = regexp.MustCompile(`^Desc\{fqName: "(.*)", help: "(.*?)"(?:, unit: ".*")?, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// table returns the metrics with their labels, by name.
func (r *registerer) table(t *testing.T) string {
	t.Helper()
	rows := make(map[string]string)
	for _, d := range r.descriptions {
		parts := descriptionText.FindStringSubmatch(d)
		if parts == nil {
			t.Fatalf("the Prometheus client prints descriptions in another form: %s", d)
		}
		labels := strings.ReplaceAll(parts[4], ",", ", ")
		if constant, _, found := strings.Cut(parts[3], "="); found {
			labels = constant
		}
		rows[parts[1]] = fmt.Sprintf("| `%s` | %s | %s |\n", parts[1], labels, strings.ReplaceAll(parts[2], `\"`, `"`))
	}
	var b strings.Builder
	b.WriteString("| metric | labels | what |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[name])
	}
	return b.String()
}
