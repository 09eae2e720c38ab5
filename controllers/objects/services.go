package objects

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

// services returns all Services of the pair. Each leg has one or two to publish, one or two for
// WebRTC media, and one by which the other leg finds its pod. Viewers have one over both legs.
// An encoder, or a client over UDP, could not tell apart several pods behind one Service.
//
// The API server chooses node ports and health check ports.
// The operator never writes them, so they stay the same.
func services(pair *v1alpha1.StreamPair) []Object {
	var objects []Object
	for _, role := range Roles() {
		objects = append(objects, rtmpService(pair, role))
		if pair.Spec.Exposure.SRT != nil {
			objects = append(objects, srtService(pair, role))
		}
		objects = append(objects, mediaServices(pair, role)...)
		objects = append(objects, podsService(pair, role))
	}
	return append(objects, playService(pair))
}

// rtmpService returns the Service to which the leg's encoder publishes.
//
// A load balancer delivers to the pod's node. This saves a hop, and the log has
// the encoder's address. With a node port every node must answer, because
// encoders have a fixed address configured and the pod may move to another node.
func rtmpService(pair *v1alpha1.StreamPair, role v1alpha1.Role) Object {
	exposure := pair.Spec.Exposure.RTMP
	plain, tls := legPort(nil, role, PortRTMP), legPort(nil, role, PortRTMPS)
	if b := exposure.LoadBalancer; b != nil {
		plain, tls = legPort(b.LegPorts, role, PortRTMP), legPort(b.LegTLSPorts, role, PortRTMPS)
	}
	spec := exposedSpec(exposure.Type, exposure.IPFamilyPolicy, exposure.LoadBalancer, LegSelector(pair.Name, role),
		servicePort(PortNameRTMP, corev1.ProtocolTCP, plain, PortRTMP),
		servicePort(PortNameRTMPS, corev1.ProtocolTCP, tls, PortRTMPS))
	if exposure.Type == v1alpha1.ExposureLoadBalancer {
		spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
	}
	return service(pair, RTMPServiceName(pair.Name, role), LegLabels(pair.Name, role), spec, legAnnotations(exposure.LoadBalancer, role))
}

// srtService returns the Service to which the leg's encoder publishes by SRT. It delivers as
// that of RTMP does.
func srtService(pair *v1alpha1.StreamPair, role v1alpha1.Role) Object {
	exposure := pair.Spec.Exposure.SRT
	port := legPort(nil, role, PortSRT)
	if b := exposure.LoadBalancer; b != nil {
		port = legPort(b.LegPorts, role, PortSRT)
	}
	spec := exposedSpec(exposure.Type, exposure.IPFamilyPolicy, exposure.LoadBalancer, LegSelector(pair.Name, role),
		servicePort(PortNameSRT, corev1.ProtocolUDP, port, PortSRT))
	if exposure.Type == v1alpha1.ExposureLoadBalancer {
		spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
	}
	return service(pair, SRTServiceName(pair.Name, role), LegLabels(pair.Name, role), spec, legAnnotations(exposure.LoadBalancer, role))
}

