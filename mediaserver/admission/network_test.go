package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostOf(t *testing.T) {
	got := map[string]string{}
	for _, remote := range []string{"192.0.2.1:5000", "[::ffff:192.0.2.1]:5000", "[2001:db8::1]:1", "[2001:db8::ffff:1]:2", "[fe80::1%eth0]:1", "@"} {
		got[remote] = HostOf(remote)
	}
	want := map[string]string{
		"192.0.2.1:5000": "192.0.2.1", "[::ffff:192.0.2.1]:5000": "192.0.2.1",
		"[2001:db8::1]:1": "2001:db8::/64", "[2001:db8::ffff:1]:2": "2001:db8::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "@": "@",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
