package v1alpha1

// ExposureType is the way a surface is reached from outside the cluster.
type ExposureType string

// The types of an exposure. HostPort exists for WebRTC only.
const (
	ExposureClusterIP    ExposureType = "ClusterIP"
	ExposureNodePort     ExposureType = "NodePort"
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	ExposureHostPort     ExposureType = "HostPort"
)

// Exposure says how each surface of the pair is reached from outside the cluster.
type Exposure struct {
	// http carries the player, WHIP, WHEP, HLS and events: TCP 5080 and 5443.
	// +optional
	// +kubebuilder:default={}
	HTTP ServiceExposure `json:"http,omitzero"`

	// rtmp carries encoders: TCP 1935 and 1936.
	// +optional
	// +kubebuilder:default={}
	RTMP ServiceExposure `json:"rtmp,omitzero"`

	// webrtc carries all media of browsers: UDP and TCP 8189.
	// +optional
	// +kubebuilder:default={}
	WebRTC WebRTCExposure `json:"webrtc,omitzero"`
}

// ServiceExposure is the exposure of a surface by Services.
//
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || (has(self.type) && self.type == 'LoadBalancer')",message="loadBalancer may be set only with type LoadBalancer"
type ServiceExposure struct {
	// type of the Services.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// externalAddresses are host or host:port under which each leg is reached. They win
	// over what the Services report.
	// +optional
	ExternalAddresses *LegAddresses `json:"externalAddresses,omitempty"`
}

// WebRTCExposure is the exposure of WebRTC media.
//
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || (has(self.type) && self.type == 'LoadBalancer')",message="loadBalancer may be set only with type LoadBalancer"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'HostPort') == has(self.hostPorts)",message="hostPorts must be set with type HostPort, and only then"
type WebRTCExposure struct {
	// type: HostPort uses a port of the node itself, which a namespace that enforces
	// the Pod Security level "restricted" or "baseline" refuses.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;HostPort
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// hostPorts are the node's ports, the same number on UDP and TCP. They differ, so
	// that both legs can stand on one node.
	// +optional
	HostPorts *HostPorts `json:"hostPorts,omitempty"`

	// externalAddresses are told to browsers as each leg's media addresses:
	// IP[:udpPort[:tcpPort]], IPv6 in brackets. They win over what the Services report.
	// +optional
	ExternalAddresses *LegAddresses `json:"externalAddresses,omitempty"`
}

// HostPorts are ports of the nodes, one for each leg.
//
// +kubebuilder:validation:XValidation:rule="self.primary != self.backup",message="hostPorts.primary and hostPorts.backup must differ"
type HostPorts struct {
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Primary int32 `json:"primary,omitempty"`
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Backup int32 `json:"backup,omitempty"`
}

// LegAddresses are addresses of a surface, by leg.
type LegAddresses struct {
	// primary has the addresses of the primary leg.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=300
	Primary []string `json:"primary,omitempty"`

	// backup has the addresses of the backup leg.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=300
	Backup []string `json:"backup,omitempty"`
}

// LoadBalancerExposure is what a Service of type LoadBalancer gets beside its ports.
type LoadBalancerExposure struct {
	// class is the Service's loadBalancerClass.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	Class string `json:"class,omitempty"`

	// annotations are added to the Service; clouds are steered by them.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// sourceRanges are the networks, in CIDR notation, from which it may be reached.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	SourceRanges []string `json:"sourceRanges,omitempty"`

	// mixedProtocol says that the load balancer takes UDP and TCP in one Service.
	// Without it each protocol gets a Service of its own.
	// +optional
	MixedProtocol bool `json:"mixedProtocol,omitempty"`
}
