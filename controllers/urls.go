package controllers

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Addresses are where a pair is reached, as far as they are known. None holds a token.
type Addresses struct {
	// Playback is the URL of the player.
	Playback string
	// RTMP and WHIP are the publish URLs of each leg.
	RTMP, WHIP map[v1alpha1.Role]string
	// WebRTC are the addresses that browsers are told beside the pod's own:
	// IP[:udpPort[:tcpPort]].
	WebRTC map[v1alpha1.Role][]string
	// Bases are the URLs, without a slash at the end, under which each leg's own pod serves
	// viewers: a player whose pod is gone opens the other one by it.
	Bases map[v1alpha1.Role]string
	// ClusterOnly says that the playback URL can be opened inside the cluster only.
	ClusterOnly bool
	// Pending says what is not known yet, one sentence each, without a full stop.
	Pending []string
}

// maxMediaAddresses is how many media addresses a pod takes; see control.MediaAddresses.
const maxMediaAddresses = 16

// addressesOf is pure: from the Services, the pods' nodes and the load balancers' names.
func addressesOf(pair *v1alpha1.StreamPair, seen *Observation) Addresses {
	f := addressFinder{pair: pair, seen: seen}
	a := Addresses{
		RTMP: map[v1alpha1.Role]string{}, WHIP: map[v1alpha1.Role]string{}, WebRTC: map[v1alpha1.Role][]string{},
		Bases: map[v1alpha1.Role]string{},
	}
	base := f.playbackBase(&a)
	if base != "" {
		a.Playback = base + PlayPath(pair)
	}
	for _, role := range Roles() {
		id := streamID(pair, role)
		if host := f.rtmpHost(role); host != "" {
			a.RTMP[role] = "rtmp://" + host + "/" + pair.Spec.App + "/" + id
		}
		if base := f.whipBase(role); base != "" {
			a.WHIP[role] = base + "/" + pair.Spec.App + "/whip/" + id
		}
		if base := f.legBase(role); base != "" {
			a.Bases[role] = base
		}
		if addresses := f.webrtc(role); len(addresses) > 0 {
			a.WebRTC[role] = addresses[:min(len(addresses), maxMediaAddresses)]
		}
	}
	slices.Sort(f.pending)
	a.Pending = slices.Compact(f.pending)
	return a
}

// PlayPath is the player's path and what it is told in the query.
func PlayPath(pair *v1alpha1.StreamPair) string {
	var order []string
	for _, method := range pair.Spec.Playback.Order {
		order = append(order, strings.ToLower(string(method)))
	}
	return "/" + pair.Spec.App + "/play.html?name=" + url.QueryEscape(pair.Spec.Primary.StreamID) +
		"&backupStreamId=" + url.QueryEscape(pair.Spec.Backup.StreamID) +
		"&playOrder=" + url.QueryEscape(strings.Join(order, ","))
}

func streamID(pair *v1alpha1.StreamPair, role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return pair.Spec.Backup.StreamID
	}
	return pair.Spec.Primary.StreamID
}

// usesNodeAddress says that a surface of the pair is reached by the address of a node.
func usesNodeAddress(pair *v1alpha1.StreamPair) bool {
	e := pair.Spec.Exposure
	return e.HTTP.Type == v1alpha1.ExposureNodePort || e.RTMP.Type == v1alpha1.ExposureNodePort ||
		e.WebRTC.Type == v1alpha1.ExposureNodePort || e.WebRTC.Type == v1alpha1.ExposureHostPort
}

// An addressFinder collects what is pending on the way.
type addressFinder struct {
	pair    *v1alpha1.StreamPair
	seen    *Observation
	pending []string
}

func (f *addressFinder) wait(format string, args ...any) {
	f.pending = append(f.pending, fmt.Sprintf(format, args...))
}

func (f *addressFinder) scheme() (scheme, portName, defaultPort string) {
	if f.pair.Spec.Playback.TLSSecretName != "" {
		return "https", PortNameHTTPS, "443"
	}
	return "http", PortNameHTTP, "80"
}

// rtmpHost is host[:port] where the leg's encoder publishes.
func (f *addressFinder) rtmpHost(role v1alpha1.Role) string {
	const port = "1935"
	if addresses := legAddresses(f.pair.Spec.Exposure.RTMP.ExternalAddresses, role); len(addresses) > 0 {
		return externalHost(addresses[0], port)
	}
	return f.serviceHost(RTMPServiceName(f.pair.Name, role), PortNameRTMP, port, role)
}

// webrtc returns the media addresses of the leg for browsers.
func (f *addressFinder) webrtc(role v1alpha1.Role) []string {
	exposure := f.pair.Spec.Exposure.WebRTC
	if addresses := legAddresses(exposure.ExternalAddresses, role); len(addresses) > 0 {
		return addresses
	}
	switch exposure.Type {
	case v1alpha1.ExposureHostPort:
		if exposure.HostPorts == nil {
			return nil
		}
		port := exposure.HostPorts.Primary
		if role == v1alpha1.RoleBackup {
			port = exposure.HostPorts.Backup
		}
		return mediaAddresses(f.nodeIP(role), port, port)
	case v1alpha1.ExposureNodePort:
		service := f.service(MediaServiceName(f.pair.Name, role))
		if service == nil {
			return nil
		}
		udp, tcp := nodePort(service, PortNameWebRTCUDP), nodePort(service, PortNameWebRTCTCP)
		if udp == 0 || tcp == 0 {
			f.wait("Service %s has no node ports yet", service.Name)
			return nil
		}
		return mediaAddresses(f.nodeIP(role), udp, tcp)
	case v1alpha1.ExposureLoadBalancer:
		return f.balancedMedia(role)
	}
	return nil
}

