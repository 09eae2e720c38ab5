// Package observed has what a reconcile knows of a pair beside the
// pair itself. [Pair] has the objects and pods that exist. [Legs] is
// what the pods report of each leg. The package reads nothing itself.
package observed

import (
	"net/netip"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/orphans"
	"github.com/streampair/streampair/controllers/pods"
)

// A Pair is what a reconcile knows of a pair beside the pair itself.
type Pair struct {
	// Objects are those with a name that the pair needs, whether they are the pair's or not.
	Objects map[objects.Key]client.Object
	// Secret is the Secret with the name of the generated keys,
	// whether it is the pair's or not; nil: there is none.
	Secret *corev1.Secret
	// SecretExpires is when the Secret, which was read before,
	// has to be read again. Zero: it was read just now.
	SecretExpires time.Time
	// Pods are the media pods of each leg, including ending ones.
	Pods map[v1alpha1.Role][]Pod
	// Adopts says that the operator adopts orphans.
	Adopts bool
	// Turn says that the operator may update this pair now; see package rollout.
	Turn bool
	// Hosts are the addresses of load balancers that only have a name.
	Hosts map[string]Host
}

// A Pod is a media pod, with its last report.
type Pod struct {
	*corev1.Pod
	State pods.State
	// ControlAddress is the host:port of the pod's
	// command port. Empty: the pod has no address yet.
	ControlAddress string
	// NodeAddress is the address of the pod's node. It is empty unless a surface needs it.
	NodeAddress string
	// OtherNodeAddresses are the node's addresses of other families, such as IPv6 beside IPv4.
	OtherNodeAddresses []string
}

// A Host has the addresses of a host name, in a fixed order. It has none
// if the name does not resolve, or is being looked up for the first time.
type Host struct {
	Addresses []netip.Addr
	// Expires is when the name must be looked up again. Zero: the name
	// is being looked up, and the pair is hinted at when that is done.
	Expires time.Time
}

// Deployment returns the Deployment of a leg; nil: the pair has none.
func (o *Pair) Deployment(pair *v1alpha1.StreamPair, role v1alpha1.Role) *appsv1.Deployment {
	return ownedObject[*appsv1.Deployment](o, pair, objects.Key{Kind: objects.KindDeployment, Name: objects.DeploymentName(pair.Name, role)})
}

// Service returns the Service of that name; nil: the pair has none.
func (o *Pair) Service(pair *v1alpha1.StreamPair, name string) *corev1.Service {
	return ownedObject[*corev1.Service](o, pair, objects.Key{Kind: objects.KindService, Name: name})
}

// ownedObject returns the object of that key if the pair owns it or adopts it.
func ownedObject[T client.Object](o *Pair, pair *v1alpha1.StreamPair, key objects.Key) T {
	object, found := o.Objects[key].(T)
	if !found || !o.Ours(pair, key) {
		var none T
		return none
	}
	return object
}

// Ours reports whether the object of that key is the pair's, or an orphan that the pair adopts.
func (o *Pair) Ours(pair *v1alpha1.StreamPair, key objects.Key) bool {
	object := o.object(key)
	return objects.IsOwned(object, pair) || object != nil && o.Fault(pair, key) == ""
}

// object returns the object of that key; nil: there is none.
func (o *Pair) object(key objects.Key) client.Object {
	if key.Kind != objects.KindSecret {
		return o.Objects[key]
	}
	if o.Secret == nil {
		return nil
	}
	return o.Secret
}

// Fault returns why the object of that key, which exists and
// is not the pair's, is not adopted. Empty: it is adopted.
func (o *Pair) Fault(pair *v1alpha1.StreamPair, key objects.Key) string {
	switch fault := orphans.Fault(pair, key, o.object(key)); {
	case fault != "":
		return fault
	case !o.Adopts:
		return "it has no owner, and the operator may not adopt it (--adopt-orphans)"
	}
	return ""
}

// PodKey returns the key of a leg's media pod.
func PodKey(pair *v1alpha1.StreamPair, role v1alpha1.Role, pod *corev1.Pod) pods.Key {
	return pods.Key{Namespace: pair.Namespace, Pair: pair.Name, Role: role, UID: pod.UID}
}
