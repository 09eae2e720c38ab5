package charttest

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

const scraper = "streampair-operator-metrics-scraper"

// TestScrapingToken: where metrics ask who reads them, the ServiceMonitor names a Secret
// that the chart makes or the values name.
func TestScrapingToken(t *testing.T) {
	own := map[string]any{"name": scraper, "key": "token"}
	tests := map[string]struct {
		values string
		secret map[string]any // that the ServiceMonitor names; nil: none
		made   bool           // by the chart
	}{
		"a token of the chart":       {`metrics: {serviceMonitor: {enabled: true}}`, own, true},
		"a token of the user":        {`metrics: {serviceMonitor: {enabled: true, tokenSecret: {name: mine}}}`, map[string]any{"name": "mine", "key": "token"}, false},
		"another key":                {`metrics: {serviceMonitor: {enabled: true, tokenSecret: {name: "1", key: "2"}}}`, map[string]any{"name": "1", "key": "2"}, false},
		"a key without a name":       {`metrics: {serviceMonitor: {enabled: true, tokenSecret: {key: bearer}}}`, own, true},
		"values of the chart before": {`metrics: {serviceMonitor: {enabled: true, tokenSecret: null}}`, own, true},
		"an account of the user":     {`{serviceAccount: {create: false, name: mine}, metrics: {serviceMonitor: {enabled: true}}}`, own, true},
		"no roles, a token of the user": {
			`{rbac: {create: false}, metrics: {serviceMonitor: {enabled: true, tokenSecret: {name: mine}}}}`,
			map[string]any{"name": "mine", "key": "token"}, false},
		"metrics for everybody":           {`metrics: {auth: false, serviceMonitor: {enabled: true}}`, nil, false},
		"metrics for everybody, no roles": {`{rbac: {create: false}, metrics: {auth: false, serviceMonitor: {enabled: true}}}`, nil, false},
		"in one namespace":                {`{watchNamespaces: [live], metrics: {serviceMonitor: {enabled: true}}}`, nil, false},
		"in one namespace, no roles":      {`{watchNamespaces: [live], rbac: {create: false}, metrics: {serviceMonitor: {enabled: true}}}`, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := render(t, test.values)
			endpoint := at[[]any](t, r.find("ServiceMonitor", "streampair-operator"), "spec", "endpoints")[0].(map[string]any)
			secret, _, _ := unstructured.NestedMap(endpoint, "authorization", "credentials")
			if diff := cmp.Diff(test.secret, secret); diff != "" {
				t.Errorf("the Secret of the ServiceMonitor (-want +got):\n%s", diff)
			}
			for _, kind := range []string{"ServiceAccount", "Secret", "ClusterRoleBinding"} {
				if made := r.find(kind, scraper) != nil; made != test.made {
					t.Errorf("the chart makes the %s: %v, want %v", kind, made, test.made)
				}
			}
		})
	}
	t.Run("none without a ServiceMonitor", func(t *testing.T) {
		for _, object := range render(t, "rbac: {create: true}").objects {
			if object.GetName() == scraper {
				t.Errorf("the chart makes %s", key(object))
			}
		}
	})
	t.Run("no roles and no token: the error says what to set", func(t *testing.T) {
		_, err := tryRender(t, `{rbac: {create: false}, metrics: {serviceMonitor: {enabled: true}}}`, "studio")
		const want = "set metrics.serviceMonitor.tokenSecret.name to a Secret of namespace studio"
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, want)
		}
	})
}

// TestMonitorsNameNoFiles: OpenShift refuses monitors that name files of the Prometheus
// pod, such as its token.
func TestMonitorsNameNoFiles(t *testing.T) {
	renderings := map[string][]*unstructured.Unstructured{"config/prometheus": kustomize(t, "prometheus")}
	for name, values := range valueSets(t) {
		renderings[name] = render(t, values).objects
	}
	monitors := 0
	for name, objects := range renderings {
		for _, object := range objects {
			if kind := object.GetKind(); kind != "ServiceMonitor" && kind != "PodMonitor" {
				continue
			}
			monitors++
			for field := range leaves("", withoutLists(object.Object["spec"])) {
				if strings.HasSuffix(strings.ToLower(field), "file") {
					t.Errorf("%s: %s names a file in %s", name, key(object), field)
				}
			}
		}
	}
	if monitors < 4 {
		t.Errorf("%d monitors: this test shows nothing", monitors)
	}
}

