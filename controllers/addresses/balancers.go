package addresses

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// balancedMedia returns the addresses of the load balancers for the leg's media. There
// is one load balancer, or one for each protocol. An address that accepts one protocol
// only is told for both protocols. Browsers try both, and use the one that works.
//
// If there is one load balancer for each protocol, one of them is enough.
// Many load balancers accept no UDP, and some give out each port only once.
func (f *addressFinder) balancedMedia(role v1alpha1.Role) []string {
	if !objects.SplitsMedia(f.pair.Spec.Exposure.WebRTC) {
		addresses, missing := f.balancerOf(objects.MediaServiceName(f.pair.Name, role))
		f.waitForAll(missing)
		return addresses
	}
	udp, udpMissing := f.balancerOf(objects.MediaServiceName(f.pair.Name, role))
	tcp, tcpMissing := f.balancerOf(objects.MediaTCPServiceName(f.pair.Name, role))
	switch {
	case len(udp) == 0 && len(tcp) == 0:
		f.waitForAll(append(udpMissing, tcpMissing...))
	case len(udp) == 0:
		f.notes = append(f.notes, fmt.Sprintf("WebRTC media of the %s goes over TCP: %s", objects.LegName(role), strings.Join(udpMissing, "; ")))
	case len(tcp) == 0:
		f.notes = append(f.notes, fmt.Sprintf("WebRTC media of the %s goes over UDP only: %s", objects.LegName(role), strings.Join(tcpMissing, "; ")))
	}
	addresses := append(udp, tcp...)
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// balancerOf returns the media addresses of a Service's load
// balancer, or what is missing if there are none. A host name beside
// an address need not resolve, because it may be for other clients.
func (f *addressFinder) balancerOf(name string) (addresses, missing []string) {
	service := f.seen.Service(f.pair, name)
	if service == nil {
		return nil, []string{fmt.Sprintf("Service %s is not there yet", name)}
	}
	udp, tcp := mediaPorts(service)
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if ip, err := netip.ParseAddr(ingress.IP); err == nil {
			addresses = append(addresses, mediaAddresses(ip, udp, tcp)...)
			continue
		}
		found := f.seen.Hosts[ingress.Hostname].Addresses
		if len(found) == 0 {
			missing = append(missing, fmt.Sprintf("the name %s of the load balancer of Service %s does not resolve yet", ingress.Hostname, name))
		}
		for _, ip := range found {
			addresses = append(addresses, mediaAddresses(ip, udp, tcp)...)
		}
	}
	if len(addresses) > 0 {
		return addresses, nil
	}
	if len(missing) == 0 {
		missing = []string{f.noBalancer(service)}
	}
	return nil, missing
}

// mediaPorts returns the ports of a media Service. A port of
// a single protocol is returned for both, see balancedMedia.
func mediaPorts(service *corev1.Service) (udp, tcp int32) {
	for _, port := range service.Spec.Ports {
		switch port.Name {
		case objects.PortNameWebRTCUDP:
			udp = port.Port
		case objects.PortNameWebRTCTCP:
			tcp = port.Port
		}
	}
	return cmp.Or(udp, tcp, objects.PortWebRTC), cmp.Or(tcp, udp, objects.PortWebRTC)
}

func (f *addressFinder) waitForAll(missing []string) {
	for _, one := range missing {
		f.wait("%s", one)
	}
}

// noBalancer returns the sentence that a Service's load balancer has no
// address. It also notes what to configure if that stays so. If the other leg's
// Services have an address, the load balancer may give out each port only once.
func (f *addressFinder) noBalancer(service *corev1.Service) string {
	const once = "If the load balancer takes each port once for all Services, set spec.exposure."
	none := &v1alpha1.LoadBalancerExposure{}
	rtmp, webrtc := cmp.Or(f.pair.Spec.Exposure.RTMP.LoadBalancer, none), cmp.Or(f.pair.Spec.Exposure.WebRTC.LoadBalancer, none)
	for _, role := range objects.Roles() {
		other := objects.OtherRole(role)
		switch service.Name {
		case objects.RTMPServiceName(f.pair.Name, role):
			if rtmp.LegPorts == nil && f.hasBalancer(objects.RTMPServiceName(f.pair.Name, other)) {
				f.advise(once + "rtmp.loadBalancer.legPorts and legTLSPorts.")
			}
		case objects.SRTServiceName(f.pair.Name, role):
			srt := f.pair.Spec.Exposure.SRT
			if srt != nil && (srt.LoadBalancer == nil || srt.LoadBalancer.LegPorts == nil) && f.hasBalancer(objects.SRTServiceName(f.pair.Name, other)) {
				f.advise(once + "srt.loadBalancer.legPorts.")
			}
		case objects.MediaServiceName(f.pair.Name, role), objects.MediaTCPServiceName(f.pair.Name, role):
			if webrtc.MixedProtocol {
				f.advise("If the load balancer takes one protocol in a Service, set spec.exposure.webrtc.loadBalancer.mixedProtocol to false.")
			} else if webrtc.LegPorts == nil && (f.hasBalancer(objects.MediaServiceName(f.pair.Name, other)) || f.hasBalancer(objects.MediaTCPServiceName(f.pair.Name, other))) {
				f.advise(once + "webrtc.loadBalancer.legPorts.")
			}
		}
	}
	return fmt.Sprintf("Service %s has no address of its load balancer yet", service.Name)
}

// advise notes an advice, once.
func (f *addressFinder) advise(text string) {
	if !slices.Contains(f.advice, text) {
		f.advice = append(f.advice, text)
	}
}

// hasBalancer reports whether the load balancer of that Service has an address.
func (f *addressFinder) hasBalancer(name string) bool {
	service := f.seen.Service(f.pair, name)
	return service != nil && slices.ContainsFunc(service.Status.LoadBalancer.Ingress, func(i corev1.LoadBalancerIngress) bool {
		return i.IP != "" || len(f.seen.Hosts[i.Hostname].Addresses) > 0
	})
}

func mediaAddresses(ip netip.Addr, udp, tcp int32) []string {
	if !ip.IsValid() {
		return nil
	}
	return []string{v1alpha1.MediaAddress{IP: ip, UDPPort: uint16(udp), TCPPort: uint16(tcp)}.String()}
}
