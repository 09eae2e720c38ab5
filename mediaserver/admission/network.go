package admission

import "net/netip"

// subnetBits are the bits of an IPv6 address that its owner cannot choose.
const subnetBits = 64

// NetworkOf returns whom a place counts for: an IPv4 address, or the /64 of an IPv6 address.
// An IPv4 address written as IPv6 is the IPv4 address. Places of an unknown address (the zero
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

// AddressOf returns the address in "address:port" or "address", as http.Request.RemoteAddr
// has it behind [Proxies]; the zero value where there is none.
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