// withoutLists returns the value with each list as a map by index, as leaves takes it.
func withoutLists(value any) any {
	mapped := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			mapped[name] = withoutLists(child)
		}
	case []any:
		for i, child := range value {
			mapped[fmt.Sprint(i)] = withoutLists(child)
		}
	default:
		return value
	}
	return mapped
}

// TestScrapingTokenReadsTheMetrics: the token that Kubernetes writes into the chart's
// Secret reads the metrics of the real operator, and lets its holder do nothing else.
func TestScrapingTokenReadsTheMetrics(t *testing.T) {
	cluster := kubetest.Start(t)
	own := cluster.Namespace(t)
	r, err := tryRender(t, `metrics: {serviceMonitor: {enabled: true}}`, own)
	if err != nil {
		t.Fatal(err)
	}
	operator := cluster.KubeconfigOf(t, cluster.ServiceAccountConfig(t, own, "streampair-operator", toYAML(t, bound(r.objects)...)))
	const reader = "streampair-operator-metrics-reader"
	manifests := toYAML(t, r.find("ClusterRole", reader), r.find("Secret", scraper))
	if _, err := cluster.KubectlInput(t, manifests, "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Kubectl(t, "delete", "clusterrole", reader) })

	var token string
	eventually.Seen(t, eventually.Patience, "the Secret has a token", func() (string, bool) {
		out, err := cluster.KubectlInput(t, "", "get", "secret", "-n", own, scraper, "-o", "jsonpath={.data.token}")
		content, _ := base64.StdEncoding.DecodeString(out)
		token = string(content)
		return fmt.Sprintf("%q, %v", out, err), token != ""
	})
	stranger := cluster.ServiceAccountConfig(t, own, "stranger")

	url := "https://" + runOperator(t, own, operator) + "/metrics"
	for _, test := range []struct {
		who, token string
		code       int
	}{
		{"the scraper", token, http.StatusOK},
		{"another account", stranger.BearerToken, http.StatusForbidden},
		{"nobody", "", http.StatusUnauthorized},
	} {
		t.Run("metrics for "+test.who, func(t *testing.T) {
			eventually.Seen(t, eventually.Patience, fmt.Sprintf("the answer %d", test.code), func() (string, bool) {
				code, body, err := getMetrics(t, url, test.token)
				has := strings.Contains(body, "controller_runtime_")
				return fmt.Sprintf("%d, %v, with metrics: %v", code, err, has), code == test.code && has == (code == http.StatusOK)
			})
		})
	}

	t.Run("and no more", func(t *testing.T) {
		scraping := *stranger
		scraping.BearerToken = token
		may := func(kubeconfig string) []string {
			return strings.Split(cluster.Kubectl(t, "--kubeconfig", kubeconfig, "auth", "can-i", "--list", "--no-headers", "-n", own), "\n")
		}
		everybody := may(cluster.KubeconfigOf(t, stranger))
		added := slices.DeleteFunc(may(cluster.KubeconfigOf(t, &scraping)), func(line string) bool {
			return slices.Contains(everybody, line)
		})
		if len(added) != 1 || !slices.Equal(strings.Fields(added[0]), []string{"[/metrics]", "[]", "[get]"}) {
			t.Errorf("the token lets its holder do more than to get /metrics:\n%s", strings.Join(added, "\n"))
		}
	})
}

// runOperator runs the operator's command until the test ends, and returns the address of
// its metrics.
func runOperator(t *testing.T, namespace, kubeconfig string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	var log bytes.Buffer
	cmd := exec.Command(buildOperator(t), "--kubeconfig="+kubeconfig, "--metrics-address="+address,
		"--metrics-auth=true", "--probe-address=0", "--leader-elect=false")
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+namespace)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the operator said:\n%s", log.String())
		}
	})
	return address
}

func getMetrics(t *testing.T, url, token string) (code int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // self-signed, on loopback
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}
