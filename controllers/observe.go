package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// observe reads all that the decision and the status depend on. It notes in want
// what it finds out about the objects, also by a dry run. Only apply reads more:
// it asks the API server for an object's owner before it overwrites the object.
func (r *StreamPairReconciler) observe(ctx context.Context, pair *v1alpha1.StreamPair, m *memory, want *desired, now time.Time) (*observed.Pair, error) {
	seen := &observed.Pair{
		Objects: map[objects.Key]client.Object{}, Hosts: map[string]observed.Host{}, Adopts: !r.Settings.LeaveOrphans,
	}
	for _, key := range append(want.keys(), objects.Obsolete(pair)...) {
		object := objects.Empty(key.Kind)
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: key.Name}, object)
		switch {
		case err == nil:
			seen.Objects[key] = object
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read %s %s: %w", key.Kind, key.Name, err)
		}
	}
	if err := r.observeSecret(ctx, pair, m, seen, now); err != nil {
		return nil, err
	}
	if err := r.observePods(ctx, pair, seen); err != nil {
		return nil, err
	}
	r.observeHosts(pair, seen, now)
	if err := r.observeTurn(ctx, pair, seen); err != nil {
		return nil, err
	}
	want.compare(pair, seen)
	r.observeDryRuns(ctx, pair, want, seen)
	return seen, nil
}

// observeTurn notes whether the pair has a turn. The first call
// also finds out which rollouts the previous operator had begun.
func (r *StreamPairReconciler) observeTurn(ctx context.Context, pair *v1alpha1.StreamPair, seen *observed.Pair) error {
	if !r.turns.IsSeeded() {
		all := &v1alpha1.StreamPairList{}
		if err := r.Client.List(ctx, all); err != nil {
			return fmt.Errorf("list the pairs: %w", err)
		}
		r.turns.Seed(all.Items)
	}
	seen.Turn = r.turns.Has(client.ObjectKeyFromObject(pair))
	return nil
}

// secretReuse is for how long a Secret that was read is not read again. A starting
// operator reconciles each pair several times within seconds, as its pods connect.
const secretReuse = 5 * time.Second

// observeSecret asks the API server itself. A cache
// would have to list and watch everybody's Secrets.
func (r *StreamPairReconciler) observeSecret(ctx context.Context, pair *v1alpha1.StreamPair, m *memory, seen *observed.Pair, now time.Time) error {
	if m.secret != nil && now.Sub(m.secretRead) < secretReuse {
		seen.Secret, seen.SecretExpires = m.secret, m.secretRead.Add(secretReuse)
		return nil
	}
	m.secret = nil
	secret := &corev1.Secret{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: pair.Namespace, Name: objects.KeysSecretName(pair.Name)}, secret)
	switch {
	case err == nil:
		seen.Secret = secret
		if objects.IsOwned(secret, pair) && secret.DeletionTimestamp.IsZero() {
			m.secret, m.secretRead = secret, now
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read the pair's Secret: %w", err)
	}
	return nil
}

func (r *StreamPairReconciler) observePods(ctx context.Context, pair *v1alpha1.StreamPair, seen *observed.Pair) error {
	pods := &corev1.PodList{}
	if err := r.Client.List(ctx, pods, client.InNamespace(pair.Namespace), client.MatchingFields{podsByPair: pair.Name}); err != nil {
		return fmt.Errorf("list the media pods: %w", err)
	}
	seen.Pods = map[v1alpha1.Role][]observed.Pod{}
	for i := range pods.Items {
		pod := observed.Pod{Pod: &pods.Items[i]}
		for _, role := range objects.Roles() {
			if pod.Labels[v1alpha1.LabelRole] != objects.LegName(role) {
				continue
			}
			pod.State = r.Pods.State(observed.PodKey(pair, role, pod.Pod))
			if pod.Status.PodIP != "" {
				pod.ControlAddress = r.Settings.PodAddress(pod.Pod)
			}
			addresses, err := r.nodeAddresses(ctx, pair, pod.Pod)
			if err != nil {
				return err
			}
			if len(addresses) > 0 {
				pod.NodeAddress, pod.OtherNodeAddresses = addresses[0], addresses[1:]
			}
			seen.Pods[role] = append(seen.Pods[role], pod)
		}
	}
	return nil
}

// nodeAddresses returns the addresses at which the pod's node is
// reached, one of each family. The external address comes first,
// then the internal one, then the address that the pod reports.
func (r *StreamPairReconciler) nodeAddresses(ctx context.Context, pair *v1alpha1.StreamPair, pod *corev1.Pod) ([]string, error) {
	if pod.Spec.NodeName == "" || !addresses.UsesNodeAddress(pair) {
		return nil, nil
	}
	var candidates []string
	if !r.Settings.Namespaced {
		node := &corev1.Node{}
		if err := r.Client.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read node %s: %w", pod.Spec.NodeName, err)
		}
		for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
			for _, address := range node.Status.Addresses {
				if address.Type == kind {
					candidates = append(candidates, address.Address)
				}
			}
		}
	}
	candidates = append(candidates, pod.Status.HostIP)
	for _, ip := range pod.Status.HostIPs {
		candidates = append(candidates, ip.IP)
	}
	return addresses.OneOfEachFamily(candidates), nil
}

// observeHosts resolves the names of the load balancers for
// WebRTC media, because browsers are only given addresses.
func (r *StreamPairReconciler) observeHosts(pair *v1alpha1.StreamPair, seen *observed.Pair, now time.Time) {
	for _, role := range objects.Roles() {
		for _, name := range []string{objects.MediaServiceName(pair.Name, role), objects.MediaTCPServiceName(pair.Name, role)} {
			service := seen.Service(pair, name)
			if service == nil {
				continue
			}
			for _, ingress := range service.Status.LoadBalancer.Ingress {
				if ingress.IP == "" && ingress.Hostname != "" {
					seen.Hosts[ingress.Hostname] = r.hosts.Resolve(ingress.Hostname, client.ObjectKeyFromObject(pair), now)
				}
			}
		}
	}
}
