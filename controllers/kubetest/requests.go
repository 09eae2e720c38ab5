package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/discovery"
)

// Requests counts write requests by verb and resource, such as "APPLY
// deployments" or "PATCH streampairs/status". Failed requests count too.
type Requests map[string]int

// Since returns what was counted after the earlier count.
func (r Requests) Since(earlier Requests) Requests {
	difference := maps.Clone(r)
	for key, count := range earlier {
		difference[key] -= count
	}
	maps.DeleteFunc(difference, func(_ string, count int) bool { return count == 0 })
	return difference
}

// APIRequests returns how many writes the API server has had since its start, from
// apiserver_request_total of its metrics. Everybody's writes count: those of other
// tests, of the controllers, and of the API server itself. Leases are left out, because
// some are renewed for ever, and so are dry runs. Writes returns who wrote what.
func (c *Cluster) APIRequests(t TB) Requests {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()

	admin, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := admin.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		t.Fatalf("read the API server's metrics: %v", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("read the API server's metrics: %v", err)
	}
	requests := make(Requests)
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		labels := labelsOf(metric)
		resource := resourceName(labels["resource"], labels["subresource"])
		switch labels["verb"] {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
			if resource != "leases" && labels["dry_run"] == "" {
				requests[labels["verb"]+" "+resource] += int(metric.GetCounter().GetValue())
			}
		}
	}
	return requests
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := make(map[string]string, len(metric.GetLabel()))
	for _, pair := range metric.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

func resourceName(resource, subresource string) string {
	if subresource != "" {
		return resource + "/" + subresource
	}
	return resource
}

// A Write is a write request in the API server's audit log.
type Write struct {
	// User is the user who wrote, such as system:serviceaccount:NAMESPACE:NAME.
	User string
	// Verb is create, update, patch, delete or
	// deletecollection. A server-side apply is a patch.
	Verb string
	// Resource is the resource, with the subresource after a slash.
	Resource  string
	Namespace string
	Name      string
	// Code is the HTTP status code of the answer.
	Code int
	Time time.Time
}

// Writes returns the user's write requests since the start of the cluster,
// oldest first, without leases and dry runs. An empty user means all users.
// A request that was answered within the last milliseconds may be missing.
func (c *Cluster) Writes(t TB, user string) []Write {
	t.Helper()
	log, err := os.ReadFile(c.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	var writes []Write
	for line := range bytes.Lines(log) {
		var event auditEvent
		if err := json.Unmarshal(line, &event); err != nil {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // this line is still being written
			}
			t.Fatalf("read the audit log: %v", err)
		}
		dryRun := strings.Contains(event.RequestURI, "dryRun=")
		if dryRun || user != "" && event.User.Username != user {
			continue
		}
		writes = append(writes, Write{
			User: event.User.Username, Verb: event.Verb,
			Resource:  resourceName(event.ObjectRef.Resource, event.ObjectRef.Subresource),
			Namespace: event.ObjectRef.Namespace, Name: event.ObjectRef.Name,
			Code: event.ResponseStatus.Code, Time: event.StageTimestamp,
		})
	}
	return writes
}

// auditEvent has the fields of audit.k8s.io/v1 Event that Writes needs.
type auditEvent struct {
	Verb           string
	RequestURI     string
	User           struct{ Username string }
	ObjectRef      struct{ Resource, Subresource, Namespace, Name string }
	ResponseStatus struct{ Code int }
	StageTimestamp time.Time
}

// auditPolicy logs what Writes returns. The first rule that matches applies.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  users: ["system:apiserver"]
- level: None
  resources: [{group: coordination.k8s.io, resources: [leases]}]
- level: None
  nonResourceURLs: ["*"]
- level: Metadata
`

func (c *Cluster) auditLog() string { return filepath.Join(c.dir, "audit.log") }
