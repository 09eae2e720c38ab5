package addresses

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// nodeAddress returns the address of the node of the leg's pod, or else of the other leg's pod.
func (f *addressFinder) nodeAddress(role v1alpha1.Role) string {
	for _, role := range []v1alpha1.Role{role, objects.OtherRole(role)} {
		if address := f.podNode(role); address != "" {
			return address
		}
	}
	f.wait("no media pod is on a node with an address yet")
	return ""
}

// nodeMedia returns the addresses of the node of the leg's own pod, for browsers.
// It returns those of the given families, or all if no families are given.
func (f *addressFinder) nodeMedia(role v1alpha1.Role, families []corev1.IPFamily, udp, tcp int32) []string {
	var addresses []string
	found := f.podNodes(role)
	for _, address := range found {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			continue
		}
		if len(families) == 0 || slices.Contains(families, familyOf(ip)) {
			addresses = append(addresses, mediaAddresses(ip, udp, tcp)...)
		}
	}
	switch {
	case len(addresses) > 0:
	case len(found) == 0:
		f.wait("the %s's pod is not on a node with an address yet", objects.LegName(role))
	default:
		f.wait("the address %q of the %s's node is no IP address that its Service has", found[0], objects.LegName(role))
	}
	return addresses
}

func familyOf(ip netip.Addr) corev1.IPFamily {
	if ip.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// podNode returns the first address of the node of the leg's pod.
func (f *addressFinder) podNode(role v1alpha1.Role) string {
	if addresses := f.podNodes(role); len(addresses) > 0 {
		return addresses[0]
	}
	return ""
}

// podNodes returns the addresses of the node of the leg's pod, one of each family.
func (f *addressFinder) podNodes(role v1alpha1.Role) []string {
	var addresses []string
	for _, pod := range f.seen.Pods[role] {
		if observed.HasEnded(pod.Pod) {
			continue // an evicted pod stays for long, still with the node that it ran on
		}
		if pod.NodeAddress != "" && (len(addresses) == 0 || pod.DeletionTimestamp.IsZero()) {
			addresses = append([]string{pod.NodeAddress}, pod.OtherNodeAddresses...)
		}
	}
	return addresses
}

// podFamilies returns the IP families of the leg's pod. A node's port
// leads to the pod in these families only. None: the families are unknown.
func (f *addressFinder) podFamilies(role v1alpha1.Role) []corev1.IPFamily {
	var families []corev1.IPFamily
	for _, pod := range f.seen.Pods[role] {
		for _, address := range pod.Status.PodIPs {
			if ip, err := netip.ParseAddr(address.IP); err == nil {
				families = append(families, familyOf(ip))
			}
		}
	}
	return families
}

// OneOfEachFamily returns the first address of each IP family, in their order.
// A candidate that is not an IP address counts only if it is the first.
func OneOfEachFamily(candidates []string) []string {
	var chosen []string
	has := map[corev1.IPFamily]bool{}
	for _, address := range candidates {
		ip, err := netip.ParseAddr(address)
		if address == "" || err != nil && len(chosen) > 0 {
			continue
		}
		family := corev1.IPv4Protocol
		if err == nil {
			family = familyOf(ip)
		}
		if !has[family] {
			has[family] = true
			chosen = append(chosen, address)
		}
	}
	return chosen
}
