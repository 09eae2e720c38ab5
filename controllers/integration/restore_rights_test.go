package integration_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/hack/eventually"
)

// On OpenShift the API server only lets a user set an owner who may delete the object.
func TestTheConditionNamesTheRightThatAnAdoptionNeeds(t *testing.T) {
	role, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(w *world) {
		w.operator = "system:serviceaccount:" + w.namespace + ":operator"
		w.config = w.cluster.ServiceAccountConfig(t, w.namespace, "operator",
			strings.Replace(string(role), "name: streampair-operator", "name: "+w.namespace+"-operator", 1))
	})
	w.create("sunday", nil)
	eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
	again := w.orphan()
	w.must(w.admin.Create(t.Context(), again))
	w.waitFor("sunday", "Ready=False/ApplyFailed", "Exposed=True/ClusterOnly")
	message := readyMessage(w.pair("sunday"))
	t.Log(message)
	for _, want := range []string{
		"Secret sunday-keys cannot be adopted", "delete secrets", "delete deployments.apps", "delete networkpolicies.networking.k8s.io",
		"delete poddisruptionbudgets.policy", "delete serviceaccounts", "delete configmaps", "rbac.adopt=true",
	} {
		if !strings.Contains(message, want) {
			t.Errorf("the condition does not say %q", want)
		}
	}
	var kinds []string
	for name, o := range w.everything() {
		if metav1.IsControlledBy(o, again) {
			kinds = append(kinds, strings.Split(name, "/")[0])
		}
	}
	slices.Sort(kinds)
	if kinds = slices.Compact(kinds); !slices.Equal(kinds, []string{"Service"}) { // the role allows to delete Services
		t.Errorf("adopted %v", kinds)
	}

	w.cluster.ServiceAccountConfig(t, w.namespace, "operator", fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: adopt, namespace: %s}
rules:
  - {apiGroups: [""], resources: [configmaps, secrets, serviceaccounts], verbs: [delete]}
  - {apiGroups: [apps], resources: [deployments], verbs: [delete]}
  - {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [delete]}
  - {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [delete]}
`, w.namespace))
	eventually.True(w.t, "all objects the new pair's", func() bool { return w.allOwned(again) })
	w.waitFor("sunday", "Ready=False/PodsNotReady")
}
