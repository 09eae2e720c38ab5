package publicnet

import (
	"net/netip"
	"testing"
)

func TestJudge(t *testing.T) {
	cluster := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00::/8")}
	for _, a := range []string{"93.184.216.34:443", "[2606:2800:220:1::1]:443", "10.100.1.2:443", "[fd12::1]:8443", "[::ffff:10.100.1.2]:443"} {
		if err := Judge(a, cluster); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{
		"127.0.0.1:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:80", "100.64.0.1:443", "0.0.0.0:443",
		"224.0.0.1:443", "255.255.255.255:443", "[::1]:443", "[::]:443", "[fe80::1%eth0]:443", "[fc00::1]:443", "[ff02::1]:443", "[::ffff:127.0.0.1]:443",
		"[64:ff9b::a9fe:a9fe]:443", "[2002:7f00:1::]:443", "[fec0::1]:443", "[::7f00:1]:443", "198.18.0.1:443",
	} {
		if Judge(a, cluster) == nil {
			t.Errorf("%s may be called", a)
		}
	}
}
