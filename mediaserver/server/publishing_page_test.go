package server

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// On a loopback port without a token, only programs and pages of this machine
// may publish. A site that a browser on this machine visits must not.
func TestOnlyPagesOfThisMachinePublishOnALoopbackPort(t *testing.T) {
	s := startServer(t, sticky)
	_, port, err := net.SplitHostPort(s.Addresses().HTTP)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, host, origin string
		refused            bool
	}{
		{"an encoder", "127.0.0.1:" + port, "", false},
		{"an encoder, by name", "localhost:" + port, "", false},
		{"an encoder, by IPv6 address", "[::1]:" + port, "", false},
		{"the server's own page", "localhost:" + port, "http://localhost:" + port, false},
		{"the server's own page, by address", "127.0.0.1:" + port, "http://127.0.0.1:" + port, false},
		{"a page of another port of this machine", "localhost:" + port, "http://localhost:3000", false},
		{"another site's page", "127.0.0.1:" + port, "https://evil.example", true},
		{"a page without an origin", "localhost:" + port, "null", true},
		{"a site that has its name resolve to this machine", "evil.example:" + port, "http://evil.example:" + port, true},
		{"that site, without an origin", "evil.example:" + port, "", true},
		{"a site whose name looks like this machine's", "localhost.evil.example", "", true},
		{"a site whose origin looks like this machine's", "localhost:" + port, "http://127.0.0.1.evil.example", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addresses().HTTP+"/live/whip/primary", strings.NewReader("v=0"))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = test.host
			r.Header.Set("Content-Type", "application/sdp")
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			want := http.StatusBadRequest // the offer is not valid
			if test.refused {
				want = http.StatusForbidden
			}
			if response.StatusCode != want || test.refused && !strings.Contains(string(body), "localhost") {
				t.Errorf("%s %s, want %d", response.Status, body, want)
			}
		})
	}
}

func TestWhichPortsAreOfThisMachineAlone(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:0": true, ":0": false} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isLoopback(l); got != want {
			t.Errorf("%s: %v", address, got)
		}
		_ = l.Close()
	}
	if isLoopback(nil) {
		t.Error("a port that is off")
	}
}
