package mediatest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// A Namespace is a network namespace with one link to the test's own namespace. Programs in
// it reach the test's servers at Host, but not at a loopback address.
type Namespace struct {
	// Name is its name for ip-netns(8).
	Name string
	// Host is the address of the test's end of the link, Inside that of the other end.
	Host, Inside netip.Addr
}

// CanMakeNamespaces reports whether NewNamespace works. It works as root on Linux with
// iproute2. It does not work with -short, which starts no programs.
func CanMakeNamespaces() bool {
	if os.Geteuid() != 0 || testing.Testing() && testing.Short() {
		return false
	}
	name := fmt.Sprintf("sp-probe-%08x", rand.Uint32())
	if exec.Command("ip", "netns", "add", name).Run() != nil {
		return false
	}
	return exec.Command("ip", "netns", "delete", name).Run() == nil
}

// NewNamespace makes a namespace. It is removed when the test ends.
func NewNamespace(tb TB) *Namespace {
	tb.Helper()
	// The address is a /30 of the range for tests between networks (RFC 2544), chosen
	// at random among parallel tests.
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
		_ = exec.Command("ip", "link", "delete", outer).Run() // fails if the link went with the namespace
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
