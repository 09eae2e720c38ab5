package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// A podPair is two servers that run as media pods of one pair. Each has its own
// address on this machine, with the ports of a pod, and finds the other one by name.
type podPair struct {
	t     *testing.T
	files *mount // of the pair's Secret
	ips   [2]string
	names [2]*nameServer // of each leg's pods
	wires [2]*wire       // of each server's connections to the other one
	logs  [2]*mediatest.LogLines
	pods  [2]*testServer
}

func newPodPair(t *testing.T) *podPair {
	t.Helper()
	m := &podPair{t: t, files: newMount(t, t.TempDir(), keys(t, firstToken, firstCluster))}
	for leg := range m.pods {
		m.ips[leg] = freeHost(t)
		m.names[leg], m.wires[leg], m.logs[leg] = &nameServer{}, &wire{}, &mediatest.LogLines{}
		m.names[leg].is(m.ips[leg])
	}
	return m
}

// freeHost returns an address of this machine on which no port of a pod is in use.
func freeHost(t *testing.T) string {
	t.Helper()
	for {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), 1+rand.IntN(250), 1+rand.IntN(250))
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, config.RelayPort))
		if err == nil {
			_ = l.Close()
			return ip
		}
	}
}

// asBefore makes a pod behave like the version before TLS. Such
// a pod always serves and asks in clear, and has no relay port.
func asBefore(c *Config) { c.PeerInsecure, c.RelayAddress = true, "" }

// start starts the pod of a leg.
func (m *podPair) start(leg int, options ...func(*Config)) *testServer {
	m.t.Helper()
	ip := m.ips[leg]
	m.pods[leg] = startServer(m.t, sticky, append([]func(*Config){func(c *Config) {
		c.Role = [2]v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}[leg]
		c.Pod = config.Pod{Name: "sunday-" + legIDs[leg], Node: "node-a", IP: netip.MustParseAddr(ip)}
		c.Peer = "http://sunday-" + legIDs[1-leg] + "-pods.live.svc:5080"
		c.Control = m.files.controlFiles()
		c.HTTPAddress, c.RelayAddress = ip+":5080", fmt.Sprintf("%s:%d", ip, config.RelayPort)
		c.lookup, c.dial = m.names[1-leg].lookup, m.wires[leg].dialFrom(ip)
		c.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(m.logs[leg], m.t.Output()), nil)).With("server", legIDs[leg])
	}}, options...)...)
	return m.pods[leg]
}

// tell tells the pod of a leg what the operator would tell it.
func (m *podPair) tell(leg int, clear ...string) {
	m.t.Helper()
	if err := m.pods[leg].TellPeers(control.Peers{Clear: append([]string{}, clear...)}); err != nil {
		m.t.Fatal(err)
	}
}

// publish starts the encoder of a leg at its pod.
func (m *podPair) publish(leg int) publisher {
	m.t.Helper()
	path := file(m.t, mediatest.Programme{Leg: leg})
	return mediatest.Publish(m.t, path, m.pods[leg].publishURL(legIDs[leg]), "-stream_loop", "-1")
}

// areJoined waits until both pods have both legs
// live, and are connected over the given transport.
func (m *podPair) areJoined(how string, transport string, legs ...int) {
	m.t.Helper()
	for leg, s := range m.pods {
		eventually.True(m.t, how+": both legs live at the "+legIDs[leg]+"'s pod, joined by "+transport, func() bool {
			p := s.pair("sunday")
			return len(p.Legs) == 2 && p.Legs[0].Live && p.Legs[1].Live && p.Peer != nil && p.Peer.Connected && s.transport(m.ips[1-leg]) == transport
		})
	}
	for _, leg := range legs {
		m.forwards(how, leg)
	}
}

// forwards checks that the pod of a leg forwards a request about a session of the other pod.
func (m *podPair) forwards(how string, leg int) {
	m.t.Helper()
	// A busy machine may need more than the second that a
	// peer has to answer. By then the session may be gone.
	eventually.True(m.t, how+": the "+legIDs[leg]+"'s pod forwards", func() bool {
		session := m.pods[1-leg].beginAt(m.ips[1-leg])
		answer, text := m.pods[leg].do("DELETE", "http://"+m.ips[leg]+":5080/live/whep/primary/"+session+"?backupStreamId=backup", "")
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusBadGateway {
			m.t.Fatalf("%s: the %s's pod forwards: %s %s", how, legIDs[leg], answer.Status, text)
		}
		return answer.StatusCode == http.StatusOK
	})
}