// balancedMedia returns the addresses of the load balancers of the leg's media: of one, or
// of one for each protocol. An address that takes one protocol only is told for both:
// browsers try, and go by the other.
func (f *addressFinder) balancedMedia(role v1alpha1.Role) []string {
	names := []string{MediaServiceName(f.pair.Name, role)}
	if splitsMedia(f.pair.Spec.Exposure.WebRTC) {
		names = append(names, MediaTCPServiceName(f.pair.Name, role))
	}
	var addresses []string
	for _, name := range names {
		service := f.service(name)
		if service == nil {
			continue
		}
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			f.wait("Service %s has no address of its load balancer yet", name)
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if ip, err := netip.ParseAddr(ingress.IP); err == nil {
				addresses = append(addresses, mediaAddresses(ip, PortWebRTC, PortWebRTC)...)
				continue
			}
			found := f.seen.Hosts[ingress.Hostname].Addresses
			if len(found) == 0 {
				f.wait("the name %s of the load balancer of Service %s does not resolve yet", ingress.Hostname, name)
			}
			for _, ip := range found {
				addresses = append(addresses, mediaAddresses(ip, PortWebRTC, PortWebRTC)...)
			}
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

func mediaAddresses(ip netip.Addr, udp, tcp int32) []string {
	if !ip.IsValid() {
		return nil
	}
	return []string{v1alpha1.MediaAddress{IP: ip, UDPPort: uint16(udp), TCPPort: uint16(tcp)}.String()}
}

// serviceHost returns host[:port] of a Service's port as its type has it: the name inside
// the cluster, the address of a node, or that of the load balancer.
func (f *addressFinder) serviceHost(name, portName, defaultPort string, role v1alpha1.Role) string {
	service := f.service(name)
	if service == nil {
		return ""
	}
	port := servicePortNamed(service, portName)
	if port == nil {
		f.wait("Service %s has no port %s yet", name, portName)
		return ""
	}
	switch service.Spec.Type {
	case corev1.ServiceTypeNodePort:
		if port.NodePort == 0 {
			f.wait("Service %s has no node ports yet", name)
			return ""
		}
		// Every node answers. That of the leg's pod does so without a detour.
		address := f.nodeAddress(role)
		if address == "" {
			return ""
		}
		return net.JoinHostPort(address, strconv.Itoa(int(port.NodePort)))
	case corev1.ServiceTypeLoadBalancer:
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if host := cmp.Or(ingress.Hostname, ingress.IP); host != "" {
				return withPort(host, strconv.Itoa(int(port.Port)), defaultPort)
			}
		}
		f.wait("Service %s has no address of its load balancer yet", name)
		return ""
	}
	return withPort(f.clusterName(name), strconv.Itoa(int(port.Port)), defaultPort)
}

func (f *addressFinder) clusterName(service string) string {
	return service + "." + f.pair.Namespace + ".svc"
}

func (f *addressFinder) clusterHost(service string, port int) string {
	return net.JoinHostPort(f.clusterName(service), strconv.Itoa(port))
}

func (f *addressFinder) service(name string) *corev1.Service {
	service := f.seen.service(f.pair, name)
	if service == nil {
		f.wait("Service %s is not there yet", name)
	}
	return service
}

// nodeAddress returns the address of the node of the leg's pod, else of the other leg's.
func (f *addressFinder) nodeAddress(role v1alpha1.Role) string {
	for _, role := range []v1alpha1.Role{role, OtherRole(role)} {
		if address := f.podNode(role); address != "" {
			return address
		}
	}
	f.wait("no media pod is on a node with an address yet")
	return ""
}

// nodeIP returns the address of the node of the leg's own pod, for browsers.
func (f *addressFinder) nodeIP(role v1alpha1.Role) netip.Addr {
	address := f.podNode(role)
	ip, err := netip.ParseAddr(address)
	switch {
	case address == "":
		f.wait("the %s's pod is not on a node with an address yet", LegName(role))
	case err != nil:
		f.wait("the address %q of the %s's node is no IP address", address, LegName(role))
	}
	return ip
}

func (f *addressFinder) podNode(role v1alpha1.Role) string {
	address := ""
	for _, pod := range f.seen.Pods[role] {
		if hasEnded(pod.Pod) {
			continue // an evicted pod stays for a long time, with the node that it was on
		}
		if pod.NodeAddress != "" && (address == "" || pod.DeletionTimestamp.IsZero()) {
			address = pod.NodeAddress
		}
	}
	return address
}

func servicePortNamed(service *corev1.Service, name string) *corev1.ServicePort {
	for i := range service.Spec.Ports {
		if service.Spec.Ports[i].Name == name {
			return &service.Spec.Ports[i]
		}
	}
	return nil
}

func nodePort(service *corev1.Service, name string) int32 {
	if port := servicePortNamed(service, name); port != nil {
		return port.NodePort
	}
	return 0
}

func legAddresses(addresses *v1alpha1.LegAddresses, role v1alpha1.Role) []string {
	switch {
	case addresses == nil:
		return nil
	case role == v1alpha1.RoleBackup:
		return addresses.Backup
	}
	return addresses.Primary
}

// externalHost reads host or host:port as the spec has it, and leaves out the default port.
func externalHost(address, defaultPort string) string {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return withPort(host, port, defaultPort)
	}
	return withPort(strings.Trim(address, "[]"), defaultPort, defaultPort)
}

// withPort joins host and port, an IPv6 address in brackets, without the scheme's own port.
func withPort(host, port, defaultPort string) string {
	if port != defaultPort {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