// mediaServices returns the Services of the leg's WebRTC media. Media from outside arrives
// at the pod's node only, whose address browsers are told. A second hop would double a
// node's traffic, and its address translation forgets a quiet UDP flow after 30 s.
//
// With HostPort the Service stays, for viewers inside the cluster and for port forwarding.
//
// If viewers from outside signal by HTTP, the Service with TCP accepts HTTP
// too. A player whose pod is gone opens the other leg's pod at its own address.
// It need not wait until the playback Service has noticed that the pod is gone.
func mediaServices(pair *v1alpha1.StreamPair, role v1alpha1.Role) []Object {
	exposure := pair.Spec.Exposure.WebRTC
	kind := exposure.Type
	if kind == v1alpha1.ExposureHostPort {
		kind = v1alpha1.ExposureClusterIP
	}
	media := func(name string, ports ...*corev1ac.ServicePortApplyConfiguration) Object {
		spec := exposedSpec(kind, exposure.IPFamilyPolicy, exposure.LoadBalancer, LegSelector(pair.Name, role), ports...)
		if kind != v1alpha1.ExposureClusterIP {
			spec.WithExternalTrafficPolicy(corev1.ServiceExternalTrafficPolicyLocal)
		}
		return service(pair, name, LegLabels(pair.Name, role), spec, legAnnotations(exposure.LoadBalancer, role))
	}
	port := legPort(nil, role, PortWebRTC)
	if b := exposure.LoadBalancer; b != nil {
		port = legPort(b.LegPorts, role, PortWebRTC)
	}
	udp := servicePort(PortNameWebRTCUDP, corev1.ProtocolUDP, port, PortWebRTC)
	tcp := servicePort(PortNameWebRTCTCP, corev1.ProtocolTCP, port, PortWebRTC)
	overTCP := []*corev1ac.ServicePortApplyConfiguration{tcp}
	if MediaCarriesHTTP(pair, role) {
		overTCP = append(overTCP, servicePort(PortNameHTTP, corev1.ProtocolTCP, PortPlayHTTP, PortHTTP))
	}
	if SplitsMedia(exposure) {
		return []Object{
			media(MediaServiceName(pair.Name, role), udp),
			media(MediaTCPServiceName(pair.Name, role), overTCP...),
		}
	}
	return []Object{media(MediaServiceName(pair.Name, role), append([]*corev1ac.ServicePortApplyConfiguration{udp}, overTCP...)...)}
}

