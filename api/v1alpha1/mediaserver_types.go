package v1alpha1

import corev1 "k8s.io/api/core/v1"

// AntiAffinity says how hard the two legs are kept on different nodes.
//
// +kubebuilder:validation:Enum=Preferred;Required;None
type AntiAffinity string

// The values of MediaServer.AntiAffinity.
const (
	AntiAffinityPreferred AntiAffinity = "Preferred"
	AntiAffinityRequired  AntiAffinity = "Required"
	AntiAffinityNone      AntiAffinity = "None"
)

// UpdatePolicy says when changes that the operator brings are rolled out.
//
// +kubebuilder:validation:Enum=WhenIdle;Auto
type UpdatePolicy string

// The values of MediaServer.UpdatePolicy.
const (
	UpdateWhenIdle UpdatePolicy = "WhenIdle"
	UpdateAuto     UpdatePolicy = "Auto"
)

// MediaServer is about the two media pods.
type MediaServer struct {
	// image of the media server. Default: the operator's own release.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// imagePullSecrets name Secrets of the pair's namespace for pulling the image.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// resources of each media pod. Default: requests 100m CPU and 128Mi memory, memory
	// limit 512Mi, no CPU limit.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// antiAffinity keeps the two legs on different nodes: Preferred where possible,
	// Required or not at all started, None not at all.
	// +optional
	// +kubebuilder:default=Preferred
	AntiAffinity AntiAffinity `json:"antiAffinity,omitempty"`

	// nodeSelector of the media pods.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations of the media pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// priorityClassName of the media pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// drainTimeoutSeconds is how long an ending pod keeps taking its encoder's stream
	// while the other leg has none. 0 to 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// nodeLossTolerationSeconds is how long a pod stays bound to a node that does not
	// answer. 0 to 3600.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	NodeLossTolerationSeconds *int32 `json:"nodeLossTolerationSeconds,omitempty"`

	// updatePolicy: with WhenIdle a change that the operator brings (a new default
	// image) waits until nobody publishes or watches; Auto rolls it one leg at a time.
	// Changes of this spec roll at once in either case.
	// +optional
	// +kubebuilder:default=WhenIdle
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`

	// iceServers are STUN and TURN servers told to browsers. Few need any: the media
	// server's own address is public to its viewers, and media falls back to TCP.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ICEServers []ICEServer `json:"iceServers,omitempty"`
}

// ICEServer is a STUN or TURN server, or several with the same credential.
type ICEServer struct {
	// urls begin with stun:, stuns:, turn: or turns:.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^(stun|stuns|turn|turns):[^\s]+$`
	URLs []string `json:"urls,omitempty"`

	// credentialSecretRef names a Secret with the keys username and credential.
	// +optional
	CredentialSecretRef *SecretReference `json:"credentialSecretRef,omitempty"`
}
