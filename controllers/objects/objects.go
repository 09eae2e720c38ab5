// Package objects has everything that a pair owns in the cluster,
// from the pair's spec alone: names, labels, ports, and the objects
// as the operator applies them. It is pure. [Of] is where to start.
//
// The package does not know what exists in the cluster; see
// package drift. Package keys makes the pair's generated Secret.
package objects

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Settings are the operator's settings, from its flags.
// A pair's objects depend on them beside the pair.
type Settings struct {
	// DefaultImage is the media server's image of pairs
	// that name none, or that may not choose one.
	DefaultImage string
	// DefaultImageHasFFmpeg says that the default image has ffmpeg. Its pods get memory for ffmpeg
	// beside the default limit. Default: false.
	DefaultImageHasFFmpeg bool
	// Version is the operator's version. A default image with this tag is of the same release.
	Version string
	// AllowPodImages lets spec.mediaServer.image choose the image. Default: false,
	// because otherwise whoever may write a StreamPair could run any image.
	AllowPodImages bool
	// JWKSNetworks are the networks, in CIDR notation, of private addresses that media
	// pods may call for a JSON Web Key Set.
	JWKSNetworks []string
	// NoViewerReports turns off the reports of players on what their viewers see.
	NoViewerReports bool
	// MaxViewers is the limit of viewers of one media
	// pod at a time; 0: the media server's default.
	MaxViewers int
	// MaxEgressMegabits is what one media pod may send while joins and switches repeat
	// pictures, in Mbit/s; 0: the media server's default.
	MaxEgressMegabits int
	// OperatorNamespace and OperatorLabels select the operator's pods. No other pods may
	// reach the command port. The namespace is empty for an operator outside the cluster. The
	// NetworkPolicy then opens the command port, which its token and certificate protect.
	OperatorNamespace string
	OperatorLabels    map[string]string
	// MetricsNamespaces are the namespaces whose pods may reach the port
	// with the metrics. None: everybody may. The kubelet always may.
	MetricsNamespaces []string
	// NameServers are the name servers of the operator. Media pods use them too.
	NameServers []netip.Addr
	// CommonLabels are labels of every object of every pair, and of the pods.
	CommonLabels v1alpha1.Labels
	// ClusterChoosesUser leaves the ids of user and group out of
	// the pods. OpenShift assigns these ids and refuses others.
	ClusterChoosesUser bool
}

// An Object is one object of a pair, as the operator applies it.
type Object struct {
	Kind, Name string
	Config     runtime.ApplyConfiguration
	meta       *metav1ac.ObjectMetaApplyConfiguration
	// defaultOS says that the Deployment selects Linux nodes although the spec does not
	// say so. No hash covers this selector, and a pod without it is up to date. The
	// release that introduced the selector must not replace the pods of earlier releases.
	defaultOS bool
}

// SetUID makes the API server refuse the apply unless the existing
// object has this UID. The operator thereby writes to no object of
// others, and makes no object again that was deleted meanwhile.
func (o Object) SetUID(uid types.UID) { o.meta.UID = &uid }

// Annotate adds an annotation to the object.
func (o Object) Annotate(name, value string) { o.meta.WithAnnotations(map[string]string{name: value}) }

// Annotation returns the value of one of the object's annotations.
// It is empty if the object has no annotation of that name.
func (o Object) Annotation(name string) string { return o.meta.Annotations[name] }

// A Key identifies an object in the pair's namespace.
type Key struct{ Kind, Name string }

// Key returns the object's key.
func (o Object) Key() Key { return Key{Kind: o.Kind, Name: o.Name} }

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

// Of returns all objects of the pair except the Secret (see package keys), in the
// order in which they are applied. What a pod needs comes before the Deployments, and
// the primary before the backup. Of is pure: the same pair gives the same objects.
func Of(pair *v1alpha1.StreamPair, s Settings) []Object {
	pair = WithDefaults(pair)
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

// Obsolete returns the objects that the pair may own from an earlier spec and no longer needs.
func Obsolete(pair *v1alpha1.StreamPair) []Key {
	exposure := WithDefaults(pair).Spec.Exposure
	var keys []Key
	for _, role := range Roles() {
		if exposure.SRT == nil {
			keys = append(keys, Key{KindService, SRTServiceName(pair.Name, role)})
		}
		if !SplitsMedia(exposure.WebRTC) {
			keys = append(keys, Key{KindService, MediaTCPServiceName(pair.Name, role)})
		}
	}
	return keys
}

// WithDefaults returns a copy of the pair with all defaults. An API server with an older
// CustomResourceDefinition leaves some out. The rest of the package relies on them.
func WithDefaults(pair *v1alpha1.StreamPair) *v1alpha1.StreamPair {
	pair = pair.DeepCopy()
	pair.Default()
	return pair
}

// ownerReference makes the pair the only controller of an object.
// Deleting the pair deletes the object, in the foreground too.
func ownerReference(pair *v1alpha1.StreamPair) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("StreamPair").
		WithName(pair.Name).
		WithUID(pair.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}

// withLabels adds labels but overwrites none,
// because objects are selected by the existing ones.
func withLabels(labels map[string]string, more v1alpha1.Labels) map[string]string {
	for key, value := range more {
		if _, taken := labels[key]; !taken {
			labels[key] = string(value)
		}
	}
	return labels
}

// New returns an object of the pair with complete metadata: owner, name and labels.
func New(pair *v1alpha1.StreamPair, kind string, config runtime.ApplyConfiguration,
	meta *metav1ac.ObjectMetaApplyConfiguration, labels map[string]string,
) Object {
	meta.Labels = withLabels(labels, pair.Spec.ObjectLabels)
	meta.OwnerReferences = []metav1ac.OwnerReferenceApplyConfiguration{*ownerReference(pair)}
	return Object{Kind: kind, Name: *meta.Name, Config: config, meta: meta}
}

// String returns the object's kind and name, as kubectl accepts them.
func (k Key) String() string { return fmt.Sprintf("%s %s", k.Kind, k.Name) }

// Unstructured returns a copy of the object for one request. The client writes
// the answer into what it sent. The original is kept for the next request: an
// answer that is sent again would be refused for its resource version.
func (o Object) Unstructured() (*unstructured.Unstructured, error) {
	text, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Key(), err)
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &object.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	return object, nil
}

// IsOwned reports whether the pair owns the object. It
// does not own objects of a deleted pair of the same name.
func IsOwned(o client.Object, pair *v1alpha1.StreamPair) bool {
	return o != nil && !reflect.ValueOf(o).IsNil() && metav1.IsControlledBy(o, pair)
}
