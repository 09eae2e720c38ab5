package rtc

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/streampair/streampair/mediaserver/admission"
)

// A Reach is how a client's request reached the server. It shows by which address the
// client's media can. The zero value means unknown.
type Reach struct {
	// Client is the client's address.
	Client netip.Addr
	// Host is the address in the URL that the client used; it is invalid when the URL has a name.
	Host netip.Addr
	// Local is the address at which the connection arrived. Behind a proxy or a load
	// balancer the client may not reach it.
	Local netip.Addr
}

// ReachOf returns the Reach of a request.
func ReachOf(r *http.Request) Reach {
	reach := Reach{Client: admission.AddressOf(r.RemoteAddr)}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		reach.Local = admission.AddressOf(local.String())
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if host, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		reach.Host = host.Unmap().WithZone("")
	} else if reach.Client.IsLoopback() && name != "localhost" {
		// A proxy on this machine forwards for a client that used a name.
		return Reach{}
	}
	return reach
}
