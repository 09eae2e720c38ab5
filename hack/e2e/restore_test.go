package e2e_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// A user who deletes a pair with --cascade=orphan and makes it again
// keeps the pods, keys and addresses. No viewer loses the picture.
func TestThePairIsOrphanedAndMadeAgain(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		pair, keys, play := s.pair(t, pairName), &corev1.Secret{}, &corev1.Service{}
		read := func(name string, object client.Object) {
			t.Helper()
			s.must(s.kube.Get(t.Context(), client.ObjectKey{Namespace: pair.Namespace, Name: name}, object))
		}
		read(objects.KeysSecretName(pairName), keys)
		read(objects.PlayServiceName(pairName), play)
		again := &v1alpha1.StreamPair{
			ObjectMeta: metav1.ObjectMeta{Namespace: pair.Namespace, Name: pairName, Labels: pair.Labels, Annotations: pair.Annotations},
			Spec:       pair.Spec,
		}
		s.do("delete the pair with --cascade=orphan, and make it again", func() error {
			if err := s.kube.Delete(t.Context(), pair, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
				return err
			}
			s.eventually("the pair is gone", func() bool {
				return apierrors.IsNotFound(s.kube.Get(t.Context(), client.ObjectKeyFromObject(pair), &v1alpha1.StreamPair{}))
			})
			return s.kube.Create(t.Context(), again)
		})
		made := time.Now()
		s.waitFor(t, whole...)
		const fault = "pair orphaned and made again"
		s.took(fault, "status right", returned, time.Since(made))
		s.observe(aftermath)
		s.figure(fault, "all viewers", measure.Goal{}, s.viewers()...)
		for role, before := range s.pods {
			if pod, ok := s.pod(t, role); !ok || pod.UID != before.UID {
				t.Errorf("the %s's pod was replaced", role)
			}
		}
		token, address := keys.Data[v1alpha1.SecretKeyPublishToken], play.Spec
		read(objects.KeysSecretName(pairName), keys)
		read(objects.PlayServiceName(pairName), play)
		if string(token) != string(keys.Data[v1alpha1.SecretKeyPublishToken]) {
			t.Error("the publish token changed")
		}
		if play.Spec.ClusterIP != address.ClusterIP || play.Spec.Ports[0].NodePort != address.Ports[0].NodePort {
			t.Errorf("cluster IP %s, node port %d; before %s and %d", play.Spec.ClusterIP, play.Spec.Ports[0].NodePort,
				address.ClusterIP, address.Ports[0].NodePort)
		}
		if !metav1.IsControlledBy(keys, again) || !metav1.IsControlledBy(play, again) {
			t.Error("the objects are not the new pair's")
		}
		// The generation has gone back. The pods must still follow the new pair.
		s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.Selection(s.standby) })
		s.eventually("the leg that was selected is on air", func() bool {
			on := s.pair(t, pairName).Status.ActiveStream
			return on != nil && on.Role == s.standby
		})
		s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.SelectAuto })
		s.waitFor(t, "Converged=True")
	})
}

// backedUp returns lists of a pair's kinds, in the order in which Velero restores them.
func backedUp() []client.ObjectList {
	return []client.ObjectList{
		&corev1.ServiceAccountList{}, &corev1.SecretList{}, &corev1.ConfigMapList{}, &corev1.PodList{}, &appsv1.ReplicaSetList{},
		&corev1.ServiceList{}, &appsv1.DeploymentList{}, &networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{},
		&v1alpha1.StreamPairList{},
	}
}

// A user who restores a whole namespace from a backup keeps the tokens and the node ports.
func TestTheNamespaceIsRestored(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		var backup []client.Object
		for _, list := range backedUp() {
			s.must(s.kube.List(t.Context(), list, client.InNamespace(options.namespace)))
			s.must(meta.EachListItem(list, func(o runtime.Object) error {
				backup = append(backup, o.(client.Object))
				return nil
			}))
		}
		before, keys := s.pair(t, pairName), s.keys()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: options.namespace}}
		s.do("the namespace is deleted", func() error { return s.kube.Delete(t.Context(), namespace) })
		s.eventually("the namespace is gone", func() bool {
			return apierrors.IsNotFound(s.kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), &corev1.Namespace{}))
		})
		s.timeline.say("restoring %d objects", len(backup))
		began := time.Now()
		s.must(s.kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: options.namespace}}))
		for _, o := range backup {
			s.make(t, kubetest.Restored(o)) // Kubernetes makes some objects in each namespace, which exist already
		}
		const fault = "namespace deleted and restored"
		s.waitFor(t, "Ready=True")
		s.took(fault, "ready", returned, time.Since(began))
		if !slices.Equal(publishURLs(s.pair(t, pairName)), publishURLs(before)) {
			s.timeline.say("the addresses are others")
			s.unplug()
			s.plugIn(t)
		}
		s.waitFor(t, whole...)
		s.took(fault, "both legs on air", returned, time.Since(began))
		s.took(fault, "both legs on air, from the deletion on", 2*time.Minute, time.Since(s.fault))
		s.openPage(s.pair(t, pairName).Status.ActiveStream.Role)
		if after := s.keys(); !maps.EqualFunc(keys, after, bytes.Equal) {
			t.Error("the tokens are others")
		}
	})
}

// publishURLs returns the publish URLs of both legs.
func publishURLs(pair *v1alpha1.StreamPair) (urls []string) {
	for _, leg := range pair.Status.Ingest {
		urls = append(urls, leg.RTMP)
	}
	return urls
}

// keys returns the data of the pair's Secret.
func (s *faultRun) keys() map[string][]byte {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.must(s.kube.Get(s.t.Context(), client.ObjectKey{Namespace: options.namespace, Name: objects.KeysSecretName(pairName)}, secret))
	return secret.Data
}
