package controllers

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// services are, for each leg, where its encoder publishes, where its WebRTC media goes and
// where the other leg finds its pod; and one for viewers over both legs. Several pods
// behind one Service could not be told apart by an encoder, nor over UDP.
//
// Node ports and health check ports are the API server's to choose and are never written
// here, so that they stay.
func services(pair *v1alpha1.StreamPair) []Object {
	var objects []Object
	for _, role := range Roles() {
		objects = append(objects, rtmpService(pair, role))
		objects = append(objects, mediaServices(pair, role)...)
		objects = append(objects, podsService(pair, role))
	}
	return append(objects, playService(pair))
}

// rtmpService is where the leg's encoder publishes.
//
// A load balancer delivers to the node of the pod, which saves a hop and keeps the
// encoder's address for the log. With a node port any node must answer: encoders have an
// address typed in, and the pod may move to another node.
func rtmpService(pair *v1alpha1.StreamPair, role v1alpha1.Role) Object {
	exposure := pair.Spec.Exposure.RTMP
	spec := exposedSpec(exposure.Type, exposure.LoadBalancer, LegSelector(pair.Name, role),
		servicePort(PortNameRTMP, corev1.ProtocolTCP, PortRTMP, PortRTMP),
		servicePort(PortNameRTMPS, corev1.ProtocolTCP, PortRTMPS, PortRTMPS))
	if exposure.Type == v1alpha1.ExposureLoadBalancer {
		spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
	}
	return service(pair, RTMPServiceName(pair.Name, role), LegLabels(pair.Name, role), spec, exposure.LoadBalancer)
}

// mediaServices carry the leg's WebRTC media. It comes from outside only to the node of
// the pod: that is the address which browsers are told, a second hop would double the
// traffic of a node, and its address translation forgets a quiet UDP flow after 30 s.
//
// With HostPort the Service stays, for viewers inside the cluster and for port forwarding.
//
// Where viewers from outside signal by HTTP, the Service with TCP lets them do so here too:
// a player whose pod is gone opens the other leg's pod by its own address, and does not wait
// until the playback Service has learned that the pod is gone.
func mediaServices(pair *v1alpha1.StreamPair, role v1alpha1.Role) []Object {
	exposure := pair.Spec.Exposure.WebRTC
	kind := exposure.Type
	if kind == v1alpha1.ExposureHostPort {
		kind = v1alpha1.ExposureClusterIP
	}
	media := func(name string, ports ...*corev1ac.ServicePortApplyConfiguration) Object {
		spec := exposedSpec(kind, exposure.LoadBalancer, LegSelector(pair.Name, role), ports...)
		if kind != v1alpha1.ExposureClusterIP {
			spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
		}
		return service(pair, name, LegLabels(pair.Name, role), spec, exposure.LoadBalancer)
	}
	udp := servicePort(PortNameWebRTCUDP, corev1.ProtocolUDP, PortWebRTC, PortWebRTC)
	tcp := servicePort(PortNameWebRTCTCP, corev1.ProtocolTCP, PortWebRTC, PortWebRTC)
	overTCP := []*corev1ac.ServicePortApplyConfiguration{tcp}
	if mediaCarriesHTTP(pair, role) {
		overTCP = append(overTCP, servicePort(PortNameHTTP, corev1.ProtocolTCP, PortPlayHTTP, PortHTTP))
	}
	if splitsMedia(exposure) {
		return []Object{
			media(MediaServiceName(pair.Name, role), udp),
			media(MediaTCPServiceName(pair.Name, role), overTCP...),
		}
	}
	return []Object{media(MediaServiceName(pair.Name, role), append([]*corev1ac.ServicePortApplyConfiguration{udp}, overTCP...)...)}
}

// mediaCarriesHTTP reports whether viewers reach the HTTP of a leg's pod where they reach
// its media. Not where they would not be told so, as a page that came by HTTPS asks nothing
// by HTTP, no certificate is for that address, or another address was given; nor where it
// could let in who does not get in by the playback Service: that one may be an internal load
// balancer, and the media's a public one.
func mediaCarriesHTTP(pair *v1alpha1.StreamPair, role v1alpha1.Role) bool {
	http, media := pair.Spec.Exposure.HTTP, pair.Spec.Exposure.WebRTC
	if pair.Spec.Playback.TLSSecretName != "" || strings.HasPrefix(pair.Spec.Playback.ExternalURL, "https:") ||
		len(legAddresses(http.ExternalAddresses, role)) > 0 || len(legAddresses(media.ExternalAddresses, role)) > 0 {
		return false
	}
	switch {
	case http.Type != media.Type:
		return false
	case http.Type == v1alpha1.ExposureLoadBalancer:
		return letInTheSame(http.LoadBalancer, media.LoadBalancer)
	}
	return http.Type == v1alpha1.ExposureNodePort
}

