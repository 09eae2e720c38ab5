package charttest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

// TestServerAcceptsEveryRendering: a real API server takes all objects of every set of
// values, of every kustomization and of every sample, in a server-side dry run.
func TestServerAcceptsEveryRendering(t *testing.T) {
	cluster := kubetest.Start(t)
	for _, name := range []string{namespace, "live", "studio"} {
		cluster.Kubectl(t, "create", "namespace", name)
		t.Cleanup(func() { cluster.Kubectl(t, "delete", "namespace", name, "--wait=false") })
	}
	installForeignKinds(t, cluster)

	check := func(t *testing.T, manifests string) {
		t.Helper()
		// --force-conflicts: the tests' cluster has the CRD already, from another writer.
		out, err := cluster.KubectlInput(t, manifests, "apply", "--server-side", "--force-conflicts",
			"--dry-run=server", "--validate=strict", "-f", "-")
		if err != nil {
			t.Error(err)
		}
		if got, want := strings.Count(out, "serverside-applied"), strings.Count(manifests, "---\n"); got != want {
			t.Errorf("%d of %d objects accepted:\n%s", got, want, out)
		}
	}

	sets := valueSets(t)
	sets["defaults"] = ""
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		t.Run("chart "+name, func(t *testing.T) {
			r := render(t, sets[name])
			check(t, toYAML(t, slices.Concat(r.objects, r.hooks)...))
		})
	}
	for _, folder := range []string{"crd", "rbac", "default", "prometheus", "network-policy", "samples"} {
		t.Run("config/"+folder, func(t *testing.T) {
			objects := kustomize(t, folder)
			if folder == "rbac" { // has no namespace by itself
				for _, object := range objects {
					if !strings.HasPrefix(object.GetKind(), "Cluster") {
						object.SetNamespace(namespace)
					}
				}
			}
			check(t, toYAML(t, objects...))
		})
	}
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, path := range samples {
		if filepath.Base(path) != "kustomization.yaml" {
			t.Run("config/samples/"+filepath.Base(path), func(t *testing.T) {
				check(t, toYAML(t, parse(t, path, readFile(t, path))...))
			})
		}
	}
}

// TestRestrictedNamespaceAcceptsThePods of the operator and of helm test. A Deployment is
// accepted whatever its pods are, so the pods are made here as its controller would.
func TestRestrictedNamespaceAcceptsThePods(t *testing.T) {
	cluster := kubetest.Start(t)
	restricted := cluster.RestrictedNamespace(t)
	cluster.Kubectl(t, "create", "serviceaccount", "-n", restricted, "streampair-operator")

	pods := map[string]*unstructured.Unstructured{}
	for name, values := range map[string]string{"defaults": "", "openshift": valueSets(t)["openshift"], "monitoring": valueSets(t)["monitoring"]} {
		r := render(t, values)
		pods[name] = podOf(t, operatorOf(t, r.objects))
		pods[name+" test"] = r.find("Pod", "streampair-operator-test").DeepCopy()
	}
	pods["config/default"] = podOf(t, operatorOf(t, kustomize(t, "default")))
	for name, pod := range pods {
		t.Run(name, func(t *testing.T) {
			pod.SetNamespace(restricted)
			if _, err := cluster.KubectlInput(t, toYAML(t, pod), "create", "--dry-run=server", "-f", "-"); err != nil {
				t.Error(err)
			}
		})
	}

	t.Run("and refuses others", func(t *testing.T) {
		pod := pods["defaults"].DeepCopy()
		unstructured.RemoveNestedField(pod.Object, "spec", "securityContext")
		if _, err := cluster.KubectlInput(t, toYAML(t, pod), "create", "--dry-run=server", "-f", "-"); err == nil {
			t.Error("a pod without security context was accepted: this test shows nothing")
		}
	})
}

// operatorOf returns the Deployment.
func operatorOf(t *testing.T, objects []*unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			return object
		}
	}
	t.Fatal("no Deployment")
	return nil
}

func podOf(t *testing.T, deployment *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	spec := at[map[string]any](t, deployment, "spec", "template", "spec")
	labels := at[map[string]any](t, deployment, "spec", "template", "metadata", "labels")
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": deployment.GetName(), "labels": labels},
		"spec":     spec,
	}}
	return pod.DeepCopy()
}

