package v1alpha1

import corev1 "k8s.io/api/core/v1"

// ExposureType is the way a surface is reached from outside the cluster.
type ExposureType string

// The types of an exposure. HostPort exists for WebRTC only.
const (
	// ExposureClusterIP: inside the cluster only, or from behind an Ingress or a Gateway.
	ExposureClusterIP ExposureType = "ClusterIP"
	// ExposureNodePort: a port of every node.
	ExposureNodePort ExposureType = "NodePort"
	// ExposureLoadBalancer: an address that the cloud assigns.
	ExposureLoadBalancer ExposureType = "LoadBalancer"
	// ExposureHostPort: a port of the node that the pod is on. For webrtc only.
	ExposureHostPort ExposureType = "HostPort"
)

// Exposure says how each surface of the pair is reached from outside the cluster.
type Exposure struct {
	// http carries the player, WHIP, WHEP, HTTP-FLV and events, over one Service for
	// both legs: TCP 80 and 443, of the pods 5080 and 5443.
	//
	// A player whose pod dies goes to the other pod. This is faster if the player can reach
	// each leg's pod by itself. One way is externalAddresses for each leg. The other way is
	// the leg's webrtc Service, which then has TCP 80 too. It needs a pair whose URL is not
	// HTTPS, because a page that came by HTTPS reaches HTTPS only. It also needs http and
	// webrtc to be both of type NodePort, or both of type LoadBalancer. Two load balancers
	// must have the same class, annotations and sourceRanges, and no values for one leg
	// alone.
	// +optional
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || !(has(self.loadBalancer.legPorts) || has(self.loadBalancer.legTLSPorts) || has(self.loadBalancer.legAnnotations))",message="http has one Service for both legs: legPorts, legTLSPorts and legAnnotations are for rtmp and webrtc",fieldPath=".loadBalancer"
	HTTP HTTPExposure `json:"http,omitzero"`

	// rtmp carries encoders over one Service for each leg: TCP 1935 (RTMP) and 1936 (RTMPS).
	// The legs thereby share nothing.
	// +optional
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || (has(self.loadBalancer.legPorts) ? self.loadBalancer.legPorts.primary : 1935) != (has(self.loadBalancer.legTLSPorts) ? self.loadBalancer.legTLSPorts.primary : 1936) && (has(self.loadBalancer.legPorts) ? self.loadBalancer.legPorts.backup : 1935) != (has(self.loadBalancer.legTLSPorts) ? self.loadBalancer.legTLSPorts.backup : 1936)",message="of one leg, legPorts (1935 by default) and legTLSPorts (1936) must differ",fieldPath=".loadBalancer"
	RTMP ServiceExposure `json:"rtmp,omitzero"`

	// srt carries encoders by SRT, over one Service for each leg: UDP 8890. Default: the media
	// pods take no SRT. Only setting it where it was not set replaces the pods.
	// publish.srtPassphraseSecretRef encrypts it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || !has(self.loadBalancer.legTLSPorts)",message="legTLSPorts are for rtmp only: remove them",fieldPath=".loadBalancer"
	SRT *ServiceExposure `json:"srt,omitempty"`

	// webrtc carries all media of browsers, over one Service for each leg: UDP 8189, and TCP
	// 8189 for browsers that cannot use UDP.
	// +optional
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="!has(self.loadBalancer) || !has(self.loadBalancer.legTLSPorts)",message="legTLSPorts are for rtmp only: remove them",fieldPath=".loadBalancer"
	WebRTC WebRTCExposure `json:"webrtc,omitzero"`
}