// letInTheSame reports whether two load balancers are of one kind, as far as Kubernetes
// knows, and for the same networks.
func letInTheSame(a, b *v1alpha1.LoadBalancerExposure) bool {
	none := &v1alpha1.LoadBalancerExposure{}
	a, b = cmp.Or(a, none), cmp.Or(b, none)
	return a.Class == b.Class && maps.Equal(a.Annotations, b.Annotations) &&
		slices.Equal(slices.Sorted(slices.Values(a.SourceRanges)), slices.Sorted(slices.Values(b.SourceRanges)))
}

// splitsMedia reports whether UDP and TCP need a Service each: most load balancers take
// one protocol.
func splitsMedia(exposure v1alpha1.WebRTCExposure) bool {
	return exposure.Type == v1alpha1.ExposureLoadBalancer &&
		(exposure.LoadBalancer == nil || !exposure.LoadBalancer.MixedProtocol)
}

// podsService gives the leg's pod a name, ready or not: a relay that waited for readiness
// would start without a picture, and a pod that drains must still be asked.
func podsService(pair *v1alpha1.StreamPair, role v1alpha1.Role) Object {
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithClusterIP(corev1.ClusterIPNone).
		WithPublishNotReadyAddresses(true).
		WithSelector(LegSelector(pair.Name, role)).
		WithPorts(
			servicePort(PortNameHTTP, corev1.ProtocolTCP, PortHTTP, PortHTTP),
			servicePort(PortNameControl, corev1.ProtocolTCP, PortControl, PortControl),
			servicePort(PortNamePeer, corev1.ProtocolTCP, PortPeer, PortPeer))
	return service(pair, PodsServiceName(pair.Name, role), LegLabels(pair.Name, role), spec, nil)
}

// playService is where viewers go: either leg serves the whole pair.
//
// It delivers to any node, with a load balancer too: when a pod goes, kube-proxy sends new
// viewers to the other one at once, while a load balancer's own check of the nodes would
// take tens of seconds, in just the moment when players reconnect.
func playService(pair *v1alpha1.StreamPair) Object {
	exposure := pair.Spec.Exposure.HTTP
	spec := exposedSpec(exposure.Type, exposure.LoadBalancer, PairSelector(pair.Name),
		servicePort(PortNameHTTP, corev1.ProtocolTCP, PortPlayHTTP, PortHTTP),
		servicePort(PortNameHTTPS, corev1.ProtocolTCP, PortPlayHTTPS, PortHTTPS))
	if exposure.Type == v1alpha1.ExposureClusterIP {
		// Inside the cluster a URL that works for a pod works here too.
		spec.WithPorts(
			servicePort(PortNameHTTP+"-pod", corev1.ProtocolTCP, PortHTTP, PortHTTP),
			servicePort(PortNameHTTPS+"-pod", corev1.ProtocolTCP, PortHTTPS, PortHTTPS))
	}
	return service(pair, PlayServiceName(pair.Name), PairLabels(pair.Name), spec, exposure.LoadBalancer)
}

// exposedSpec is a Service of the type that an exposure asks for.
func exposedSpec(kind v1alpha1.ExposureType, balancer *v1alpha1.LoadBalancerExposure, selector map[string]string,
	ports ...*corev1ac.ServicePortApplyConfiguration,
) *corev1ac.ServiceSpecApplyConfiguration {
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceType(kind)).
		WithSelector(selector).
		WithPorts(ports...)
	if balancer == nil {
		return spec
	}
	if balancer.Class != "" {
		spec.WithLoadBalancerClass(balancer.Class)
	}
	return spec.WithLoadBalancerSourceRanges(balancer.SourceRanges...)
}

func service(pair *v1alpha1.StreamPair, name string, labels map[string]string,
	spec *corev1ac.ServiceSpecApplyConfiguration, balancer *v1alpha1.LoadBalancerExposure,
) Object {
	config := corev1ac.Service(name, pair.Namespace).WithSpec(spec)
	if balancer != nil {
		config.WithAnnotations(balancer.Annotations)
	}
	return owned(pair, KindService, config, config.ObjectMetaApplyConfiguration, labels)
}

// servicePort is a port of a Service. Its protocol is part of what server-side apply knows
// it by: left out, an apply that changes nothing would fail on UDP and TCP of one number.
func servicePort(name string, protocol corev1.Protocol, port, target int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().
		WithName(name).
		WithProtocol(protocol).
		WithPort(port).
		WithTargetPort(intstr.FromInt32(target))
}
