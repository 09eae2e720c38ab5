package mediatest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
)

// A Namespace is a network namespace with one link to the one that the test runs in: what
// runs there reaches the test's servers by Host, and no loopback address of theirs.
type Namespace struct {
	// Name is that of ip-netns(8).
	Name string
	// Host is the address of this end of the link, Inside that of the other.
	Host, Inside netip.Addr
}

// CanMakeNamespaces reports whether NewNamespace works: as root on Linux, with iproute2.
func CanMakeNamespaces() bool {
	if os.Geteuid() != 0 {
		return false
	}
	name := fmt.Sprintf("sp-probe-%08x", rand.Uint32())
	if exec.Command("ip", "netns", "add", name).Run() != nil {
		return false
	}
	return exec.Command("ip", "netns", "delete", name).Run() == nil
}

// NewNamespace makes a namespace, which is gone when the test ends.
func NewNamespace(tb TB) *Namespace {
	tb.Helper()
	// A /30 of the range for tests between networks, RFC 2544: of all that run at a time.
	n := rand.Uint32()
	base := [4]byte{198, 18 + byte(n&1), byte(n >> 8), byte(n>>16) &^ 3}
	at := func(host byte) netip.Addr { return netip.AddrFrom4([4]byte{base[0], base[1], base[2], base[3] + host}) }
	ns := &Namespace{Name: fmt.Sprintf("sp-test-%08x", n), Host: at(1), Inside: at(2)}
	outer, inner := fmt.Sprintf("spt%08x", n), fmt.Sprintf("spi%08x", n)
	run := func(args ...string) {
		tb.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			tb.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	run("netns", "add", ns.Name)
	tb.Cleanup(func() {
		_ = exec.Command("ip", "link", "delete", outer).Run() // gone with the namespace, else
		_ = exec.Command("ip", "netns", "delete", ns.Name).Run()
	})
	run("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", ns.Name)
	run("addr", "add", ns.Host.String()+"/30", "dev", outer)
	run("link", "set", outer, "up")
	run("-n", ns.Name, "addr", "add", ns.Inside.String()+"/30", "dev", inner)
	run("-n", ns.Name, "link", "set", inner, "up")
	run("-n", ns.Name, "link", "set", "lo", "up")
	return ns
}