// HTTPExposure is the exposure of HTTP.
type HTTPExposure struct {
	ServiceExposure `json:",inline"`

	// trustedProxies are the networks, in CIDR notation, of the proxies in front of the
	// media pods, at most 32: an Ingress, a Gateway or a load balancer. The media pods take
	// a client's address from a proxy of these networks only (X-Forwarded-For, or the PROXY
	// protocol version 1 or 2). If there are several addresses, the rightmost address
	// outside these networks counts. Default: none. Those headers are then ignored, and the
	// address of the connection counts.
	//
	// Whoever sends from these networks can claim any address. List only the proxies, not a
	// network that contains viewers or other pods.
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
	// playback.externalURL). NodePort: a port of every node, usually 30000 to 32767. It
	// suits kind, minikube and your own machines. LoadBalancer: an address that the cloud
	// assigns.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// ipFamilyPolicy of the Services: SingleStack, PreferDualStack or RequireDualStack.
	// Default: the cluster's policy, usually SingleStack. Viewers are told the addresses of
	// both families.
	// +optional
	// +kubebuilder:validation:Enum=SingleStack;PreferDualStack;RequireDualStack
	IPFamilyPolicy corev1.IPFamilyPolicy `json:"ipFamilyPolicy,omitempty"`

	// externalAddresses are host or host:port under which each leg is reached. An IPv6
	// address is in brackets. They replace the addresses that the Services report. Set them
	// if something that Kubernetes does not know of is in front of the Services. Each http
	// address must lead to the pod of its leg.
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
	// type says how WebRTC media reaches the pods.
	//
	// ClusterIP: inside the cluster only. NodePort: a port of every node. Browsers are told
	// the address of the pod's node. LoadBalancer: an address that the cloud assigns to each
	// leg. HostPort: a port of the node itself, without a Service. The operator must allow
	// HostPort (--allowed-exposures). A namespace that enforces the Pod Security level
	// "restricted" or "baseline" refuses it. With HostPort a new pod starts only after its
	// leg's old pod has ended. On a lost node that needs somebody to delete the node.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;HostPort
	Type ExposureType `json:"type,omitempty"`

	// loadBalancer has what type LoadBalancer needs beside the Service.
	// +optional
	LoadBalancer *LoadBalancerExposure `json:"loadBalancer,omitempty"`

	// ipFamilyPolicy of the Services: SingleStack, PreferDualStack or RequireDualStack.
	// Default: the cluster's, SingleStack as a rule. Addresses of both families are told.
	// +optional
	// +kubebuilder:validation:Enum=SingleStack;PreferDualStack;RequireDualStack
	IPFamilyPolicy corev1.IPFamilyPolicy `json:"ipFamilyPolicy,omitempty"`

	// hostPorts are the node's ports for type HostPort, the same number on UDP and TCP. The
	// two ports differ, so that both legs can run on one node.
	// +optional
	HostPorts *HostPorts `json:"hostPorts,omitempty"`

	// externalAddresses are told to browsers as each leg's media addresses:
	// IP[:udpPort[:tcpPort]], IPv6 in brackets. They replace the addresses that the Services
	// report. Host names are not accepted here.
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

// LegPorts are ports of a surface, one for each leg.
type LegPorts struct {
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

// LegAnnotations are annotations of the Services of each leg.
type LegAnnotations struct {
	// primary has the annotations of the primary leg, at most 64.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Primary map[string]string `json:"primary,omitempty"`
	// backup has the annotations of the backup leg, at most 64.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Backup map[string]string `json:"backup,omitempty"`
}

// LoadBalancerExposure has the settings of a Service of type LoadBalancer beside its ports.
type LoadBalancerExposure struct {
	// class is the Service's loadBalancerClass. Default: the cluster's own class. The class
	// of an existing Service cannot change. To change it, set the type to ClusterIP and then
	// back to LoadBalancer.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$') && self.indexOf('/') <= 253",message="class must be the name of a load balancer class, such as service.k8s.aws/nlb"
	Class string `json:"class,omitempty"`

	// annotations are added to the Service, at most 64. Clouds take their settings from
	// them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// legAnnotations are added to the Services of one leg, and replace equal keys of
	// annotations. They can give a leg its own address or name, for example. For rtmp, srt and
	// webrtc.
	// +optional
	LegAnnotations *LegAnnotations `json:"legAnnotations,omitempty"`

	// legPorts are the ports of each leg in place of 1935 (rtmp), 8890 (srt) and 8189 (webrtc,
	// UDP and TCP). They are for load balancers that use each port only once for all Services,
	// such as the load balancer of k3s. For rtmp, srt and webrtc.
	// +optional
	LegPorts *LegPorts `json:"legPorts,omitempty"`

	// legTLSPorts are the ports of RTMPS of each leg in place of 1936. For rtmp.
	// +optional
	LegTLSPorts *LegPorts `json:"legTLSPorts,omitempty"`

	// sourceRanges are the networks, in CIDR notation, from which the Service may be
	// reached, at most 64. Default: all networks.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="each network must be in CIDR notation, such as 203.0.113.0/24"
	SourceRanges []string `json:"sourceRanges,omitempty"`

	// mixedProtocol says that the load balancer accepts UDP and TCP in one Service. This
	// saves an address. Without mixedProtocol each protocol gets its own Service. Only
	// webrtc has both protocols.
	// +optional
	MixedProtocol bool `json:"mixedProtocol,omitempty"`
}
