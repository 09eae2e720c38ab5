// Package addresses finds where a pair is reached: by publishers, by viewers, and by
// browsers for media. [Of] is pure. [Hosts] looks up the host names of load balancers.
package addresses

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// Addresses are the known addresses of a pair. None contains a token.
type Addresses struct {
	// Playback is the URL of the player.
	Playback string
	// RTMP, SRT and WHIP are the publish URLs of each leg. SRT is nil if the pair takes none.
	RTMP, SRT, WHIP map[v1alpha1.Role]string
	// WebRTC are the addresses that browsers are told beside the
	// pod's own address, in the form IP[:udpPort[:tcpPort]].
	WebRTC map[v1alpha1.Role][]string
	// Bases are the URLs at which each leg's own pod serves viewers, without a
	// slash at the end. A player whose pod is gone uses them to open the other pod.
	Bases map[v1alpha1.Role]string
	// ClusterOnly says that the playback URL can only be opened inside the cluster.
	ClusterOnly bool
	// Pending says what is not known yet. Each is one sentence without a full stop.
	Pending []string
	// Notes say what does not work although viewers are
	// served. Each is one sentence without a full stop.
	Notes []string
	// Advice says what to configure if the pending
	// addresses stay pending. Each is a whole sentence.
	Advice []string
}

// maxMediaAddresses is how many media addresses a pod accepts; see control.MediaAddresses.
const maxMediaAddresses = 16

