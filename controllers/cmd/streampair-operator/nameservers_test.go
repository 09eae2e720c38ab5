package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadNameServers(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a pod's file", "search live.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n", []string{"10.96.0.10"}},
		{"several, one of them twice", "nameserver 2001:db8::53\nnameserver\t10.96.0.10\nnameserver 10.96.0.10\n", []string{"10.96.0.10", "2001:db8::53"}},
		{"no more than a resolver asks", "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		{"one of the machine itself", "nameserver 127.0.0.53\nnameserver ::1\n", nil},
		{"an address with a zone, and one in IPv6 form", "nameserver fe80::1%eth0\nnameserver ::ffff:10.96.0.10\n", []string{"10.96.0.10", "fe80::1"}},
		{"comments and lines that mean nothing", "# nameserver 10.0.0.1\n;nameserver 10.0.0.2\nnameserver\nnameserver dns.example.com\n\n", nil},
		{"an empty file", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			servers, err := readNameServers(file)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, server := range servers {
				got = append(got, server.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if _, err := readNameServers(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a file that is not there")
	}
}
