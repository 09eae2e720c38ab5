package controllers

import (
	"net/netip"
	"slices"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// maxClearPeers is how many addresses a pod takes; see control.Peers.
const maxClearPeers = 16

// speaksTLS reports whether a pod of that status relays over TLS, and is told of its peers.
func speaksTLS(status *control.Status) bool { return status.PeerRelay != nil && status.PeerRelay.TLS }

// peersToTell returns what a leg's pod of that status is told of the other leg's pods.
//
// A pod of the other leg that has not been heard yet keeps what the pod was told of it
// before: an operator that starts while it does not reach that pod must not cut the relay
// between the two. If the pod was told nothing, they speak TLS.
func peersToTell(seen *Observation, role v1alpha1.Role, status *control.Status) control.Peers {
	var clear []netip.Addr
	for _, peer := range seen.Pods[otherRole(role)] {
		if hasEnded(peer.Pod) {
			continue
		}
		for _, address := range podAddresses(peer) {
			switch heard := peer.State.Status; {
			case heard != nil && speaksTLS(heard):
			case heard == nil && !status.PeerRelay.ClearAny && !slices.Contains(status.PeerRelay.Clear, address.String()):
			default:
				clear = append(clear, address)
			}
		}
	}
	slices.SortFunc(clear, netip.Addr.Compare)
	clear = slices.Compact(clear)
	told := control.Peers{Clear: []string{}}
	for _, address := range clear[:min(len(clear), maxClearPeers)] {
		told.Clear = append(told.Clear, address.String())
	}
	return told
}

func otherRole(role v1alpha1.Role) v1alpha1.Role {
	if role == v1alpha1.RolePrimary {
		return v1alpha1.RoleBackup
	}
	return v1alpha1.RolePrimary
}

// podAddresses are the addresses of a pod.
func podAddresses(pod ObservedPod) []netip.Addr {
	var addresses []netip.Addr
	add := func(text string) {
		if a, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, a.Unmap())
		}
	}
	add(pod.Status.PodIP)
	for _, ip := range pod.Status.PodIPs {
		add(ip.IP)
	}
	return addresses
}

// forgotPeers reports whether a pod of that status has not been told what it should.
func forgotPeers(told control.Peers, status *control.Status) bool {
	r := status.PeerRelay
	return r != nil && (!r.Told || r.ClearAny || !slices.Equal(r.Clear, told.Clear) && len(r.Clear)+len(told.Clear) > 0)
}
