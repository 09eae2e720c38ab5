package server

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/peer"
)

func TestPodsSpeakTLSWithoutAnOperator(t *testing.T) {
	t.Parallel()
	m := newPodPair(t)
	m.start(0)
	m.start(1)
	m.publish(0)
	m.publish(1)
	m.areJoined("untold", control.TransportTLS, 0, 1)
	for leg, s := range m.pods {
		st := s.Status()
		want := &control.PeerRelay{TLS: true, Links: []control.PeerLink{{Address: m.ips[1-leg], Transport: control.TransportTLS}}}
		if diff := cmp.Diff(want, st.PeerRelay); diff != "" {
			t.Errorf("status of the %s's pod (-want +got):\n%s", legIDs[leg], diff)
		}
		if st.Addresses.Relay != fmt.Sprintf("%s:%d", m.ips[leg], config.RelayPort) {
			t.Errorf("the relay port is %s", st.Addresses.Relay)
		}
		if got := s.counted(`streampair_peers_connected{transport="tls"}`); got != "1" {
			t.Errorf("%s peers are counted over TLS", got)
		}
		if shown := m.wires[leg].shows(secrets()...); len(shown) > 0 {
			t.Errorf("the way from the %s's pod shows %q", legIDs[leg], shown)
		}
		if n := m.wires[leg].to(m.ips[1-leg] + ":5080"); n > 0 {
			t.Errorf("the %s's pod asked in clear %d times", legIDs[leg], n)
		}
	}
	m.tell(0)
	m.tell(1)
	m.areJoined("told that both speak TLS", control.TransportTLS, 0, 1)
}

func TestAPodThatSpeaksTLSServesNoPeerInClear(t *testing.T) {
	t.Parallel()
	m := newPodPair(t)
	m.start(0)
	m.publish(0)
	m.pods[0].onAir("primary", true, false)
	paths := []string{"/live/primary.flv", "/live/relay/primary?backupStreamId=backup", "/live/whep/primary/" + someSession(0)}
	refused := func(when string, want int) {
		t.Helper()
		for _, path := range paths {
			code, text := m.asksInClear(0, path)
			if code != http.StatusForbidden || strings.TrimSpace(text) != peer.RefusedInClear {
				t.Errorf("%s, %s: %d %s", when, path, code, text)
			}
		}
		if got := m.pods[0].counted(`streampair_http_requests_refused_total{reason="peer_in_clear"}`); got != fmt.Sprint(want) {
			t.Errorf("%s: %s refusals are counted, want %d", when, got, want)
		}
	}
	refused("before it is told", 3)
	m.tell(0)
	refused("told that its peers speak TLS", 6)
	// With the token alone, sent as players send theirs, the client counts as a
	// player with a wrong token. If anybody may play, it is a player like all others.
	answer, err := http.Get("http://" + m.ips[0] + ":5080/live/primary.flv")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("a player gets %v %v", answer, err)
	}
	head := make([]byte, 3)
	if _, err := io.ReadFull(answer.Body, head); err != nil || string(head) != "FLV" {
		t.Errorf("a player gets %q %v", head, err)
	}
	_ = answer.Body.Close()
}

// A stranger answers at both ports of an address of its own, and notes what it is asked.
type stranger struct {
	ip                 string
	asked, connections atomic.Int64
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	s := &stranger{ip: freeHost(t)}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		t.Logf("the stranger is asked %s %s with %v", r.Method, r.URL, r.Header)
		_, _ = io.WriteString(w, "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
	})
	made, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{5080, config.RelayPort} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", s.ip, port))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: h, ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		}}
		if port == config.RelayPort {
			l = tls.NewListener(l, &tls.Config{
				Certificates: []tls.Certificate{*made}, ClientAuth: tls.RequestClientCert,
				NextProtos: []string{"streampair-relay-primary", "streampair-relay-backup"},
			})
		}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return s
}

