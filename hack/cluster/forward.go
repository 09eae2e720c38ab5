package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// A dialer connects from another network, such as that of a machine of the cluster.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// A gateway lets a browser on the host watch what is inside the cluster. It forwards HTTP,
// and media by ICE-TCP. It does not forward UDP, because it would have to tell viewers apart.
type gateway struct {
	dial dialer

	mu    sync.Mutex
	ports map[string]int // ports of the host, by the cluster's address to which they lead
	open  []net.Listener
}

func newGateway(dial dialer) *gateway { return &gateway{dial: dial, ports: map[string]int{}} }

// Close closes all listeners of the gateway.
func (g *gateway) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.open {
		_ = l.Close()
	}
}

// handler returns a proxy to an address in the cluster.
func (g *gateway) handler(to string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to})
			r.Out.Host = r.In.Host // the player makes its URLs of this host
			r.SetXForwarded()
		},
		Transport:      &http.Transport{DialContext: g.dial},
		FlushInterval:  -1, // events
		ModifyResponse: g.rewrite,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
}

// rewrite makes the candidates in a WHEP answer lead through the gateway.
func (g *gateway) rewrite(r *http.Response) error {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/sdp") {
		return nil
	}
	sdp, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	sdp = withPorts(sdp, g.port)
	r.Body = io.NopCloser(bytes.NewReader(sdp))
	r.ContentLength = int64(len(sdp))
	r.Header.Set("Content-Length", strconv.Itoa(len(sdp)))
	return nil
}

// withPorts replaces the addresses of the passive TCP candidates (RFC 6544 section 4.5) by
// ports of this host. It removes all other candidates, which cannot be reached from here.
func withPorts(sdp []byte, port func(address string) (int, error)) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(sdp)) {
		if !strings.HasPrefix(line, "a=candidate:") {
			out.WriteString(line)
			continue
		}
		// The fields are: foundation component transport priority address port typ type…
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.EqualFold(fields[2], "tcp") || !strings.Contains(line, "tcptype passive") {
			continue
		}
		local, err := port(net.JoinHostPort(fields[4], fields[5]))
		if err != nil {
			continue
		}
		fields[4], fields[5] = "127.0.0.1", strconv.Itoa(local)
		out.WriteString(strings.Join(fields, " ") + "\r\n")
	}
	return []byte(out.String())
}

// port returns the port of the host that leads to an address in the cluster.
func (g *gateway) port(address string) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if port, ok := g.ports[address]; ok {
		return port, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("forward to %s: %w", address, err)
	}
	g.open = append(g.open, l)
	g.ports[address] = l.Addr().(*net.TCPAddr).Port
	go g.forward(l, address)
	return g.ports[address], nil
}

// forward forwards connections until the listener is closed.
func (g *gateway) forward(l net.Listener, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = in.Close() }()
			out, err := g.dial(context.Background(), "tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			done := make(chan struct{}, 2)
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					done <- struct{}{}
				}()
			}
			<-done // closing both ends the other copy
		}()
	}
}
