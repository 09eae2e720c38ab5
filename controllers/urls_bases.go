package controllers

import (
	"cmp"
	"net"
	"strconv"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

// playbackBase is the URL under which the media servers' paths begin, for viewers.
func (f *addressFinder) playbackBase(a *Addresses) string {
	if external := f.pair.Spec.Playback.ExternalURL; external != "" {
		return strings.TrimRight(external, "/")
	}
	exposure := f.pair.Spec.Exposure.HTTP
	for _, role := range Roles() {
		if addresses := legAddresses(exposure.ExternalAddresses, role); len(addresses) > 0 {
			scheme, _, port := f.scheme()
			return scheme + "://" + externalHost(addresses[0], port)
		}
	}
	a.ClusterOnly = exposure.Type == v1alpha1.ExposureClusterIP
	return f.serviceBase()
}

// podPortSuffix marks the ports of the playback Service with the numbers of a pod's.
const podPortSuffix = "-pod"

// serviceBase is the base by the playback Service.
func (f *addressFinder) serviceBase() string {
	scheme, portName, defaultPort := f.scheme()
	if f.pair.Spec.Exposure.HTTP.Type == v1alpha1.ExposureClusterIP {
		// The same URL with another host opens a pod, by kubectl port-forward for instance.
		portName += podPortSuffix
	}
	host := f.serviceHost(PlayServiceName(f.pair.Name), portName, defaultPort, v1alpha1.RolePrimary)
	if host == "" {
		return ""
	}
	return scheme + "://" + host
}

// whipBase is the base for the leg's WHIP publisher: that of the leg's own pod, or else the
// one way in for both legs.
func (f *addressFinder) whipBase(role v1alpha1.Role) string {
	if base := f.legBase(role); base != "" {
		return base
	}
	if f.pair.Spec.Exposure.HTTP.Type != v1alpha1.ExposureClusterIP {
		return f.serviceBase()
	}
	if external := f.pair.Spec.Playback.ExternalURL; external != "" {
		return strings.TrimRight(external, "/")
	}
	// The certificate for viewers does not name this host.
	return f.podsBase(role)
}

// legBase is the base under which viewers reach the leg's own pod; empty: they can't, or
// browsers would not let them. It never waits: it spares viewers a detour and is not missed.
func (f *addressFinder) legBase(role v1alpha1.Role) string {
	spec := f.pair.Spec
	scheme, _, port := f.scheme()
	if addresses := legAddresses(spec.Exposure.HTTP.ExternalAddresses, role); len(addresses) > 0 {
		return scheme + "://" + externalHost(addresses[0], port)
	}
	// From a page that came by HTTPS browsers ask nothing by HTTP, and no certificate names
	// the addresses that follow.
	if scheme == "https" || strings.HasPrefix(spec.Playback.ExternalURL, "https:") {
		return ""
	}
	if spec.Exposure.HTTP.Type == v1alpha1.ExposureClusterIP {
		if spec.Playback.ExternalURL != "" {
			return ""
		}
		return f.podsBase(role)
	}
	if !mediaCarriesHTTP(f.pair, role) {
		return ""
	}
	name := MediaServiceName(f.pair.Name, role)
	if splitsMedia(spec.Exposure.WebRTC) {
		name = MediaTCPServiceName(f.pair.Name, role)
	}
	service := f.seen.service(f.pair, name)
	if service == nil {
		return ""
	}
	if spec.Exposure.WebRTC.Type == v1alpha1.ExposureNodePort {
		address, port := f.podNode(role), nodePort(service, PortNameHTTP)
		if address == "" || port == 0 {
			return ""
		}
		return "http://" + net.JoinHostPort(address, strconv.Itoa(int(port)))
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if host := cmp.Or(ingress.Hostname, ingress.IP); host != "" && servicePortNamed(service, PortNameHTTP) != nil {
			return "http://" + withPort(host, strconv.Itoa(PortPlayHTTP), "80")
		}
	}
	return ""
}

// podsBase is the base of the leg's own pod inside the cluster.
func (f *addressFinder) podsBase(role v1alpha1.Role) string {
	return "http://" + f.clusterHost(PodsServiceName(f.pair.Name, role), PortHTTP)
}
