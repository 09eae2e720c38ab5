package controllers

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// ObjectSettings are the operator's own, from its flags: what a pair's objects depend on
// beside the pair.
type ObjectSettings struct {
	// DefaultImage is the media server's image of pairs that name none, or may not.
	DefaultImage string
	// Version is the operator's own. A default image of this tag is of the same release.
	Version string
	// AllowPodImages lets spec.mediaServer.image choose. Default no: whoever may write a
	// StreamPair could run any image.
	AllowPodImages bool
	// MaxViewers is the most viewers of one media pod at a time; 0: the media server's
	// own default.
	MaxViewers int
	// OperatorNamespace and OperatorLabels select the operator's pods, the only ones that
	// may reach the command port. Without namespace (an operator outside the cluster) the
	// NetworkPolicy leaves the command port to its token and certificate.
	OperatorNamespace string
	OperatorLabels    map[string]string
	// MetricsNamespaces are those whose pods may reach the port with the metrics; none:
	// anybody may. The kubelet always may.
	MetricsNamespaces []string
	// NameServers are those that the operator uses, which media pods use too.
	NameServers []netip.Addr
	// ClusterChoosesUser leaves the ids of user and groups out of the pods, for OpenShift,
	// which assigns them and refuses others.
	ClusterChoosesUser bool
}

// An Object is one object of a pair, as the operator applies it.
type Object struct {
	Kind, Name string
	Config     runtime.ApplyConfiguration
	meta       *metav1ac.ObjectMetaApplyConfiguration
}

// SetUID has the apply refused unless it meets the object of that UID: nothing foreign,
// and nothing that was deleted meanwhile, is written to.
func (o Object) SetUID(uid types.UID) { o.meta.UID = &uid }

// An ObjectKey names an object in the pair's namespace.
type ObjectKey struct{ Kind, Name string }

// Key returns the object's key.
func (o Object) Key() ObjectKey { return ObjectKey{Kind: o.Kind, Name: o.Name} }

// Kinds of a pair's objects.
const (
	KindConfigMap           = "ConfigMap"
	KindDeployment          = "Deployment"
	KindNetworkPolicy       = "NetworkPolicy"
	KindPodDisruptionBudget = "PodDisruptionBudget"
	KindSecret              = "Secret"
	KindService             = "Service"
	KindServiceAccount      = "ServiceAccount"
)

// Objects returns what the pair owns but the Secret (see [KeysObject]), in the order in
// which it is to be applied: what a pod needs comes before the Deployments, and the
// primary before the backup. It is pure, and the same pair gives the same objects.
func Objects(pair *v1alpha1.StreamPair, s ObjectSettings) []Object {
	pair = withDefaults(pair)
	objects := []Object{
		serviceAccount(pair),
		configMap(pair),
		networkPolicy(pair, s),
		podDisruptionBudget(pair),
	}
	objects = append(objects, services(pair)...)
	for _, role := range Roles() {
		objects = append(objects, deployment(pair, role, s))
	}
	return objects
}

// Obsolete returns what the pair may own from an earlier spec and no longer needs.
func Obsolete(pair *v1alpha1.StreamPair) []ObjectKey {
	if splitsMedia(withDefaults(pair).Spec.Exposure.WebRTC) {
		return nil
	}
	var keys []ObjectKey
	for _, role := range Roles() {
		keys = append(keys, ObjectKey{KindService, MediaTCPServiceName(pair.Name, role)})
	}
	return keys
}

// withDefaults spares the rest of the package to think of what an API server with an
// older CustomResourceDefinition would leave out.
func withDefaults(pair *v1alpha1.StreamPair) *v1alpha1.StreamPair {
	pair = pair.DeepCopy()
	pair.Default()
	return pair
}

// ownerReference makes the pair the one controller of an object: deleting the pair
// deletes it, in the foreground too.
func ownerReference(pair *v1alpha1.StreamPair) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("StreamPair").
		WithName(pair.Name).
		WithUID(pair.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}

// owned completes the metadata of an object.
func owned(pair *v1alpha1.StreamPair, kind string, config runtime.ApplyConfiguration,
	meta *metav1ac.ObjectMetaApplyConfiguration, labels map[string]string,
) Object {
	meta.Labels = labels
	meta.OwnerReferences = []metav1ac.OwnerReferenceApplyConfiguration{*ownerReference(pair)}
	return Object{Kind: kind, Name: *meta.Name, Config: config, meta: meta}
}