// MediaCarriesHTTP reports whether viewers reach the HTTP port of a leg's pod at the address of
// its media. It is false if viewers could not use that address: a page that came by HTTPS may
// not request by HTTP, no certificate is for that address, or another address was configured.
// It is also false if the address could admit clients that the playback Service keeps out. The
// playback Service may have an internal load balancer, and the media a public one.
func MediaCarriesHTTP(pair *v1alpha1.StreamPair, role v1alpha1.Role) bool {
	http, media := pair.Spec.Exposure.HTTP, pair.Spec.Exposure.WebRTC
	if pair.Spec.Playback.TLSSecretName != "" || strings.HasPrefix(pair.Spec.Playback.ExternalURL, "https:") ||
		len(LegAddresses(http.ExternalAddresses, role)) > 0 || len(LegAddresses(media.ExternalAddresses, role)) > 0 {
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
// knows, and for the same networks. It is false if a leg has annotations or ports of
// its own. Each port may then exist only once, and the port of HTTP may be taken.
func letInTheSame(a, b *v1alpha1.LoadBalancerExposure) bool {
	none := &v1alpha1.LoadBalancerExposure{}
	a, b = cmp.Or(a, none), cmp.Or(b, none)
	return a.LegAnnotations == nil && b.LegAnnotations == nil && a.LegPorts == nil && b.LegPorts == nil && a.Class == b.Class && maps.Equal(a.Annotations, b.Annotations) &&
		slices.Equal(slices.Sorted(slices.Values(a.SourceRanges)), slices.Sorted(slices.Values(b.SourceRanges)))
}

// SplitsMedia reports whether UDP and TCP need a Service
// each. Most load balancers accept one protocol only.
func SplitsMedia(exposure v1alpha1.WebRTCExposure) bool {
	return exposure.Type == v1alpha1.ExposureLoadBalancer &&
		(exposure.LoadBalancer == nil || !exposure.LoadBalancer.MixedProtocol)
}

// podsService gives the leg's pod a name, whether the pod is ready or not. A relay that
// waited for readiness would start without a picture. A draining pod must still be reachable.
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

// playService returns the Service for viewers. Either leg serves the whole pair.
//
// The Service delivers to any node, even with a load balancer. When a pod goes,
// kube-proxy sends new viewers to the other pod at once. A load balancer's own
// check of the nodes would take tens of seconds, just when players reconnect.
func playService(pair *v1alpha1.StreamPair) Object {
	exposure := pair.Spec.Exposure.HTTP
	spec := exposedSpec(exposure.Type, exposure.IPFamilyPolicy, exposure.LoadBalancer, PairSelector(pair.Name),
		servicePort(PortNameHTTP, corev1.ProtocolTCP, PortPlayHTTP, PortHTTP),
		servicePort(PortNameHTTPS, corev1.ProtocolTCP, PortPlayHTTPS, PortHTTPS))
	if exposure.Type == v1alpha1.ExposureClusterIP {
		// Inside the cluster a URL with a pod's ports works here too.
		spec.WithPorts(
			servicePort(PortNameHTTP+"-pod", corev1.ProtocolTCP, PortHTTP, PortHTTP),
			servicePort(PortNameHTTPS+"-pod", corev1.ProtocolTCP, PortHTTPS, PortHTTPS))
	}
	return service(pair, PlayServiceName(pair.Name), PairLabels(pair.Name), spec, legAnnotations(exposure.LoadBalancer, v1alpha1.RolePrimary))
}

// exposedSpec returns the spec of a Service of the type that an exposure asks for.
func exposedSpec(kind v1alpha1.ExposureType, families corev1.IPFamilyPolicy, balancer *v1alpha1.LoadBalancerExposure, selector map[string]string,
	ports ...*corev1ac.ServicePortApplyConfiguration,
) *corev1ac.ServiceSpecApplyConfiguration {
	spec := corev1ac.ServiceSpec().
		WithType(corev1.ServiceType(kind)).
		WithSelector(selector).
		WithPorts(ports...)
	if families != "" {
		spec.WithIPFamilyPolicy(families)
	}
	if balancer == nil {
		return spec
	}
	if balancer.Class != "" {
		spec.WithLoadBalancerClass(balancer.Class)
	}
	return spec.WithLoadBalancerSourceRanges(balancer.SourceRanges...)
}

// legPort returns the port of a leg's Service: the
// leg's one of ports, or otherwise if ports is nil.
func legPort(ports *v1alpha1.LegPorts, role v1alpha1.Role, otherwise int32) int32 {
	switch {
	case ports == nil:
		return otherwise
	case role == v1alpha1.RoleBackup:
		return ports.Backup
	}
	return ports.Primary
}

// legAnnotations returns a load balancer's annotations for the Services of a leg.
func legAnnotations(balancer *v1alpha1.LoadBalancerExposure, role v1alpha1.Role) map[string]string {
	if balancer == nil {
		return nil
	}
	all := map[string]string{}
	maps.Copy(all, balancer.Annotations)
	switch own := balancer.LegAnnotations; {
	case own == nil:
	case role == v1alpha1.RoleBackup:
		maps.Copy(all, own.Backup)
	default:
		maps.Copy(all, own.Primary)
	}
	return all
}

func service(pair *v1alpha1.StreamPair, name string, labels map[string]string,
	spec *corev1ac.ServiceSpecApplyConfiguration, annotations map[string]string,
) Object {
	config := corev1ac.Service(name, pair.Namespace).WithSpec(spec).WithAnnotations(annotations)
	return New(pair, KindService, config, config.ObjectMetaApplyConfiguration, labels)
}

// servicePort returns a port of a Service. Server-side apply identifies a port by its protocol
// too. Without the protocol, a repeated apply would fail on UDP and TCP ports of one number.
func servicePort(name string, protocol corev1.Protocol, port, target int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().
		WithName(name).
		WithProtocol(protocol).
		WithPort(port).
		WithTargetPort(intstr.FromInt32(target))
}

// LegAddresses returns the addresses of one leg.
func LegAddresses(addresses *v1alpha1.LegAddresses, role v1alpha1.Role) []string {
	switch {
	case addresses == nil:
		return nil
	case role == v1alpha1.RoleBackup:
		return addresses.Backup
	}
	return addresses.Primary
}
