package orphans

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/controllers/objects"
)

func TestWhatOthersWroteOfASpecIsTakenOver(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(fields), Subresource: subresource}
	}
	service := &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
			entry("velero-server", metav1.ManagedFieldsOperationUpdate, "",
				`{"f:metadata":{"f:labels":{"f:velero.io/restore-name":{}}},"f:spec":{"f:clusterIP":{},"f:externalIPs":{},"f:ports":{"k:{\"port\":22,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{},"f:port":{}}}}}`),
			entry("cloud", metav1.ManagedFieldsOperationUpdate, "status", `{"f:status":{"f:loadBalancer":{}}}`),
			entry(objects.FieldOwner, metav1.ManagedFieldsOperationApply, "", `{"f:metadata":{"f:labels":{"f:media.streampair.dev/pair":{}}},"f:spec":{"f:type":{}}}`),
			entry("flux", metav1.ManagedFieldsOperationApply, "", `{"f:spec":{"f:sessionAffinity":{}}}`),
		}},
	}
	got, err := takenOver(objects.KindService, service, time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, e.Manager+" "+string(e.Operation)+" "+e.FieldsV1.GetRawString())
	}
	want := []string{
		`velero-server Update {"f:metadata":{"f:labels":{"f:velero.io/restore-name":{}}},"f:spec":{"f:clusterIP":{}}}`,
		`cloud Update {"f:status":{"f:loadBalancer":{}}}`,
		objects.FieldOwner + ` Apply {"f:metadata":{"f:labels":{"f:media.streampair.dev/pair":{}}},"f:spec":{"f:externalIPs":{},"f:ports":{"k:{\"port\":22,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{},"f:port":{}}},"f:sessionAffinity":{},"f:type":{}}}`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("managers (-want +got):\n%s", diff)
	}
}
