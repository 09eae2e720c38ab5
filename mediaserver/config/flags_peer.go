package config

import (
	"net/url"
	"strings"
)

// peering checks the flags that connect the server with the other leg's. secured
// says that there are control files, by which the two servers recognize each other.
func (f *flags) peering(c *Config, secured bool, mistakes *Mistakes) {
	c.PeerInsecure, c.PeerTLSCert = f.peerInsecure, f.peerTLSCert
	f.exist(map[string]string{"peer-tls-cert": f.peerTLSCert}, mistakes)
	if !secured || f.role == "" || f.peerInsecure {
		if f.isGiven("relay-address") && c.RelayAddress != "" {
			mistakes.add("%s: needs --role, --control-tls-cert, --control-tls-key and --control-token-file, and no --peer-insecure", f.where("relay-address"))
		}
		c.RelayAddress = ""
	}
	c.Peer = strings.TrimSuffix(f.peer, "/")
	if c.Peer == "" {
		if f.peerInsecure || f.peerTLSCert != "" {
			mistakes.add("--peer-insecure, --peer-tls-cert: need --peer")
		}
		return
	}
	u, err := url.Parse(c.Peer)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Path != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		shown := f.peer
		if err == nil {
			shown = u.Redacted()
		}
		mistakes.add("%s: %q must be https://host:port", f.where("peer"), shown)
	case f.role == "" || f.control.TokenFile == "":
		mistakes.add("%s: needs --role, --control-tls-cert, --control-tls-key and --control-token-file", f.where("peer"))
	case u.Scheme == "https" && f.peerInsecure:
		mistakes.add("--peer-insecure: goes with a --peer of http; leave it out for %s", c.Peer)
	case u.Scheme == "http" && !f.peerInsecure && !c.Pod.IsMade():
		mistakes.add("%s: %q sends the streams and a token in clear, to whoever answers: use https://%s:%d, the other server's --relay-address, or add --peer-insecure",
			f.where("peer"), c.Peer, u.Hostname(), RelayPort)
	case f.peerInsecure && f.peerTLSCert != "":
		mistakes.add("--peer-tls-cert: goes with a --peer of https")
	}
}
