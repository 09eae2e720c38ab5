package charttest

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A label may be asked for in several places, and may be one that the chart sets itself. The
// parser of these tests refuses a key that stands twice.
func TestCommonLabelsReachEverythingOnce(t *testing.T) {
	r := render(t, `
commonLabels: {example.com/owner: video, example.com/team: all, app.kubernetes.io/name: other, app.kubernetes.io/version: "9", helm.sh/chart: x}
podLabels: {example.com/team: pods, app.kubernetes.io/instance: other, app.kubernetes.io/component: x}
metrics:
  serviceMonitor: {enabled: true, labels: {example.com/owner: monitoring, app.kubernetes.io/managed-by: x}}
  rules: {enabled: true, labels: {example.com/owner: monitoring}}
networkPolicy: {enabled: true}
replicas: 2
`)
	kinds := map[string]bool{}
	for _, object := range append(r.objects, r.hooks...) {
		kinds[object.GetKind()] = true
		labels := object.GetLabels()
		owner := "video"
		switch object.GetKind() {
		case "ServiceMonitor", "PodMonitor", "PrometheusRule":
			owner = "monitoring"
		}
		if labels["example.com/owner"] != owner {
			t.Errorf("%s %s has the labels %v", object.GetKind(), object.GetName(), labels)
		}
		if name := labels["app.kubernetes.io/name"]; name != "streampair" && object.GetKind() != "CustomResourceDefinition" {
			t.Errorf("%s %s has the name %q", object.GetKind(), object.GetName(), name)
		}
		template, found, err := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
		if err != nil {
			t.Fatal(err)
		}
		if found && (template["example.com/owner"] != "video" || template["example.com/team"] != "pods" || template["app.kubernetes.io/instance"] != release) {
			t.Errorf("%s %s: its pods have the labels %v", object.GetKind(), object.GetName(), template)
		}
	}
	for _, kind := range []string{"Deployment", "CustomResourceDefinition", "Pod", "ServiceMonitor", "PrometheusRule"} {
		if !kinds[kind] {
			t.Errorf("no %s is rendered", kind)
		}
	}
}