// TestAccess asks the API server itself what the operator's account may do.
func TestAccess(t *testing.T) {
	cluster := kubetest.Start(t)
	for name, test := range map[string]struct {
		values  string
		allowed []string // questions of kubectl auth can-i
		denied  []string
	}{
		"for the cluster": {
			values: "",
			allowed: []string{
				"list streampairs.media.streampair.dev -A", "patch streampairs.media.streampair.dev --subresource=status -n NAMESPACE",
				"get secrets -A", "create secrets -n NAMESPACE", "patch secrets -n NAMESPACE", "watch pods -A", "list nodes",
				"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io",
				"update leases.coordination.k8s.io -n OWN", "create events.events.k8s.io -n NAMESPACE",
			},
			denied: []string{
				"list secrets -n NAMESPACE", "watch secrets -n NAMESPACE", "delete secrets -n NAMESPACE", "list secrets -n OWN",
				"update streampairs.media.streampair.dev -n NAMESPACE", "delete streampairs.media.streampair.dev -n NAMESPACE",
				"create pods -n NAMESPACE", "create pods --subresource=exec -n NAMESPACE", "update leases.coordination.k8s.io -n NAMESPACE",
				"create clusterroles.rbac.authorization.k8s.io", "get customresourcedefinitions.apiextensions.k8s.io", "impersonate users", "patch nodes",
			},
		},
		"in one namespace": {
			values: "watchNamespaces: [NAMESPACE]",
			allowed: []string{
				"list streampairs.media.streampair.dev -n NAMESPACE", "get secrets -n NAMESPACE", "watch pods -n NAMESPACE",
				"patch deployments.apps -n NAMESPACE", "update leases.coordination.k8s.io -n OWN",
			},
			denied: []string{
				"list streampairs.media.streampair.dev -A", "get secrets -A", "get secrets -n OTHER", "get secrets -n OWN", "list secrets -n NAMESPACE",
				"list nodes", "get nodes", "create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			own, watched, other := cluster.Namespace(t), cluster.Namespace(t), cluster.Namespace(t)
			fill := strings.NewReplacer("NAMESPACE", watched, "OWN", own, "OTHER", other).Replace
			r, err := tryRender(t, fill(test.values), own)
			if err != nil {
				t.Fatal(err)
			}
			config := cluster.ServiceAccountConfig(t, own, "streampair-operator", toYAML(t, bound(r.objects)...))
			kubeconfig := cluster.KubeconfigOf(t, config)
			ask := func(question string) string {
				// can-i ends with 1 for no.
				out, _ := cluster.KubectlInput(t, "", append([]string{"--kubeconfig", kubeconfig, "auth", "can-i"}, strings.Fields(fill(question))...)...)
				return strings.TrimSpace(out)
			}
			for _, question := range test.allowed {
				if answer := ask(question); answer != "yes" {
					t.Errorf("may the operator %s? %q", question, answer)
				}
			}
			for _, question := range test.denied {
				if answer := ask(question); answer != "no" {
					t.Errorf("may the operator %s? %q", question, answer)
				}
			}
		})
	}
}

// TestAggregatedRoles: viewers and editors of a namespace get pairs, and no tokens by it.
func TestAggregatedRoles(t *testing.T) {
	cluster := kubetest.Start(t)
	ns := cluster.Namespace(t)
	r := render(t, "")
	manifests := toYAML(t, r.find("ClusterRole", "streampair-operator-view"), r.find("ClusterRole", "streampair-operator-edit"))
	if _, err := cluster.KubectlInput(t, manifests, "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Kubectl(t, "delete", "clusterrole", "streampair-operator-view", "streampair-operator-edit")
	})
	for user, role := range map[string]string{"viewer": "view", "editor": "edit"} {
		cluster.Kubectl(t, "create", "rolebinding", "-n", ns, user, "--clusterrole="+role, "--user="+user)
	}
	for _, test := range []struct{ user, verb, resource, answer string }{
		{"viewer", "get", "streampairs.media.streampair.dev", "yes"},
		{"viewer", "create", "streampairs.media.streampair.dev", "no"},
		{"viewer", "get", "secrets", "no"},
		{"editor", "watch", "streampairs.media.streampair.dev", "yes"},
		{"editor", "create", "streampairs.media.streampair.dev", "yes"},
		{"editor", "delete", "streampairs.media.streampair.dev", "yes"},
	} {
		t.Run(test.user+" "+test.verb+" "+test.resource, func(t *testing.T) {
			// The controller that aggregates roles needs a moment.
			eventually.Seen(t, eventually.Patience, "the answer "+test.answer, func() (string, bool) {
				out, _ := cluster.KubectlInput(t, "", "auth", "can-i", test.verb, test.resource, "-n", ns, "--as="+test.user)
				return out, strings.TrimSpace(out) == test.answer
			})
		})
	}
}

// bound returns the objects but for the role that is for people to bind: kubetest would
// give it to the operator.
func bound(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(object *unstructured.Unstructured) bool {
		name := object.GetName()
		return object.GetKind() == "ClusterRole" &&
			(strings.HasSuffix(name, "-metrics-reader") || strings.HasSuffix(name, "-view") || strings.HasSuffix(name, "-edit"))
	})
}

// installForeignKinds makes the API server know the kinds of others: of the Prometheus operator, and
// of the Gateway API. They take any content: what is in them is not checked here.
func installForeignKinds(t *testing.T, cluster *kubetest.Cluster) {
	t.Helper()
	const monitoring, gateway = "monitoring.coreos.com", "gateway.networking.k8s.io"
	for _, one := range []struct{ kind, plural, group string }{
		{"ServiceMonitor", "servicemonitors", monitoring}, {"PodMonitor", "podmonitors", monitoring},
		{"PrometheusRule", "prometheusrules", monitoring}, {"HTTPRoute", "httproutes", gateway},
	} {
		crd := strings.NewReplacer("KIND", one.kind, "PLURAL", one.plural, "GROUP", one.group, "SINGULAR", strings.ToLower(one.kind)).Replace(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: PLURAL.GROUP
  annotations: {api-approved.kubernetes.io: "unapproved, for a test"}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: KIND, listKind: KINDList, plural: PLURAL, singular: SINGULAR}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`)
		if _, err := cluster.KubectlInput(t, crd, "apply", "--server-side", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		name := one.plural + "." + one.group
		t.Cleanup(func() { cluster.Kubectl(t, "delete", "crd", name, "--wait=false") })
		cluster.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/"+name)
	}
}
