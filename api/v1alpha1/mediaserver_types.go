package v1alpha1

import corev1 "k8s.io/api/core/v1"

// AntiAffinity says how hard the two legs are kept on different nodes.
//
// +kubebuilder:validation:Enum=Preferred;Required;None
type AntiAffinity string

// The values of MediaServer.AntiAffinity.
const (
	// AntiAffinityPreferred puts them on one node rather than one of them on none.
	AntiAffinityPreferred AntiAffinity = "Preferred"
	// AntiAffinityRequired lets the second one wait for another node.
	AntiAffinityRequired AntiAffinity = "Required"
	// AntiAffinityNone lets them stand anywhere.
	AntiAffinityNone AntiAffinity = "None"
)

// UpdatePolicy says when changes that the operator brings are rolled out.
//
// +kubebuilder:validation:Enum=WhenIdle;Auto
type UpdatePolicy string

// The values of MediaServer.UpdatePolicy.
const (
	// UpdateWhenIdle waits until nobody publishes or watches.
	UpdateWhenIdle UpdatePolicy = "WhenIdle"
	// UpdateAuto rolls them out at once, one leg after the other.
	UpdateAuto UpdatePolicy = "Auto"
)

// EgressPolicy says what the media pods may reach.
//
// +kubebuilder:validation:Enum=Unrestricted;Restricted
type EgressPolicy string

// The values of MediaServer.Egress.
const (
	// EgressUnrestricted lets them reach anything.
	EgressUnrestricted EgressPolicy = "Unrestricted"
	// EgressRestricted lets them reach name servers and each other.
	EgressRestricted EgressPolicy = "Restricted"
)

// MediaServer is about the two media pods.
type MediaServer struct {
	// image of the media server. Default: the operator's own release. An operator allows
	// images of your own only if it was told to.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@-]*$')",message="image must be an image reference, such as registry.example.com/streampair-mediaserver:1.0"
	Image string `json:"image,omitempty"`

	// imagePullSecrets name Secrets of the pair's namespace for pulling the image, at most
	// 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(s, s.name != '')",message="each of imagePullSecrets must have the name of a Secret"
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// resources of each media pod. Default: requests 100m CPU and 128Mi memory, memory
	// limit 512Mi, no CPU limit: a throttled media server stutters. A memory limit of 0
	// means none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.claims)",message="resources.claims is not supported: a media server uses no devices",fieldPath=".claims"
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// antiAffinity keeps the two legs on different nodes, and in different zones where
	// there are any, so that the loss of one takes one leg only. Preferred: on one node
	// rather than not at all. Required: on different nodes or not at all. None: anywhere.
	// The condition Redundant says how it came out.
	// +optional
	// +kubebuilder:default=Preferred
	AntiAffinity AntiAffinity `json:"antiAffinity,omitempty"`

	// nodeSelector of the media pods: labels that their nodes must have.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations of the media pods, at most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// priorityClassName of the media pods. Default: the cluster's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="priorityClassName must be the name of a PriorityClass: lower case letters, digits, '-' and '.', starting and ending with a letter or digit"
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// drainTimeoutSeconds is how long, in seconds, an ending pod keeps taking its encoder's
	// stream while the other leg has none, so that a rollout or a drained node does not
	// end the programme. 0 to 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// nodeLossTolerationSeconds is how long, in seconds, a pod stays bound to a node that
	// does not answer, before another one is started elsewhere. It begins when Kubernetes
	// takes note of the loss, some 50 seconds after it. The other leg plays meanwhile. 0 to
	// 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	NodeLossTolerationSeconds *int32 `json:"nodeLossTolerationSeconds,omitempty"`

	// updatePolicy says when a change that the operator brings, such as the image of its
	// new release, replaces the media pods. WhenIdle waits until nobody publishes or
	// watches; the condition Progressing says so. Auto replaces one leg after the other at
	// once. Changes of this spec do so in either case.
	// +optional
	// +kubebuilder:default=WhenIdle
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`

	// egress says which connections the pair's NetworkPolicy lets the media pods open.
	// Unrestricted, the default: any. Restricted: to the cluster's name servers and to the
	// other pod of the pair only; the media servers open no others. Answers to encoders and
	// viewers pass in either case. A network plugin that does not enforce NetworkPolicy
	// ignores this field.
	//
	// Name servers are known by the label k8s-app (kube-dns, coredns, node-local-dns), by
	// OpenShift's namespace, by a link-local address, or as the ones that the operator
	// itself uses. For others, add a NetworkPolicy of your own: policies add up.
	// +optional
	Egress EgressPolicy `json:"egress,omitempty"`

	// iceServers are STUN and TURN servers told to browsers, at most 8. Few need any: the
	// media server's own address is public to its viewers, and media falls back to TCP.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ICEServers []ICEServer `json:"iceServers,omitempty"`
}

// ICEServer is a STUN or TURN server, or several with the same credential.
type ICEServer struct {
	// urls of the server, at most 8. They begin with stun:, stuns:, turn: or turns:, such
	// as turns:turn.example.com:443?transport=tcp.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(stun|stuns|turn|turns):[!-~]+$')",message="each URL must begin with stun:, stuns:, turn: or turns:, such as turn:turn.example.com:3478"
	URLs []string `json:"urls,omitempty"`

	// credentialSecretRef names a Secret with the keys username and credential.
	// +optional
	CredentialSecretRef *SecretReference `json:"credentialSecretRef,omitempty"`
}
