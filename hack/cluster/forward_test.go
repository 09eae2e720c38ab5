package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCandidatesLeadThroughTheGateway(t *testing.T) {
	answer := strings.Join([]string{
		"v=0",
		"m=video 9 UDP/TLS/RTP/SAVPF 96",
		"a=candidate:1 1 udp 2130706431 10.244.1.5 8189 typ host",
		"a=candidate:2 1 tcp 1671430143 10.244.1.5 8189 typ host tcptype passive",
		"a=candidate:3 1 TCP 1671430142 10.98.0.6 8189 typ host tcptype passive ufrag x",
		"a=candidate:4 1 tcp 1671430141 10.98.0.7 8189 typ host tcptype passive",
		"a=candidate:broken",
		"a=end-of-candidates",
		"",
	}, "\r\n")
	port := func(address string) (int, error) {
		port, ok := map[string]int{"10.244.1.5:8189": 40001, "10.98.0.6:8189": 40002}[address]
		if !ok {
			return 0, errors.New("no port left")
		}
		return port, nil
	}
	want := strings.Join([]string{
		"v=0",
		"m=video 9 UDP/TLS/RTP/SAVPF 96",
		"a=candidate:2 1 tcp 1671430143 127.0.0.1 40001 typ host tcptype passive",
		"a=candidate:3 1 TCP 1671430142 127.0.0.1 40002 typ host tcptype passive ufrag x",
		"a=end-of-candidates",
		"",
	}, "\r\n")
	if diff := cmp.Diff(want, string(withPorts([]byte(answer), port))); diff != "" {
		t.Error(diff)
	}
}

// A page, and the port of a candidate, lead through the gateway to the server behind it.
func TestGateway(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/sdp")
			host, port, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
			_, _ = io.WriteString(w, "a=candidate:1 1 tcp 1 "+host+" "+port+" typ host tcptype passive\r\n")
			return
		}
		_, _ = io.WriteString(w, "asked for "+r.Host)
	}))
	defer behind.Close()
	g := newGateway((&net.Dialer{}).DialContext)
	defer g.Close()
	front := httptest.NewServer(g.handler(behind.Listener.Addr().String()))
	defer front.Close()

	if got, want := get(t, front.URL), "asked for "+front.Listener.Addr().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	resp, err := http.Post(front.URL, "application/sdp", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	port := strings.Fields(string(answer))[5]
	if _, behindPort, _ := net.SplitHostPort(behind.Listener.Addr().String()); port == behindPort {
		t.Fatalf("the candidate leads past the gateway: %s", answer)
	}
	if got, want := get(t, "http://127.0.0.1:"+port), "asked for 127.0.0.1:"+port; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
