// Package publicnet keeps a process from calling private networks for strangers. Whoever may write a
// StreamPair names URLs that our processes call, and a name may resolve to any address. [Judge] is
// for the Control function of a net.Dialer, which is told the address that is really called.
package publicnet

import (
	"fmt"
	"net/netip"
	"slices"
)

// closed are the networks that netip has no name for and that are not the public internet
// (IANA's special-purpose address registries, RFC 6890).
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays of old
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("::/96"),           // IPv4-compatible addresses of old
	netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64 for local use
	netip.MustParsePrefix("100::/64"),        // discard
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which may lead to any IPv4 address
	netip.MustParsePrefix("3fff::/20"),       // documentation
	netip.MustParsePrefix("5f00::/16"),       // segment routing
	netip.MustParsePrefix("fec0::/10"),       // site-local of old
}

// nat64 is the network whose addresses stand for IPv4 addresses: the last four bytes (RFC 6052
// section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// reached returns the address that is reached by calling a.
func reached(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		bytes := a.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return a
}

// isPublic reports whether the address is on the public internet.
func isPublic(a netip.Addr) bool {
	a = reached(a)
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(closed, func(network netip.Prefix) bool { return network.Contains(a) })
}

// Judge returns why a host and port must not be called; nil: it is on the public internet or in one of
// the allowed networks.
func Judge(address string, allowed []netip.Prefix) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := reached(ap.Addr())
	if isPublic(a) || slices.ContainsFunc(allowed, func(network netip.Prefix) bool { return network.Contains(a) }) {
		return nil
	}
	return fmt.Errorf("%v is not a public address, and no allowed network has it", a)
}
