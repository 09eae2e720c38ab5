package rtc

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/streampair/streampair/mediaserver/admission"
)

// A Reach says how a client's request reached the server, which tells by which address
// its media can. The zero value says nothing.
type Reach struct {
	// Client is the client's address.
	Client netip.Addr
	// Host is the address in the URL, as the client has it; not valid where that is a name.
	Host netip.Addr
	// Local is the address at which the connection arrived. Behind a proxy or a load
	// balancer the client may not reach it.
	Local netip.Addr
}

// ReachOf returns how a request reached the server.
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
		// A proxy on this machine speaks for a client who called the server by its name.
		return Reach{}
	}
	return reach
}
