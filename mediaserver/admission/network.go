package admission

import "net/netip"

// subnetBits is the number of bits of an IPv6 address that its owner cannot choose.
const subnetBits = 64

// NetworkOf returns the network that a place counts for: an IPv4 address, or the /64 of an IPv6
// address. An IPv4 address written as IPv6 is the IPv4 address. All unknown addresses (the zero
// value) count together.
func NetworkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = subnetBits
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// AddressOf returns the address in "address:port" or "address". Both forms occur in
// http.Request.RemoteAddr behind [Proxies]. It returns the zero value if there is no address.
func AddressOf(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap()
	}
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// HostOf names the network of [NetworkOf] for people: an IPv4 address, or the /64 of an IPv6
// address. remote is as for [AddressOf]. HostOf returns remote itself if there is no address.
func HostOf(remote string) string {
	network := NetworkOf(AddressOf(remote))
	switch {
	case !network.IsValid():
		return remote
	case network.IsSingleIP():
		return network.Addr().String()
	}
	return network.String()
}
