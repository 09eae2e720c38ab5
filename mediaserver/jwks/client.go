package jwks

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"github.com/streampair/streampair/api/publicnet"
)

// newClient returns a client that calls public addresses and the allowed networks only, whatever a
// name resolves to. The client follows no redirects.
func newClient(allowed []netip.Prefix, config *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if err := publicnet.Judge(address, allowed); err != nil {
			return fmt.Errorf("%w (--jwks-networks)", err)
		}
		return nil
	}}
	return &http.Client{
		Timeout:   fetchTimeout,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, MaxResponseHeaderBytes: MaxBytes, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the URL redirects: name the URL of the key set itself")
		},
	}
}
