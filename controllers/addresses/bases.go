package addresses

import (
	"cmp"
	"net"
	"strconv"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// playbackBase returns the URL under which viewers find the media servers' paths.
func (f *addressFinder) playbackBase(a *Addresses) string {
	if external := f.pair.Spec.Playback.ExternalURL; external != "" {
		return strings.TrimRight(external, "/")
	}
	exposure := f.pair.Spec.Exposure.HTTP
	for _, role := range objects.Roles() {
		if addresses := objects.LegAddresses(exposure.ExternalAddresses, role); len(addresses) > 0 {
			scheme, _, port := f.scheme()
			return scheme + "://" + externalHost(addresses[0], port)
		}
	}
	a.ClusterOnly = exposure.Type == v1alpha1.ExposureClusterIP
	return f.serviceBase()
}

// podPortSuffix ends the names of those ports of the
// playback Service that have a pod's port numbers.
const podPortSuffix = "-pod"

// serviceBase returns the base URL of the playback Service.
func (f *addressFinder) serviceBase() string {
	scheme, portName, defaultPort := f.scheme()
	if f.pair.Spec.Exposure.HTTP.Type == v1alpha1.ExposureClusterIP {
		// With a pod's port, the same URL with another host
		// opens a pod, for example through kubectl port-forward.
		portName += podPortSuffix
	}
	host := f.serviceHost(objects.PlayServiceName(f.pair.Name), portName, defaultPort, v1alpha1.RolePrimary)
	if host == "" {
		return ""
	}
	return scheme + "://" + host
}

// whipBase returns the base URL for the leg's WHIP publisher: the
// URL of the leg's own pod, or else the common URL of both legs.
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
	// The pod is reached by HTTP, because the certificate for viewers does not name this host.
	return f.podsBase(role)
}

// legBase returns the base URL at which viewers reach the leg's own pod. It is
// empty if viewers cannot reach the pod, or browsers would not let them. An
// address that is missing here is not pending, because it only saves viewers time.
func (f *addressFinder) legBase(role v1alpha1.Role) string {
	spec := f.pair.Spec
	scheme, _, port := f.scheme()
	if addresses := objects.LegAddresses(spec.Exposure.HTTP.ExternalAddresses, role); len(addresses) > 0 {
		return scheme + "://" + externalHost(addresses[0], port)
	}
	// A page that came by HTTPS may not request by HTTP,
	// and no certificate names the following addresses.
	if scheme == "https" || strings.HasPrefix(spec.Playback.ExternalURL, "https:") {
		return ""
	}
	if spec.Exposure.HTTP.Type == v1alpha1.ExposureClusterIP {
		if spec.Playback.ExternalURL != "" {
			return ""
		}
		return f.podsBase(role)
	}
	if !objects.MediaCarriesHTTP(f.pair, role) {
		return ""
	}
	name := objects.MediaServiceName(f.pair.Name, role)
	if objects.SplitsMedia(spec.Exposure.WebRTC) {
		name = objects.MediaTCPServiceName(f.pair.Name, role)
	}
	service := f.seen.Service(f.pair, name)
	if service == nil {
		return ""
	}
	if spec.Exposure.WebRTC.Type == v1alpha1.ExposureNodePort {
		address, port := f.podNode(role), nodePort(service, objects.PortNameHTTP)
		if address == "" || port == 0 {
			return ""
		}
		return "http://" + net.JoinHostPort(address, strconv.Itoa(int(port)))
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if host := cmp.Or(ingress.Hostname, ingress.IP); host != "" && servicePortNamed(service, objects.PortNameHTTP) != nil {
			return "http://" + withPort(host, strconv.Itoa(objects.PortPlayHTTP), "80")
		}
	}
	return ""
}

// podsBase returns the base URL of the leg's own pod inside the cluster.
func (f *addressFinder) podsBase(role v1alpha1.Role) string {
	return "http://" + f.clusterHost(objects.PodsServiceName(f.pair.Name, role), objects.PortHTTP)
}
