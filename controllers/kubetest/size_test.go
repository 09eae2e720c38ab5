package kubetest_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/objects"
)

// TestAPairWithTheLongestHistoryStaysSmall: a pair with every field, 50 events and 8 receivers. Each
// watcher of pairs gets and keeps the whole object.
func TestAPairWithTheLongestHistoryStaysSmall(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	admin, namespace := cluster.Client(t, nil), cluster.Namespace(t)
	text, err := os.ReadFile("../../config/samples/streampair-complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pair := &v1alpha1.StreamPair{}
	if err := yaml.Unmarshal([]byte(strings.Split(string(text), "\n---\n")[0]), pair); err != nil {
		t.Fatal(err)
	}
	pair.Namespace = namespace
	receiver := pair.Spec.Notifications[0]
	for _, name := range []string{"b", "c", "d", "e", "f", "g"} {
		receiver.Name = strings.Repeat(name, 63)
		pair.Spec.Notifications = append(pair.Spec.Notifications, receiver)
	}
	if err := admin.Create(t.Context(), pair); err != nil {
		t.Fatal(err)
	}

	status := longestStatus(pair)
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": tree}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	object.SetName(pair.Name)
	object.SetNamespace(namespace)
	err = admin.Status().Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(objects.FieldOwner), client.ForceOwnership)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(pair), object); err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) >= 32<<10 {
		t.Errorf("the object has %d bytes", len(stored))
	}
	t.Logf("%d bytes", len(stored))
}

// longestStatus returns a status of the pair with the longest history, and with messages of a usual
// length.
func longestStatus(pair *v1alpha1.StreamPair) *v1alpha1.StreamPairStatus {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	at := metav1.NewMicroTime(now.Add(time.Microsecond))
	reason := strings.Repeat("R", 64)
	status := &v1alpha1.StreamPairStatus{
		ObservedGeneration: 1, Operator: "streampair-system/streampair-operator", HistoryCompleteSince: &at,
		ActiveStream: &v1alpha1.ActiveStream{Role: v1alpha1.RolePrimary, StreamID: strings.Repeat("p", 128), StartTime: now, Reason: reason},
		LastSwitch:   &v1alpha1.Switch{From: v1alpha1.RoleBackup, To: v1alpha1.RolePrimary, Reason: reason, Time: now},
	}
	for range 50 {
		status.History = append(status.History, v1alpha1.HistoryEntry{
			Number: 1 << 40, Kind: v1alpha1.HistoryRedundancyLost, Time: at, Leg: v1alpha1.RolePrimary, Reason: reason, GapMilliseconds: 1 << 35,
		})
	}
	for _, n := range pair.Spec.Notifications {
		status.Notifications = append(status.Notifications, v1alpha1.NotificationStatus{
			Name: n.Name, Since: &now, Position: 1 << 40, LastDeliveredID: string(pair.UID) + "-1795377600000000-RedundancyLost-Primary", LastDeliveryTime: &now,
			LastStatusCode: 503, Undelivered: 1 << 40,
		})
	}
	for _, name := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionOnAir, v1alpha1.ConditionPrimaryLive, v1alpha1.ConditionBackupLive,
		v1alpha1.ConditionRedundant, v1alpha1.ConditionConverged, v1alpha1.ConditionExposed, v1alpha1.ConditionProgressing,
	} {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: name, Status: metav1.ConditionFalse, Reason: "PublisherConflict", Message: strings.Repeat("m", 300), LastTransitionTime: now,
		})
	}
	return status
}
