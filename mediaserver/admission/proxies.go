package admission

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// ForwardedFor is the header in which a proxy tells the client's address. Each proxy appends the
// address that connected to it.
const ForwardedFor = "X-Forwarded-For"

// claims are the headers by which a client could pretend to have another address, or to have asked
// for another address. They are removed from a request that no trusted proxy sent. Of the headers
// that a trusted proxy sends, only X-Forwarded-For counts. Many proxies set that one, and pass
// Forwarded (RFC 7239) and others on as the client wrote them. X-Forwarded-Prefix claims nothing:
// it says how the client's own path began, and is used only in the answer to that client.
var claims = []string{
	ForwardedFor, "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
	"X-Forwarded-Server", "X-Forwarded-Scheme", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Forwarded",
}

// Proxies are the addresses that are trusted to tell a client's address, by X-Forwarded-For or by
// the PROXY protocol. A nil *Proxies trusts nobody. Proxies is safe for concurrent use.
type Proxies struct {
	trusted atomic.Pointer[[]netip.Prefix]
}

// ParseProxy reads a network in CIDR notation, or an address.
func ParseProxy(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.60q must be a network such as 10.0.0.0/8, or an address", text)
		}
		network = netip.PrefixFrom(address, address.BitLen())
	}
	if a := network.Addr(); a.Is4In6() {
		network = netip.PrefixFrom(a.Unmap(), max(0, network.Bits()-96))
	}
	if network.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%.60q must not be everybody: whoever is a proxy chooses its own address", text)
	}
	return network.Masked(), nil
}

// Trust replaces the addresses of the proxies.
func (p *Proxies) Trust(networks []netip.Prefix) {
	networks = append([]netip.Prefix(nil), networks...)
	p.trusted.Store(&networks)
}

// Trusts reports whether an address is a trusted proxy's.
func (p *Proxies) Trusts(a netip.Addr) bool {
	if p == nil {
		return false
	}
	trusted := p.trusted.Load()
	if trusted == nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, network := range *trusted {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the client of a request that came from an address with these X-Forwarded-For
// headers. The client is the rightmost address that is no trusted proxy. The client may have made
// up everything to the left of it. If an entry is no address, the proxy that wrote the entry is the
// client.
func (p *Proxies) Client(from netip.Addr, forwardedFor []string) netip.Addr {
	for i := len(forwardedFor) - 1; i >= 0; i-- {
		for rest, more := forwardedFor[i], true; more; {
			if !p.Trusts(from) {
				return from
			}
			entry := rest
			comma := strings.LastIndexByte(rest, ',')
			if more = comma >= 0; more {
				rest, entry = rest[:comma], rest[comma+1:]
			}
			entry = strings.TrimSpace(entry)
			if bare, ok := strings.CutPrefix(entry, "["); ok && strings.HasSuffix(bare, "]") {
				entry = strings.TrimSuffix(bare, "]")
			}
			next := AddressOf(entry)
			if !next.IsValid() {
				return from
			}
			from = next
		}
	}
	return from
}

// Handler returns a handler that calls h with the client's address as RemoteAddr. Behind a trusted
// proxy, that is an address without a port, which [AddressOf] reads. In requests that no trusted
// proxy sent, the headers that claim an address are removed.
func (p *Proxies) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := AddressOf(r.RemoteAddr)
		if p.Trusts(from) {
			if client := p.Client(from, r.Header.Values(ForwardedFor)); client != from {
				r.RemoteAddr = client.String()
			}
		} else {
			for _, name := range claims {
				delete(r.Header, name) // net/http has made the names canonical
			}
		}
		h.ServeHTTP(w, r)
	})
}
