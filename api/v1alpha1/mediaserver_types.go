package v1alpha1

import corev1 "k8s.io/api/core/v1"

// AntiAffinity says how strictly the two legs are kept on different nodes.
//
// +kubebuilder:validation:Enum=Preferred;Required;None
type AntiAffinity string

// The values of MediaServer.AntiAffinity.
const (
	// AntiAffinityPreferred puts both legs on one node if there is no second node.
	AntiAffinityPreferred AntiAffinity = "Preferred"
	// AntiAffinityRequired makes the second leg wait for another node.
	AntiAffinityRequired AntiAffinity = "Required"
	// AntiAffinityNone lets both legs run anywhere.
	AntiAffinityNone AntiAffinity = "None"
)

// UpdatePolicy says when changes by the operator are rolled out.
//
// +kubebuilder:validation:Enum=WhenIdle;Auto
type UpdatePolicy string

// The values of MediaServer.UpdatePolicy.
const (
	// UpdateWhenIdle waits until nobody publishes or watches.
	UpdateWhenIdle UpdatePolicy = "WhenIdle"
	// UpdateAuto rolls the changes out at once, one leg after the other.
	UpdateAuto UpdatePolicy = "Auto"
)

// EgressPolicy says what the media pods may reach.
//
// +kubebuilder:validation:Enum=Unrestricted;Restricted
type EgressPolicy string

// The values of MediaServer.Egress.
const (
	// EgressUnrestricted lets the media pods reach anything.
	EgressUnrestricted EgressPolicy = "Unrestricted"
	// EgressRestricted lets the media pods reach name servers and each other.
	EgressRestricted EgressPolicy = "Restricted"
)

// MediaServer is about the two media pods.
type MediaServer struct {
	// image of the media server. Default: the image of the operator's own release. The
	// operator must allow images of your own (--allow-pod-images).
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

	// resources of each media pod. Default: requests 100m CPU and 128Mi memory, memory limit
	// 512Mi, or 640Mi if the operator's default image has ffmpeg. There is no CPU limit, because
	// a throttled media server stutters. A memory limit of 0 means no limit.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.claims)",message="resources.claims is not supported: a media server uses no devices",fieldPath=".claims"
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// antiAffinity keeps the two legs on different nodes, and in different zones if there
	// are zones. The loss of a node or zone then ends only one leg. Preferred: on one node
	// if there is no second node. Required: on different nodes, or the second leg does not
	// run. None: anywhere. The condition Redundant says whether the legs run on different
	// nodes.
	// +optional
	// +kubebuilder:default=Preferred
	AntiAffinity AntiAffinity `json:"antiAffinity,omitempty"`

	// nodeSelector of the media pods: labels that their nodes must have. kubernetes.io/os: linux
	// is added unless it is set.
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

	// podLabels are labels of the media pods. The operator must allow their keys
	// (--allowed-pod-metadata), because a label may lead the traffic of another Service to a
	// pod. By default the operator allows labels that keep meshes from injecting a sidecar,
	// such as sidecar.istio.io/inject: "false". A change replaces the media pods.
	// +optional
	PodLabels Labels `json:"podLabels,omitempty"`

	// podAnnotations are annotations of the media pods. The operator must allow their keys,
	// like the keys of podLabels. By default the operator also allows
	// karpenter.sh/do-not-disrupt and cluster-autoscaler.kubernetes.io/safe-to-evict. A
	// change replaces the media pods.
	// +optional
	PodAnnotations Annotations `json:"podAnnotations,omitempty"`

	// drainTimeoutSeconds is how long, in seconds, an ending pod continues to take its
	// encoder's stream while the other leg has no media. A rollout or a drained node thereby
	// does not end the programme. 0 to 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// nodeLossTolerationSeconds is how long, in seconds, a pod stays bound to a node that
	// does not answer. Then another pod is started elsewhere. The time begins when
	// Kubernetes notices the loss, some 50 seconds later. Meanwhile the other leg is played.
	// 0 to 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	NodeLossTolerationSeconds *int32 `json:"nodeLossTolerationSeconds,omitempty"`

	// updatePolicy says when a change by the operator, such as the image of its new release,
	// replaces the media pods. WhenIdle waits until nobody publishes or watches. The
	// condition Progressing says so. Auto begins at once, and replaces one leg after the
	// other. Changes of this spec always begin at once.
	// +optional
	// +kubebuilder:default=WhenIdle
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`

	// egress says which connections the pair's NetworkPolicy lets the media pods open.
	// Unrestricted, the default: all connections. Restricted: only connections to the
	// cluster's name servers and to the other pod of the pair. The media servers open no
	// other connections. Answers to encoders and viewers always pass. A network plugin that
	// does not enforce NetworkPolicy ignores this field.
	//
	// Name servers are known by the label k8s-app (kube-dns, coredns, node-local-dns), by
	// OpenShift's namespace, by a link-local address, or as the ones that the operator
	// itself uses. For other name servers, add a NetworkPolicy of your own. Policies add up.
	// +optional
	Egress EgressPolicy `json:"egress,omitempty"`

	// iceServers are STUN and TURN servers that browsers are told, at most 8. Few pairs need
	// one. The media server's own address is public to its viewers, and media falls back to
	// TCP.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ICEServers []ICEServer `json:"iceServers,omitempty"`
}

// ICEServer is a STUN or TURN server, or several with the same credential.
type ICEServer struct {
	// urls of the server, at most 8. They begin with stun:, stuns:, turn: or turns:, such
	// as turns:turn.example.com:443?transport=tcp. No slashes come before the host.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(stuns?:([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?|turns?:([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([?]transport=(udp|tcp))?)$') && !self.contains('..') && (!self.contains('[') || isIP(self.substring(self.indexOf('[') + 1, self.indexOf(']'))))",message="each URL must begin with stun:, stuns:, turn: or turns:, followed by a host, and a port if it is not the default, such as turn:turn.example.com:3478?transport=udp"
	URLs []string `json:"urls,omitempty"`

	// credentialSecretRef names a Secret with the keys username and credential.
	// +optional
	CredentialSecretRef *SecretReference `json:"credentialSecretRef,omitempty"`
}
