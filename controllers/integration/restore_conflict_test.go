package integration_test

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

// A user or another program may have an object with a name that the pair needs.
func TestWhatIsNoOrphanIsNotAdopted(t *testing.T) {
	for _, test := range []struct {
		name   string
		object client.Object
		change func(client.Object)
		why    string
	}{
		{"a Service with another controller", &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "sunday-play"}}, func(o client.Object) {
			yes := true
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: o.GetNamespace(), UID: "none", Controller: &yes}})
		}, ""},
		{"a Service that is being deleted", &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "sunday-play"}}, nil, "it is being deleted"},
		{"a ConfigMap of another pair", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sunday-config"}}, func(o client.Object) {
			o.GetLabels()[v1alpha1.LabelPair] = "monday"
		}, "it has no label media.streampair.dev/pair=sunday"},
		{"a ConfigMap without our labels", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sunday-config"}}, func(o client.Object) {
			o.SetLabels(nil)
		}, "it has no label"},
		{"a Deployment of the other leg", &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "sunday-backup"}}, func(o client.Object) {
			o.GetLabels()[v1alpha1.LabelRole] = "primary"
		}, "it has no label media.streampair.dev/role=backup"},
		{"a NetworkPolicy that the operator has not applied", &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "sunday"}}, func(o client.Object) {
			o.SetAnnotations(nil)
		}, "it has no annotation media.streampair.dev/applied"},
		{"a Secret that the operator has not applied", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sunday-keys"}}, func(o client.Object) {
			delete(o.GetAnnotations(), objects.AnnotationApplied)
		}, "it has no annotation media.streampair.dev/applied"},
		{"a Secret with a malformed token", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sunday-keys"}}, func(o client.Object) {
			o.(*corev1.Secret).Data[v1alpha1.SecretKeyPublishToken] = []byte("a b")
		}, "its key publishToken is malformed"},
		{"a Secret without a token", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sunday-keys"}}, func(o client.Object) {
			delete(o.(*corev1.Secret).Data, v1alpha1.SecretKeyClusterToken)
		}, "its key clusterToken is missing"},
		{"a Secret with half a certificate", &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sunday-keys"}}, func(o client.Object) {
			delete(o.(*corev1.Secret).Data, v1alpha1.SecretKeyControlKey)
		}, "its key control.crt is malformed"},
		{"an immutable ConfigMap", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "sunday-config"}}, func(o client.Object) {
			yes := true
			o.(*corev1.ConfigMap).Immutable = &yes
		}, "it is immutable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.create("sunday", nil)
			eventually.True(w.t, "all objects", func() bool { return len(w.owned("sunday")) == len(sundays) })
			again := w.orphan()
			w.get(test.object.GetName(), test.object)
			if test.change != nil {
				test.change(test.object)
				w.must(w.admin.Update(t.Context(), test.object))
			} else {
				patched(w, test.object, func() { test.object.SetFinalizers([]string{"example.com/stay"}) })
				w.must(w.admin.Delete(t.Context(), test.object))
				t.Cleanup(func() {
					patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
					w.must(w.admin.Patch(context.Background(), test.object, patch))
				})
			}
			w.get(test.object.GetName(), test.object)
			version := test.object.GetResourceVersion()
			w.must(w.admin.Create(t.Context(), again))
			if test.why == "" {
				// The garbage collector deletes the object, because its owner does not exist.
				eventually.True(w.t, "the object is the pair's own", func() bool { return w.allOwned(again) })
				return
			}
			var message string
			eventually.True(w.t, "the condition tells why", func() bool {
				for _, c := range w.pair("sunday").Status.Conditions {
					if c.Type == "Ready" && c.Reason == v1alpha1.ReasonNameConflict && strings.Contains(c.Message, test.why) {
						message = c.Message
					}
				}
				return message != ""
			})
			t.Log(message)
			isSecret := test.object.GetName() == "sunday-keys"
			if isSecret != strings.Contains(message, "Before you delete Secret sunday-keys, keep a copy") {
				t.Errorf("the message warns wrongly of deleting the tokens: %s", message)
			}
			w.waitUntilQuiet()
			if w.get(test.object.GetName(), test.object); test.object.GetResourceVersion() != version {
				t.Error("the object was written to")
			}
			for name, o := range w.everything() {
				_, same := strings.CutSuffix(name, "/"+test.object.GetName())
				mounted := isSecret || test.object.GetName() == "sunday-config"
				waits := mounted && strings.HasPrefix(name, "Deployment/")
				if adopted := metav1.IsControlledBy(o, again); !same && adopted == waits {
					t.Errorf("%s: adopted %v", name, adopted)
				}
			}
		})
	}
}