func TestNothingIsSentToAStrangerThatTheNameGives(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(m *podPair){
		"before the operator tells":                 func(*podPair) {},
		"where the peers speak TLS":                 func(m *podPair) { m.tell(0) },
		"where another address is told to be clear": func(m *podPair) { m.tell(0, "127.0.0.99") },
	} {
		t.Run(name, func(t *testing.T) {
			m := newPodPair(t)
			s := newStranger(t)
			m.names[1].is(s.ip)
			m.start(0)
			tell(m)
			m.publish(0)
			m.pods[0].onAir("primary", true, false)
			// The request is about a session of the other
			// leg's pod, so the stranger would be asked.
			m.pods[0].do("DELETE", "http://"+m.ips[0]+":5080/live/whep/primary/"+someSession(1), "")
			eventually.True(t, "the stranger was met", func() bool { return s.connections.Load() > 6 })
			if s.asked.Load() > 0 {
				t.Errorf("the stranger was asked %d times", s.asked.Load())
			}
			if shown := m.wires[0].shows(secrets()...); len(shown) > 0 {
				t.Errorf("the wire shows %q", shown)
			}
			for _, one := range m.pods[0].status().Streams {
				if one.Relayed {
					t.Errorf("the stream %s of the stranger is here", one.StreamID)
				}
			}
			if got := m.pods[0].counted(`streampair_relay_failures_total{reason="untrusted"}`); got == "" || got == "0" {
				t.Errorf("%q strangers are counted", got)
			}
			// The pair's own pod beside the stranger is still found.
			m.names[1].is(s.ip, m.ips[1])
			m.start(1)
			m.publish(1)
			m.areJoined("beside a stranger", control.TransportTLS)
			if s.asked.Load() > 0 {
				t.Errorf("the stranger was asked %d times", s.asked.Load())
			}
		})
	}
}

func TestAnAddressIsUsedOnceItsOwnerHasProvedThePairsKey(t *testing.T) {
	t.Parallel()
	m := newPodPair(t)
	m.names[1].is() // the name server of the primary's pod does not know the backup's
	a, b := m.start(0), m.start(1)
	eventually.True(t, "the backup's pod has shown itself, and is used", func() bool { return a.transport(m.ips[1]) == control.TransportTLS })
	// A stranger who only has the token is refused.
	ip := freeHost(t)
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+m.ips[1]+":5080/live/primary.flv", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+peer.DeriveRelayToken(firstCluster))
	r.Header.Set("Streampair-Relay", "1")
	m.tell(1, m.ips[0])
	answer, err := client.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("in clear, where that is allowed: %v %v", answer, err)
	}
	_ = answer.Body.Close()
	for _, l := range b.Status().PeerRelay.Links {
		if l.Address == ip {
			t.Error("the token alone made a peer's address known")
		}
	}
}

func TestAReplacedCertificateKeepsTheRelay(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	w.kill(1)
	first, own := w.files, newMount(t, t.TempDir(), w.keys) // each pod gets the new Secret at its own time
	w.files = own
	w.start(1)
	w.areConnected()
	w.publishBoth()

	renewed := keys(t, firstToken, secondCluster)
	known := func(s *testServer) func() bool {
		return func() bool {
			leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ports.controlCerts.current().Leaf.Raw})
			return string(leaf) == renewed["control.crt"]
		}
	}
	for i, files := range []*mount{first, own} {
		files.replace(renewed)
		eventually.True(t, "the "+legIDs[i]+"'s pod has the new certificate", known(w.servers[i]))
		w.cut((*mediatest.FaultyProxy).Reset) // so that both must prove again who they are
		eventually.True(t, "both legs are relayed after the certificate was replaced at the "+legIDs[i]+"'s pod", func() bool {
			return w.both(func(_ int, p control.Pair) bool {
				return p.Peer != nil && p.Peer.Connected && len(p.Legs) == 2 && p.Legs[0].Live && p.Legs[1].Live
			})
		})
	}
}

func TestAMixedPairIsRelayedInClearOnceTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	for old, name := range map[int]string{0: "the primary's pod is of the version before", 1: "the backup's pod is"} {
		t.Run(name, func(t *testing.T) {
			m := newPodPair(t)
			m.start(old, asBefore)
			s := m.start(1 - old)
			m.publish(0)
			m.publish(1)
			s.isCut("the operator has not told")
			if n := m.wires[1-old].to(m.ips[old] + ":5080"); n > 0 {
				t.Errorf("untold, it asked in clear %d times", n)
			}
			m.tell(1-old, m.ips[old])
			m.areJoined("mixed", control.TransportClear, 0, 1)
			if got := s.counted(`streampair_peers_connected{transport="clear"}`); got != "1" {
				t.Errorf("%s peers are counted in clear", got)
			}
			if n := strings.Count(m.logs[1-old].String(), "level=WARN msg=\"relay and forwarding are served in clear"); n != 1 {
				t.Errorf("the log warns %d times of what is in clear", n)
			}
			// The old pod is gone. From here on nothing is served or asked in clear.
			m.tell(1 - old)
			s.isCut("the operator says that the peer speaks TLS")
			asked := m.wires[1-old].to(m.ips[old] + ":5080")
			if code, text := m.asksInClear(1-old, "/live/"+legIDs[1-old]+".flv"); code != http.StatusForbidden {
				t.Errorf("in clear: %d %s", code, text)
			}
			time.Sleep(time.Second)
			if now := m.wires[1-old].to(m.ips[old] + ":5080"); now > asked {
				t.Errorf("it fell back to clear by itself, %d times", now-asked)
			}
		})
	}
}

