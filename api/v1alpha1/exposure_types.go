package v1alpha1

// ExposureType is the way a surface is reached from outside the cluster.
type ExposureType string

// The types of an exposure. HostPort exists for WebRTC only.
const (
	// ExposureClusterIP: inside the cluster only, or from behind an Ingress or a Gateway.
	ExposureClusterIP ExposureType = "ClusterIP"
	// ExposureNodePort: a port of every node.
	ExposureNodePort ExposureType = "NodePort"
	// ExposureLoadBalancer: an address of the cloud's.
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	// ExposureHostPort: a port of the node that the pod is on. For webrtc only.
	ExposureHostPort ExposureType = "HostPort"
)

// Exposure says how each surface of the pair is reached from outside the cluster.
type Exposure struct {
	// http carries the player, WHIP, WHEP, HLS and events, over one Service for both
	// legs: TCP 80 and 443, of the pods 5080 and 5443.
	//
	// A player whose pod dies goes to the other one, and is faster if it can reach that by
	// itself: by externalAddresses of each leg; or, where the pair's URL is not HTTPS, and
	// http and webrtc are both of type NodePort, or both of type LoadBalancer with the same
	// class, annotations and sourceRanges, at the leg's webrtc Service, which then has TCP 80
	// too. From a page that came by HTTPS browsers reach HTTPS only.
	// +optional
	// +kubebuilder:default={}
	HTTP HTTPExposure `json:"http,omitzero"`

	// rtmp carries encoders, over one Service for each leg, so that the legs share
	// nothing: TCP 1935 (RTMP) and 1936 (RTMPS).
	// +optional
	// +kubebuilder:default={}
	RTMP ServiceExposure `json:"rtmp,omitzero"`

	// webrtc carries all media of browsers, over one Service for each leg: UDP 8189, and
	// TCP 8189 for those who cannot use UDP.
	// +optional
	// +kubebuilder:default={}
	WebRTC WebRTCExposure `json:"webrtc,omitzero"`
}

// HTTPExposure is the exposure of HTTP.
type HTTPExposure struct {
	ServiceExposure `json:",inline"`

	// trustedProxies are the networks, in CIDR notation, of the proxies in front of the
	// media pods, at most 32: an Ingress, a Gateway or a load balancer. The media pods take
	// a client's address from a proxy of these networks only (X-Forwarded-For, or the PROXY
	// protocol version 1 or 2).
	// Of several addresses the rightmost one that is not of these networks counts.
	// Default: none; those headers are ignored, and the address of the connection counts.
	//
	// Whoever sends from these networks can claim any address. List the proxies alone, not
	// a network in which viewers or pods of others are.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="each network must be in CIDR notation, such as 203.0.113.0/24"
	TrustedProxies []string `json:"trustedProxies,omitempty"`
}

// ServiceExposure is the exposure of a surface by Services.
//
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || (has(self.type) && self.type == 'LoadBalancer')",message="loadBalancer may be set only with type LoadBalancer: set the type, or remove loadBalancer",fieldPath=".loadBalancer"
type ServiceExposure struct {
	// type of the Services.
	//
	// ClusterIP: inside the cluster only, or from behind an Ingress or a Gateway (see
	// playback.externalURL). NodePort: a port of every node, 30000 to 32767 as a rule; for
	// kind, minikube and machines of one's own. LoadBalancer: an address of the cloud's.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// externalAddresses are host or host:port under which each leg is reached, an IPv6
	// address in brackets. They win over what the Services report; set them when something
	// stands before the Services that Kubernetes does not know of. Those of http must lead
	// to the pod of that leg.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.primary) || self.primary.all(a, a.matches('^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$'))",message="each address must be host or host:port, such as live.example.com:1935, an IPv6 address in brackets",fieldPath=".primary"
	// +kubebuilder:validation:XValidation:rule="!has(self.backup) || self.backup.all(a, a.matches('^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$'))",message="each address must be host or host:port, such as live.example.com:1935, an IPv6 address in brackets",fieldPath=".backup"
	ExternalAddresses *LegAddresses `json:"externalAddresses,omitempty"`
}