// Of returns the addresses, from the Services, the pods'
// nodes and the load balancers' names. It is pure.
func Of(pair *v1alpha1.StreamPair, seen *observed.Pair) Addresses {
	f := addressFinder{pair: pair, seen: seen}
	a := Addresses{
		RTMP: map[v1alpha1.Role]string{}, WHIP: map[v1alpha1.Role]string{}, WebRTC: map[v1alpha1.Role][]string{},
		Bases: map[v1alpha1.Role]string{},
	}
	if pair.Spec.Exposure.SRT != nil {
		a.SRT = map[v1alpha1.Role]string{}
	}
	base := f.playbackBase(&a)
	if base != "" {
		a.Playback = base + objects.PlayPath(pair)
	}
	for _, role := range objects.Roles() {
		id := objects.StreamID(pair, role)
		if host := f.rtmpHost(role); host != "" {
			a.RTMP[role] = "rtmp://" + host + "/" + pair.Spec.App + "/" + id
		}
		if host := f.srtHost(role); host != "" {
			a.SRT[role] = "srt://" + host + "?streamid=publish:" + pair.Spec.App + "/" + id
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
	a.Pending, a.Notes, a.Advice = slices.Compact(f.pending), f.notes, f.advice
	return a
}

// UsesNodeAddress reports whether a surface of the pair is reached at a node's address.
func UsesNodeAddress(pair *v1alpha1.StreamPair) bool {
	e := pair.Spec.Exposure
	return e.HTTP.Type == v1alpha1.ExposureNodePort || e.RTMP.Type == v1alpha1.ExposureNodePort ||
		e.SRT != nil && e.SRT.Type == v1alpha1.ExposureNodePort ||
		e.WebRTC.Type == v1alpha1.ExposureNodePort || e.WebRTC.Type == v1alpha1.ExposureHostPort
}

// An addressFinder finds addresses, and collects what is pending meanwhile.
type addressFinder struct {
	pair                   *v1alpha1.StreamPair
	seen                   *observed.Pair
	pending, notes, advice []string
}

func (f *addressFinder) wait(format string, args ...any) {
	f.pending = append(f.pending, fmt.Sprintf(format, args...))
}

func (f *addressFinder) scheme() (scheme, portName, defaultPort string) {
	if f.pair.Spec.Playback.TLSSecretName != "" {
		return "https", objects.PortNameHTTPS, "443"
	}
	return "http", objects.PortNameHTTP, "80"
}

// rtmpHost returns the host[:port] to which the leg's encoder publishes.
func (f *addressFinder) rtmpHost(role v1alpha1.Role) string {
	const port = "1935"
	if addresses := objects.LegAddresses(f.pair.Spec.Exposure.RTMP.ExternalAddresses, role); len(addresses) > 0 {
		return externalHost(addresses[0], port)
	}
	return f.serviceHost(objects.RTMPServiceName(f.pair.Name, role), objects.PortNameRTMP, port, role)
}

// srtHost returns the host:port to which the leg's encoder publishes by SRT, which has no default port.
func (f *addressFinder) srtHost(role v1alpha1.Role) string {
	exposure := f.pair.Spec.Exposure.SRT
	if exposure == nil {
		return ""
	}
	if addresses := objects.LegAddresses(exposure.ExternalAddresses, role); len(addresses) > 0 {
		if _, _, err := net.SplitHostPort(addresses[0]); err == nil {
			return addresses[0]
		}
		return net.JoinHostPort(strings.Trim(addresses[0], "[]"), strconv.Itoa(objects.PortSRT))
	}
	return f.serviceHost(objects.SRTServiceName(f.pair.Name, role), objects.PortNameSRT, "", role)
}

// webrtc returns the leg's media addresses for browsers.
func (f *addressFinder) webrtc(role v1alpha1.Role) []string {
	exposure := f.pair.Spec.Exposure.WebRTC
	if addresses := objects.LegAddresses(exposure.ExternalAddresses, role); len(addresses) > 0 {
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
		return f.nodeMedia(role, f.podFamilies(role), port, port)
	case v1alpha1.ExposureNodePort:
		service := f.service(objects.MediaServiceName(f.pair.Name, role))
		if service == nil {
			return nil
		}
		udp, tcp := nodePort(service, objects.PortNameWebRTCUDP), nodePort(service, objects.PortNameWebRTCTCP)
		if udp == 0 || tcp == 0 {
			f.wait("Service %s has no node ports yet", service.Name)
			return nil
		}
		return f.nodeMedia(role, service.Spec.IPFamilies, udp, tcp)
	case v1alpha1.ExposureLoadBalancer:
		return f.balancedMedia(role)
	}
	return nil
}

// serviceHost returns the host[:port] of a Service's port. The host depends on the Service's
// type: the name inside the cluster, a node's address, or the load balancer's address.
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
		// Every node answers. The node of the leg's pod does so without a hop.
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
		f.wait("%s", f.noBalancer(service))
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
	service := f.seen.Service(f.pair, name)
	if service == nil {
		f.wait("Service %s is not there yet", name)
	}
	return service
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

// externalHost reads a host or host:port of the spec, and leaves out the default port.
func externalHost(address, defaultPort string) string {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return withPort(host, port, defaultPort)
	}
	return withPort(strings.Trim(address, "[]"), defaultPort, defaultPort)
}

// withPort joins host and port. It puts an IPv6 address
// in brackets, and leaves out the default port.
func withPort(host, port, defaultPort string) string {
	if port != defaultPort {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// Told returns what a leg's pod must tell viewers, and whether the pod does not know it yet.
//
// If a name does not resolve, or a load balancer has no address for a
// moment, viewers keep what they were told. Otherwise an operator that
// starts while name servers are down would take the addresses away.
func (a Addresses) Told(pair *v1alpha1.StreamPair, role v1alpha1.Role, status *control.Status) (control.MediaAddresses, bool) {
	m := control.MediaAddresses{WebRTC: a.WebRTC[role], HTTP: map[string]string{}}
	exposure := pair.Spec.Exposure.WebRTC
	if len(m.WebRTC) == 0 && exposure.Type != v1alpha1.ExposureClusterIP {
		m.WebRTC = status.Advertised[:min(len(status.Advertised), maxMediaAddresses)]
	}
	for _, role := range objects.Roles() {
		base := a.Bases[role]
		if base == "" && exposure.Type == v1alpha1.ExposureLoadBalancer && objects.MediaCarriesHTTP(pair, role) {
			base = status.BaseURLs[string(role)]
		}
		if base != "" {
			m.HTTP[string(role)] = base
		}
	}
	tell := len(m.WebRTC) > 0 || len(m.HTTP) > 0 || len(status.Advertised) > 0 || len(status.BaseURLs) > 0
	return m, tell
}