func TestAReplacedPodSpeaksTLSAtOnce(t *testing.T) {
	t.Parallel()
	m := newPodPair(t)
	m.start(0, asBefore)
	s := m.start(1)
	m.publish(0)
	m.publish(1)
	m.tell(1, m.ips[0])
	m.areJoined("mixed", control.TransportClear)
	before := m.pods[0]
	before.end()
	<-before.ended
	old := m.ips[0]
	m.ips[0] = freeHost(t)
	m.names[0].is(old, m.ips[0])
	m.start(0)
	m.publish(0)
	// The operator has not yet said that the old pod is gone.
	m.areJoined("the new pod beside the word of the old", control.TransportTLS, 0, 1)
	m.tell(1)
	m.areJoined("the operator has said so", control.TransportTLS)
	if s.Status().PeerRelay.Clear != nil {
		t.Errorf("clear is allowed still: %+v", s.Status().PeerRelay)
	}
}

func TestBesideAnOldOperatorEitherWayIsTried(t *testing.T) {
	t.Parallel()
	m := newPodPair(t)
	m.start(0)
	m.start(1)
	m.publish(0)
	m.publish(1)
	m.tell(0)
	m.tell(1)
	m.areJoined("told that both speak TLS", control.TransportTLS)
	// The chart is rolled back. First the operator is
	// replaced, which leaves the pods as they are …
	for _, s := range m.pods {
		s.NoteOldOperator()
		if st := s.Status().PeerRelay; !st.Told || !st.ClearAny {
			t.Errorf("status tells %+v", st)
		}
	}
	m.areJoined("beside an old operator", control.TransportTLS)
	// … and then one pod.
	m.pods[0].end()
	<-m.pods[0].ended
	m.start(0, asBefore)
	m.publish(0)
	m.areJoined("the old pod is back", control.TransportClear, 0, 1)
	// The chart is upgraded again.
	m.tell(1, m.ips[0])
	m.areJoined("the operator knows it", control.TransportClear)
	m.pods[0].end()
	<-m.pods[0].ended
	m.start(0)
	m.publish(0)
	m.tell(1)
	m.areJoined("both speak TLS", control.TransportTLS, 0, 1)
}

func TestOnlyTheOperatorsPodsAreToldOfPeers(t *testing.T) {
	w := startRelayedPair(t, sticky)
	if err := w.servers[0].TellPeers(control.Peers{Clear: []string{"127.0.0.1"}}); err == nil {
		t.Error("a server that was run by hand takes a word about clear")
	}
	w.servers[0].NoteOldOperator()
	if allowed, _ := w.servers[0].peer.ClearAccess().Allowed(); allowed {
		t.Error("a server that was run by hand serves in clear")
	}
	m := newPodPair(t)
	s := m.start(0)
	for text, clear := range map[string][]string{"no IP address": {"pod"}, "at most 16": make([]string, 17)} {
		if err := s.TellPeers(control.Peers{Clear: clear}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", clear, err)
		}
	}
	if s.Status().PeerRelay.Told {
		t.Error("a wrong word counts")
	}
}

func TestServersByHandSpeakInClearOnlyIfBothAreToldTo(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky, func(c *Config) { c.PeerInsecure = true })
	w.publishBoth()
	for i, s := range w.servers {
		if st := s.Status().PeerRelay; st.TLS || len(st.Links) != 1 || st.Links[0].Transport != control.TransportClear {
			t.Errorf("the %s's server tells %+v", legIDs[i], st)
		}
	}
	if a, _ := netip.ParseAddr("127.0.0.1"); !w.servers[0].peer.Includes(a) {
		t.Error("the peer has no places of its own")
	}
}