// beginAt opens a viewer's session at an address of the server.
func (s *testServer) beginAt(ip string) (session string) {
	s.t.Helper()
	answer, text := s.do("POST", "http://"+ip+":5080/live/whep/primary?backupStreamId=backup", offer(s.t), "Content-Type", "application/sdp")
	if answer.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s %s", answer.Status, text)
	}
	location := answer.Header.Get("Location")
	return location[strings.LastIndexByte(location, '/')+1:]
}

// transport returns how the server is connected to the
// one at that address; empty: it is not connected.
func (s *testServer) transport(ip string) string {
	for _, l := range s.Status().PeerRelay.Links {
		if l.Address == ip {
			return l.Transport
		}
	}
	return ""
}

// isCut waits until a pod has no relayed stream and no connection to a peer.
func (s *testServer) isCut(why string) {
	s.t.Helper()
	eventually.True(s.t, "no relay: "+why, func() bool {
		p := s.pair("sunday")
		if p.Peer == nil || p.Peer.Connected {
			return false
		}
		for _, one := range s.status().Streams {
			if one.Relayed && one.Publishing {
				return false
			}
		}
		return true
	})
}

// asksInClear sends a request to the pod of a leg, as a peer of the version before TLS does.
func (m *podPair) asksInClear(leg int, path string) (code int, text string) {
	m.t.Helper()
	header := []string{"Authorization", "Bearer " + peer.DeriveRelayToken(firstCluster), "Streampair-Relay", "1"}
	if strings.Contains(path, "/whep/") {
		header = []string{peer.ForwardedHeader, peer.DeriveRelayToken(firstCluster)}
	}
	method := "GET"
	if strings.Contains(path, "/whep/") {
		method = "DELETE"
	}
	answer, body := m.pods[leg].do(method, "http://"+m.ips[leg]+":5080"+path, "", header...)
	return answer.StatusCode, body
}

// someSession returns the id of a session that the leg's pod does not have.
func someSession(leg int) string {
	return signalling.Origin{Role: legIDs[leg][:1], BootID: signalling.NewBootID()}.NewID()
}

// counted returns the value of one of the server's metrics.
// series is the name with the labels as they are written.
func (s *testServer) counted(series string) (value string) {
	s.t.Helper()
	_, text := s.do("GET", "http://"+s.Addresses().Probe+"/metrics", "")
	for line := range strings.Lines(text) {
		if got, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return got
		}
	}
	return ""
}

// A wire records what passes through a server's connections to its peers, in both directions.
type wire struct {
	mu     sync.Mutex // guards all below
	bytes  bytes.Buffer
	dialed map[string]int // by address
}

func (w *wire) dialFrom(ip string) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		w.mu.Lock()
		if w.dialed == nil {
			w.dialed = make(map[string]int)
		}
		w.dialed[address]++
		w.mu.Unlock()
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &tapped{c, w}, nil
	}
}

func (w *wire) note(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes.Len() < 64<<20 {
		w.bytes.Write(b)
	}
}

// shows returns which of the texts passed in clear.
func (w *wire) shows(texts ...string) (shown []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		if bytes.Contains(w.bytes.Bytes(), []byte(text)) {
			shown = append(shown, text)
		}
	}
	return shown
}

// to returns how often an address was dialed.
func (w *wire) to(address string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dialed[address]
}

type tapped struct {
	net.Conn
	w *wire
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.note(b[:n])
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.w.note(b)
	return c.Conn.Write(b)
}

// secrets returns what nobody on the way may read: tokens, the beginning
// of an FLV stream or a request, and parts of a line about the pair.
func secrets() []string {
	return []string{firstCluster, peer.DeriveRelayToken(firstCluster), "FLV\x01", "HTTP/1.1", "primary.flv", "onAir", "sinceNanoseconds"}
}
