package controllers

import (
	"net/netip"
	"slices"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/pods"
)

// speaksTLS reports whether a pod with that status
// relays over TLS and can be told of its peers.
func speaksTLS(status *control.Status) bool { return status.PeerRelay != nil && status.PeerRelay.TLS }

// peersToTell returns what to tell a leg's pod of the
// other leg's pods. status is the pod's own status.
//
// A peer that the operator has not heard yet keeps what this pod was told of it
// before. A starting operator may not reach the peer, and must not cut the relay
// between the two pods. If this pod was told nothing before, the pods relay over TLS.
func peersToTell(seen *observed.Pair, role v1alpha1.Role, status *control.Status) control.Peers {
	var clear []netip.Addr
	for _, peer := range seen.Pods[objects.OtherRole(role)] {
		if observed.HasEnded(peer.Pod) {
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
	for _, address := range clear[:min(len(clear), pods.MaxClearPeers)] {
		told.Clear = append(told.Clear, address.String())
	}
	return told
}

// podAddresses returns the addresses of a pod.
func podAddresses(pod observed.Pod) []netip.Addr {
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
