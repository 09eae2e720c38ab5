package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s.io/client-go/rest"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/permit"
)

func inNamespace(name string) string {
	return map[string]string{"POD_NAMESPACE": "streampair-system"}[name]
}

func TestOptions(t *testing.T) {
	var help strings.Builder
	o, err := parseOptions([]string{
		"--leader-elect", "--watch-namespaces=live,news", "--allowed-exposures=ClusterIP,HostPort",
		"--metrics-tls-cert=/tls/tls.crt", "--metrics-tls-key=/tls/tls.key", "--log-format=json", "--log-level=warn",
		"--metrics-namespaces=monitoring,tracing", "--cluster-chooses-user", "--leader-election-id=pairs", "--concurrency=2", "--max-concurrent-rollouts=0",
		"--allowed-pod-metadata=example.com/*,linkerd.io/inject=disabled", "--common-labels=example.com/owner=video,example.com/cost=7",
		"--adopt-orphans=false", "--jwks-networks=10.96.0.0/12,fd00::/8", "--no-viewer-reports",
		"--notification-networks=10.96.0.0/12,fd00::/8",
	}, inNamespace, &help)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(o.notificationNetworks); got != "[10.96.0.0/12 fd00::/8]" {
		t.Errorf("events may go to %s", got)
	}
	if diff := cmp.Diff([]string{"live", "news"}, o.namespaces); diff != "" {
		t.Error(diff)
	}
	if !o.settings.Namespaced || o.settings.Objects.OperatorNamespace != "streampair-system" {
		t.Errorf("settings %+v", o.settings)
	}
	if diff := cmp.Diff([]v1alpha1.ExposureType{"ClusterIP", "HostPort"}, o.settings.AllowedExposure); diff != "" {
		t.Error(diff)
	}
	if o.metricsCertDir != "/tls" || o.metricsCertName != "tls.crt" || o.metricsKeyName != "tls.key" {
		t.Errorf("metrics certificate %q %q %q", o.metricsCertDir, o.metricsCertName, o.metricsKeyName)
	}

	if diff := cmp.Diff([]permit.PodMetadata{"example.com/*", "linkerd.io/inject=disabled"}, o.settings.AllowedPodMetadata); diff != "" {
		t.Errorf("allowed metadata of pods (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.Labels{"example.com/owner": "video", "example.com/cost": "7"}, o.settings.Objects.CommonLabels); diff != "" {
		t.Errorf("common labels (-want +got):\n%s", diff)
	}
	if o.settings.Operator != "streampair-system/pairs" {
		t.Errorf("the operator's mark is %q", o.settings.Operator)
	}
	if diff := cmp.Diff([]string{"monitoring", "tracing"}, o.settings.Objects.MetricsNamespaces); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"10.96.0.0/12", "fd00::/8"}, o.settings.Objects.JWKSNetworks); diff != "" || !o.settings.Objects.NoViewerReports {
		t.Errorf("reports are off: %v; networks of key sets (-want +got):\n%s", o.settings.Objects.NoViewerReports, diff)
	}
	if !o.settings.Objects.ClusterChoosesUser || o.leaderElectionID != "pairs" || o.settings.Concurrency != 2 || o.settings.MaxConcurrentRollouts != 0 || !o.settings.LeaveOrphans {
		t.Errorf("options %+v", o)
	}

	if o, err = parseOptions(nil, inNamespace, &help); err != nil {
		t.Fatal(err)
	}
	if o.settings.Namespaced || o.settings.Objects.AllowPodImages || !o.metricsAuth || o.leaderElect {
		t.Errorf("defaults %+v", o)
	}
	if len(o.settings.Objects.MetricsNamespaces) > 0 || o.settings.Objects.ClusterChoosesUser ||
		o.leaderElectionID != "streampair-operator" || o.settings.Concurrency != 8 || o.settings.MaxConcurrentRollouts != 10 || o.settings.LeaveOrphans {
		t.Errorf("defaults %+v", o)
	}
	// HostPort is not allowed by default, because whoever
	// may write a pair could take ports of nodes.
	if diff := cmp.Diff([]v1alpha1.ExposureType{"ClusterIP", "NodePort", "LoadBalancer"}, o.settings.AllowedExposure); diff != "" {
		t.Error(diff)
	}
	if _, err = parseOptions([]string{"--help"}, inNamespace, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"-kubeconfig", "-default-image", "-probe"} {
		if !strings.Contains(help.String(), name) {
			t.Errorf("the usage lacks %s", name)
		}
	}
}

func TestMistakesInOptions(t *testing.T) {
	_, err := parseOptions([]string{
		"--watch-namespaces=Live", "--allowed-exposures=Ingress", "--metrics-tls-cert=a/tls.crt", "--metrics-tls-key=b/tls.key",
		"--default-image=", "--log-format=xml", "--leader-elect", "--max-egress=-1",
		"--metrics-namespaces=monitoring,a/b", "--leader-election-id=", "--concurrency=-1", "--max-concurrent-rollouts=-1",
		"--allowed-pod-metadata=*", "--common-labels=app.kubernetes.io/name=x", "--jwks-networks=10.0.0.1", "--notification-networks=10.0.0.2", "surplus",
	}, func(string) string { return "" }, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`unexpected argument "surplus"`, `"Live" is no namespace`, `"Ingress" is none of`, "name at least ClusterIP",
		"must be in one folder", "--default-image", `"xml" is neither`, "needs POD_NAMESPACE",
		`--metrics-namespaces: "a/b" is no namespace`, `"" is no name of a lease`, "at least 1 pair", "--max-concurrent-rollouts: -1",
		`--allowed-pod-metadata: "*" would allow everything`, "--common-labels: ", "cannot be set", `--jwks-networks: "10.0.0.1" is no network`, `--notification-networks: "10.0.0.2" is no network`, "--max-egress: -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("mistakes lack %q:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 16 {
		t.Errorf("%d lines for 16 mistakes:\n%v", n+1, err)
	}
}

func TestProbe(t *testing.T) {
	code := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	defer s.Close()
	if err := probe(t.Context(), s.URL); err != nil {
		t.Error(err)
	}
	code = http.StatusServiceUnavailable
	if err := probe(t.Context(), s.URL); err == nil {
		t.Error("503 passes")
	}
	s.Close()
	if err := probe(t.Context(), s.URL); err == nil {
		t.Error("a closed port passes")
	}
}

func TestTheLeaseIsThePods(t *testing.T) {
	config := &rest.Config{Host: "https://192.0.2.1"}
	o := options{leaderElect: true, namespace: "streampair-system", leaderElectionID: "streampair-operator", podName: "operator-abc"}
	lock, err := o.lock(config)
	if err != nil || lock == nil || lock.Identity() != "operator-abc" || lock.Describe() != "streampair-system/streampair-operator" {
		t.Errorf("%v, %v", lock, err)
	}
	o.podName = ""
	if lock, err := o.lock(config); lock != nil || err != nil {
		t.Errorf("outside a pod: %v, %v", lock, err)
	}
}
