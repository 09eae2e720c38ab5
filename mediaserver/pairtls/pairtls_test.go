package pairtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an event that should take a moment.
const patience = eventually.Patience

// newCertificate makes a certificate like the operator does, for servers only. It has expired.
func newCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"sunday-control.live.streampair"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newIdentityOf(own *tls.Certificate) *Identity {
	i := NewIdentity()
	i.Set(own, own.Leaf)
	return i
}

// A port is a Listener that sends each client a byte, and notes which clients came.
type port struct {
	*Listener
	mu      sync.Mutex // guards all below
	proved  []netip.Addr
	reasons []string
}

func listen(t *testing.T, i *Identity, isPeer func(netip.Addr) bool) *port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{}
	p.Listener = Listen(l, ListenerConfig{
		TLS: i.ServerConfig("Primary"), IsPeer: isPeer,
		Proved: func(a netip.Addr) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.proved = append(p.proved, a)
		},
		Refused: func(_ net.Addr, reason string, _ error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.reasons = append(p.reasons, reason)
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("!"))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = p.Close()
		<-done
	})
	return p
}

func (p *port) came() (proved []netip.Addr, reasons []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.proved), slices.Clone(p.reasons)
}

func (p *port) eventually(t *testing.T, what string, holds func(proved []netip.Addr, reasons []string) bool) {
	t.Helper()
	eventually.Seen(t, eventually.Patience, what, func() (string, bool) {
		proved, reasons := p.came()
		return fmt.Sprintf("proved %v, refused %v", proved, reasons), holds(proved, reasons)
	})
}

// connect returns nil if a client with this configuration is served.
func connect(p *port, config *tls.Config) error {
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}
	c, err := d.Dial("tcp", p.Addr().String())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

func TestOnlyThePairsOtherServerGetsIn(t *testing.T) {
	pair, other := newCertificate(t), newCertificate(t)
	withoutKey := &tls.Certificate{Certificate: pair.Certificate, PrivateKey: other.PrivateKey}
	with := func(change func(*tls.Config)) *tls.Config {
		c := newIdentityOf(pair).ClientConfig("Primary")
		change(c)
		return c
	}
	shows := func(cert *tls.Certificate) *tls.Config {
		return with(func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		})
	}
	for _, tt := range []struct {
		name   string
		client *tls.Config
		reason string // empty: the client is served
	}{
		{"the pair's certificate", newIdentityOf(pair).ClientConfig("Primary"), ""},
		{"no certificate", with(func(c *tls.Config) { c.GetClientCertificate = nil }), ReasonNoCertificate},
		{"another certificate", shows(other), ReasonOtherCertificate},
		{"the pair's certificate without its key", shows(withoutKey), ReasonProtocol},
		{"another certificate before the pair's", shows(&tls.Certificate{
			Certificate: [][]byte{other.Certificate[0], pair.Certificate[0]}, PrivateKey: other.PrivateKey,
		}), ReasonOtherCertificate},
		{"TLS 1.2", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), ReasonProtocol},
		{"a server of the same leg", newIdentityOf(pair).ClientConfig("Backup"), ReasonProtocol},
		{"no protocol", with(func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }), ReasonProtocol},
		{"HTTPS", with(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }), ReasonProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := listen(t, newIdentityOf(pair), nil)
			err := connect(p, tt.client)
			if (err == nil) != (tt.reason == "") {
				t.Errorf("the client got in: %v (%v)", err == nil, err)
			}
			if tt.reason == "" {
				p.eventually(t, "it has proved its address", func(proved []netip.Addr, _ []string) bool {
					return slices.Equal(proved, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
				})
				return
			}
			p.eventually(t, "refused for "+tt.reason, func(proved []netip.Addr, reasons []string) bool {
				return len(proved) == 0 && slices.Equal(reasons, []string{tt.reason})
			})
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		p := listen(t, newIdentityOf(pair), nil)
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = c.Write([]byte("GET /live/primary.flv HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token\r\n\r\n"))
		p.eventually(t, "refused", func(_ []netip.Addr, reasons []string) bool { return slices.Equal(reasons, []string{ReasonProtocol}) })
	})
	t.Run("a flood of bytes instead of a handshake", func(t *testing.T) {
		p := listen(t, newIdentityOf(pair), nil)
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		// Handshake records with a message that claims to have 16 MiB.
		record := append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 0x4000-4)...)
		for range 64 {
			if _, err := c.Write(record); err != nil {
				break
			}
		}
		p.eventually(t, "refused", func(_ []netip.Addr, reasons []string) bool { return slices.Equal(reasons, []string{ReasonProtocol}) })
	})
}

// connected returns the two ends of a connection. The ends of a net.Pipe buffer nothing: a client
// that refuses while the server still writes would wait there until its deadline.
func connected(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}