// WebRTCExposure is the exposure of WebRTC media.
//
// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || (has(self.type) && self.type == 'LoadBalancer')",message="loadBalancer may be set only with type LoadBalancer: set the type, or remove loadBalancer",fieldPath=".loadBalancer"
// +kubebuilder:validation:XValidation:rule="!has(self.hostPorts) || (has(self.type) && self.type == 'HostPort')",message="hostPorts may be set only with type HostPort: set the type, or remove hostPorts",fieldPath=".hostPorts"
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'HostPort') || has(self.hostPorts)",message="type HostPort needs a port for each leg: set hostPorts, such as {primary: 8189, backup: 8190}"
type WebRTCExposure struct {
	// type of the way in.
	//
	// ClusterIP: inside the cluster only. NodePort: a port of every node; browsers are told
	// the address of the node that the pod is on. LoadBalancer: an address of the cloud's
	// for each leg. HostPort: a port of the node itself, without a Service. The operator must
	// have been told to allow it (--allowed-exposures), and a namespace that enforces the Pod
	// Security level "restricted" or "baseline" refuses it; and a changed leg waits for its
	// pod before to end, which on a lost node takes somebody to delete the node.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;HostPort
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// hostPorts are the node's ports for type HostPort, the same number on UDP and TCP.
	// They differ, so that both legs can stand on one node.
	// +optional
	HostPorts *HostPorts `json:"hostPorts,omitempty"`

	// externalAddresses are told to browsers as each leg's media addresses:
	// IP[:udpPort[:tcpPort]], IPv6 in brackets. They win over what the Services report.
	// Browsers take no host names here.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.primary) || self.primary.all(a, isIP(a) || a.matches('^([0-9.]+|\\\\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])){0,2}$')) && self.primary.map(a, isIP(a) ? a : a.startsWith('[') ? a.substring(1, a.indexOf(']')) : a.split(':')[0]).all(h, isIP(h) && (ip(h).isGlobalUnicast() || ip(h).isLoopback() || ip(h).isLinkLocalUnicast()))",message="each address must be IP[:udpPort[:tcpPort]], such as 203.0.113.7:30189, IPv6 in brackets",fieldPath=".primary"
	// +kubebuilder:validation:XValidation:rule="!has(self.backup) || self.backup.all(a, isIP(a) || a.matches('^([0-9.]+|\\\\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])){0,2}$')) && self.backup.map(a, isIP(a) ? a : a.startsWith('[') ? a.substring(1, a.indexOf(']')) : a.split(':')[0]).all(h, isIP(h) && (ip(h).isGlobalUnicast() || ip(h).isLoopback() || ip(h).isLinkLocalUnicast()))",message="each address must be IP[:udpPort[:tcpPort]], such as 203.0.113.7:30189, IPv6 in brackets",fieldPath=".backup"
	ExternalAddresses *LegAddresses `json:"externalAddresses,omitempty"`
}

// HostPorts are ports of the nodes, one for each leg.
//
// +kubebuilder:validation:XValidation:rule="self.primary != self.backup",message="hostPorts.primary and hostPorts.backup must differ, so that both legs can stand on one node",fieldPath=".backup"
type HostPorts struct {
	// primary is the port of the primary leg. 1 to 65535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Primary int32 `json:"primary,omitempty"`
	// backup is the port of the backup leg. 1 to 65535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Backup int32 `json:"backup,omitempty"`
}

// LegAddresses are addresses of a surface, by leg.
type LegAddresses struct {
	// primary has the addresses of the primary leg, at most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=300
	Primary []string `json:"primary,omitempty"`

	// backup has the addresses of the backup leg, at most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=300
	Backup []string `json:"backup,omitempty"`
}

// LoadBalancerExposure is what a Service of type LoadBalancer gets beside its ports.
type LoadBalancerExposure struct {
	// class is the Service's loadBalancerClass. Default: the cluster's own. It stays as
	// it was when the Service got its type: to change it, go by ClusterIP.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && self.indexOf('/') <= 253",message="class must be the name of a load balancer class, such as service.k8s.aws/nlb"
	Class string `json:"class,omitempty"`

	// annotations are added to the Service, at most 64; clouds are steered by them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// sourceRanges are the networks, in CIDR notation, from which it may be reached, at
	// most 64. Default: from anywhere.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="each network must be in CIDR notation, such as 203.0.113.0/24"
	SourceRanges []string `json:"sourceRanges,omitempty"`

	// mixedProtocol says that the load balancer takes UDP and TCP in one Service, which
	// saves an address. Without it each protocol gets a Service of its own. Only webrtc has
	// both protocols.
	// +optional
	MixedProtocol bool `json:"mixedProtocol,omitempty"`
}
