package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// An Observation is what a reconcile knows of a pair beside the pair itself.
type Observation struct {
	// Objects are those that bear a name the pair needs, the pair's or not.
	Objects map[ObjectKey]client.Object
	// Secret is the one with the generated keys, the pair's or not; nil: there is none.
	Secret *corev1.Secret
	// Pods are the media pods of each leg, ending ones too.
	Pods map[v1alpha1.Role][]ObservedPod
	// Turn says that the pair is among those that the operator updates now; see turns.
	Turn bool
	// Hosts are the addresses of load balancers that have a name only.
	Hosts map[string]ResolvedHost
}

// An ObservedPod is a media pod, with what it says itself.
type ObservedPod struct {
	*corev1.Pod
	State PodState
	// ControlAddress is host:port of its command port; empty: it has no address yet.
	ControlAddress string
	// NodeAddress is where the pod's node is reached; empty unless a surface needs it.
	NodeAddress string
}

func (o *Observation) deployment(pair *v1alpha1.StreamPair, role v1alpha1.Role) *appsv1.Deployment {
	return ownedObject[*appsv1.Deployment](o, pair, ObjectKey{KindDeployment, DeploymentName(pair.Name, role)})
}

func (o *Observation) service(pair *v1alpha1.StreamPair, name string) *corev1.Service {
	return ownedObject[*corev1.Service](o, pair, ObjectKey{KindService, name})
}

// observe reads all that the decision and the status depend on. Nothing else reads, but
// apply, which asks the API server whom an object belongs to before it writes over it.
func (r *StreamPairReconciler) observe(ctx context.Context, pair *v1alpha1.StreamPair, want *wanted, now time.Time) (*Observation, error) {
	seen := &Observation{Objects: map[ObjectKey]client.Object{}, Hosts: map[string]ResolvedHost{}}
	for _, key := range append(want.keys(), Obsolete(pair)...) {
		object := newObject(key.Kind)
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: key.Name}, object)
		switch {
		case err == nil:
			seen.Objects[key] = object
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read %s %s: %w", key.Kind, key.Name, err)
		}
	}
	if err := r.observeSecret(ctx, pair, seen); err != nil {
		return nil, err
	}
	if err := r.observePods(ctx, pair, seen); err != nil {
		return nil, err
	}
	r.observeHosts(pair, seen, now)
	if err := r.observeTurn(ctx, pair, seen); err != nil {
		return nil, err
	}
	return seen, nil
}

// observeTurn also finds out, the first time, which pairs the operator before this one had
// begun with.
func (r *StreamPairReconciler) observeTurn(ctx context.Context, pair *v1alpha1.StreamPair, seen *Observation) error {
	if !r.turns.isSeeded() {
		all := &v1alpha1.StreamPairList{}
		if err := r.Client.List(ctx, all); err != nil {
			return fmt.Errorf("list the pairs: %w", err)
		}
		r.turns.seed(all.Items)
	}
	seen.Turn = r.turns.has(client.ObjectKeyFromObject(pair))
	return nil
}

// observeSecret asks the API server itself: a cache would need to list and to watch the
// Secrets of everybody.
func (r *StreamPairReconciler) observeSecret(ctx context.Context, pair *v1alpha1.StreamPair, seen *Observation) error {
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: KeysSecretName(pair.Name)}, secret)
	switch {
	case err == nil:
		seen.Secret = secret
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read the pair's Secret: %w", err)
	}
	return nil
}

func (r *StreamPairReconciler) observePods(ctx context.Context, pair *v1alpha1.StreamPair, seen *Observation) error {
	pods := &corev1.PodList{}
	if err := r.Client.List(ctx, pods, client.InNamespace(pair.Namespace), client.MatchingFields{podsByPair: pair.Name}); err != nil {
		return fmt.Errorf("list the media pods: %w", err)
	}
	seen.Pods = map[v1alpha1.Role][]ObservedPod{}
	for i := range pods.Items {
		pod := ObservedPod{Pod: &pods.Items[i]}
		for _, role := range Roles() {
			if pod.Labels[v1alpha1.LabelRole] != LegName(role) {
				continue
			}
			pod.State = r.Pods.State(podKey(pair, role, pod.Pod))
			if pod.Status.PodIP != "" {
				pod.ControlAddress = r.Settings.PodAddress(pod.Pod)
			}
			address, err := r.nodeAddress(ctx, pair, pod.Pod)
			if err != nil {
				return err
			}
			pod.NodeAddress = address
			seen.Pods[role] = append(seen.Pods[role], pod)
		}
	}
	return nil
}

// nodeAddress returns where the pod's node is reached: its external address, else its
// internal one, else what the pod says of it.
func (r *StreamPairReconciler) nodeAddress(ctx context.Context, pair *v1alpha1.StreamPair, pod *corev1.Pod) (string, error) {
	if pod.Spec.NodeName == "" || !usesNodeAddress(pair) {
		return "", nil
	}
	if r.Settings.Namespaced {
		return pod.Status.HostIP, nil
	}
	node := &corev1.Node{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node)
	if apierrors.IsNotFound(err) {
		return pod.Status.HostIP, nil
	}
	if err != nil {
		return "", fmt.Errorf("read node %s: %w", pod.Spec.NodeName, err)
	}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		for _, address := range node.Status.Addresses {
			if address.Type == kind && address.Address != "" {
				return address.Address, nil
			}
		}
	}
	return pod.Status.HostIP, nil
}

// observeHosts resolves the names of the load balancers of WebRTC media: browsers are told
// addresses only.
func (r *StreamPairReconciler) observeHosts(pair *v1alpha1.StreamPair, seen *Observation, now time.Time) {
	for _, role := range Roles() {
		for _, name := range []string{MediaServiceName(pair.Name, role), MediaTCPServiceName(pair.Name, role)} {
			service := seen.service(pair, name)
			if service == nil {
				continue
			}
			for _, ingress := range service.Status.LoadBalancer.Ingress {
				if ingress.IP == "" && ingress.Hostname != "" {
					seen.Hosts[ingress.Hostname] = r.hosts.resolve(ingress.Hostname, client.ObjectKeyFromObject(pair), now)
				}
			}
		}
	}
}

func newObject(kind string) client.Object {
	switch kind {
	case KindConfigMap:
		return &corev1.ConfigMap{}
	case KindDeployment:
		return &appsv1.Deployment{}
	case KindNetworkPolicy:
		return &networkingv1.NetworkPolicy{}
	case KindPodDisruptionBudget:
		return &policyv1.PodDisruptionBudget{}
	case KindSecret:
		return &corev1.Secret{}
	case KindService:
		return &corev1.Service{}
	case KindServiceAccount:
		return &corev1.ServiceAccount{}
	}
	panic("no such kind among a pair's objects: " + kind)
}

func podKey(pair *v1alpha1.StreamPair, role v1alpha1.Role, pod *corev1.Pod) PodKey {
	return PodKey{Namespace: pair.Namespace, Pair: pair.Name, Role: role, UID: pod.UID}
}

// ownedObject returns the object of that key if it is the pair's.
func ownedObject[T client.Object](o *Observation, pair *v1alpha1.StreamPair, key ObjectKey) T {
	object, found := o.Objects[key].(T)
	if !found || !isOwned(object, pair) {
		var none T
		return none
	}
	return object
}