func TestNothingIsSentToAServerThatIsNotThePairs(t *testing.T) {
	pair, other := newCertificate(t), newCertificate(t)
	ours := newIdentityOf(pair)
	for _, tt := range []struct {
		name   string
		server *tls.Config
	}{
		{"another certificate", newIdentityOf(other).ServerConfig("Primary")},
		{"the pair's certificate without its key", func() *tls.Config {
			c := newIdentityOf(pair).ServerConfig("Primary")
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: pair.Certificate, PrivateKey: other.PrivateKey}, nil
			}
			return c
		}()},
		{"a server of the own leg", newIdentityOf(pair).ServerConfig("Backup")},
		{"the command port, which has the same certificate", &tls.Config{Certificates: []tls.Certificate{*pair}, NextProtos: []string{"h2", "http/1.1"}}},
		{"a port with the same certificate that negotiates nothing", &tls.Config{Certificates: []tls.Certificate{*pair}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here, there := connected(t)
			got := &bytes.Buffer{}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c := tls.Server(there, tt.server)
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.Copy(got, c)
				_ = there.Close()
			}()
			c := tls.Client(here, ours.ClientConfig("Primary"))
			_ = c.SetDeadline(time.Now().Add(patience))
			err := c.Handshake()
			if err == nil {
				t.Error("the server is trusted")
			}
			_, _ = c.Write([]byte("secret"))
			_ = here.Close()
			<-done
			if got.Len() > 0 {
				t.Errorf("it was sent %q", got)
			}
		})
	}
}

func TestAReplacedCertificateIsAcceptedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := newCertificate(t), newCertificate(t), newCertificate(t)
		here, there := newIdentityOf(first), newIdentityOf(first)
		meet := func(a, b *Identity) bool {
			shown, err := a.certificate()
			return err == nil && b.accepts(shown.Leaf.Raw)
		}
		both := func(when string) {
			t.Helper()
			if !meet(here, there) || !meet(there, here) {
				t.Errorf("%s: the servers do not know each other", when)
			}
		}
		both("at first")
		here.Set(second, second.Leaf)
		both("one has the new certificate")
		here.Set(third, third.Leaf)
		both("one has a third certificate, and the other never had the second")
		time.Sleep(Overlap/2 - time.Second)
		both("the other is late")
		there.Set(third, third.Leaf)
		both("both have it")
		time.Sleep(2 * time.Second)
		if shown, _ := here.certificate(); shown != third {
			t.Error("the first certificate is shown for ever")
		}
		both("one shows the new certificate")
		time.Sleep(Overlap/2 - 2*time.Second)
		if !here.accepts(first.Leaf.Raw) || !here.accepts(second.Leaf.Raw) {
			t.Error("a replaced certificate is refused before its time is over")
		}
		time.Sleep(2 * time.Second)
		if here.accepts(first.Leaf.Raw) || here.accepts(second.Leaf.Raw) {
			t.Error("a replaced certificate is accepted for ever")
		}
		both("all is over")
		here.Set(third, third.Leaf) // as when the files are read again
		if here.accepts(first.Leaf.Raw) {
			t.Error("a certificate that was not replaced gives the one before another time")
		}
	})
}

func TestAnIdentityWithoutACertificateTrustsNobody(t *testing.T) {
	i, pair := NewIdentity(), newCertificate(t)
	if _, err := i.certificate(); err == nil || i.accepts(nil) || i.accepts(pair.Leaf.Raw) {
		t.Errorf("somebody is trusted; %v", err)
	}
}

func TestEachServerMayHaveACertificateOfItsOwn(t *testing.T) {
	a, b := newCertificate(t), newCertificate(t)
	here, there := NewIdentity(), NewIdentity()
	here.Set(a, b.Leaf)
	there.Set(b, a.Leaf)
	p := listen(t, here, nil)
	if err := connect(p, there.ClientConfig("Primary")); err != nil {
		t.Error(err)
	}
	if err := connect(p, here.ClientConfig("Primary")); err == nil {
		t.Error("a server takes its own certificate for the peer's")
	}
}

// hold opens n connections that send nothing.
func hold(t *testing.T, p *port, from string, n int) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	for range n {
		c, err := d.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

func TestStrangersWhoSayNothingTakeNoPlaceOfThePeer(t *testing.T) {
	pair := newCertificate(t)
	peer := netip.MustParseAddr("127.0.0.1")
	for _, tt := range []struct {
		name   string
		isPeer func(netip.Addr) bool
	}{
		{"the peer's address is known", func(a netip.Addr) bool { return a == peer }},
		{"the peer's address is not known", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := listen(t, newIdentityOf(pair), tt.isPeer)
			hold(t, p, "127.0.0.9", 3*maxHandshakes)
			// A connection is refused while too many are still leaving. The peer then connects again.
			began := time.Now()
			eventually.True(t, "the peer is served", func() bool {
				return connect(p, newIdentityOf(pair).ClientConfig("Primary")) == nil
			})
			t.Logf("the peer was served after %v", time.Since(began))
			p.eventually(t, "strangers were turned away", func(_ []netip.Addr, reasons []string) bool { return len(reasons) >= maxHandshakes })
		})
	}
}

func TestAHandshakeEndsInTime(t *testing.T) {
	p := listen(t, newIdentityOf(newCertificate(t)), nil)
	hold(t, p, "127.0.0.1", 1)
	p.eventually(t, "the client is given up", func(_ []netip.Addr, reasons []string) bool { return slices.Equal(reasons, []string{ReasonTimeout}) })
}

func TestAClosedListenerEndsItsHandshakes(t *testing.T) {
	p := listen(t, newIdentityOf(newCertificate(t)), nil)
	hold(t, p, "127.0.0.1", 3)
	began := time.Now()
	_ = p.Close()
	if took := time.Since(began); took > handshakeTimeout/2 {
		t.Errorf("it took %v", took)
	}
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}
