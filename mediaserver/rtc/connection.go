package rtc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

// gatherLimit bounds the time until the candidates of an answer are there. Only sockets that are
// already open are gathered, so gathering takes no time.
const gatherLimit = 5 * time.Second

// connectionEvents is what a ViewerConnection tells its viewer.
type connectionEvents interface {
	// connected is called once, when ICE and DTLS have finished.
	connected()
	// disconnected is called when the viewer has left or cannot be reached. It must not block.
	disconnected(reason string)
	// received is called with each compound RTCP packet, whose sender has been authenticated.
	received([]rtcp.Packet)
}

// A ViewerConnection is the way to one viewer: ICE on the Engine's sockets, DTLS and SRTP. pion's
// packages of these names do the protocols. A PeerConnection of pion would have twice the
// goroutines and more memory, and would send each packet with a system call of its own.
//
// The server's ICE agent is a full one (RFC 8445), but sends triggered checks alone: nothing goes to
// an address that has not first sent an authenticated check.
type ViewerConnection struct {
	engine      *Engine
	selection   *sdpoffer.Selection
	certificate *certificate
	agent       *ice.Agent
	path        *path
	events      connectionEvents       // set by Output.AddViewer
	streams     map[string]sentStreams // by kind of media; see addStream
	sender      int                    // number of the viewer's fanout; set by Output.AddViewer
	// route is where packets go; nil: not known yet, or over ICE-TCP.
	route atomic.Pointer[route]

	ctx    context.Context //nolint:containedctx // the connection's life, which Close ends
	cancel context.CancelFunc
	ended  sync.WaitGroup

	// incoming decrypts RTCP. Only the DTLS reader uses it.
	incoming atomic.Pointer[srtp.Context]

	// Viewer.mu guards the following, once events.connected has been called.
	packets  *ice.Conn
	outgoing *srtp.Context
	header   rtp.Header // reused for every packet
	overhead int        // that encryption adds to a packet, in bytes
	outbox   *outbox    // nil: no packet waits
	lost     int        // packets that could not be sent since the last Flush
	// alone reports whether the path takes packets only one by one.
	alone bool
}

// A route is the UDP socket and the address to which a viewer's packets go.
type route struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

// NewViewerConnection makes the connection of a viewer whose offer has that selection. The caller
// must pass it to Output.AddViewer, or close it.
func (e *Engine) NewViewerConnection(selection *sdpoffer.Selection) (*ViewerConnection, error) {
	certificate, err := e.currentCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	c := &ViewerConnection{engine: e, selection: selection, certificate: certificate, path: newPath(e.connection), streams: map[string]sentStreams{}}
	if c.agent, err = ice.NewAgentWithOptions(e.agentOptions(c.path)...); err != nil {
		return nil, fmt.Errorf("make ICE agent: %w", err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// RemoteAddress returns the address that the viewer's media goes to. It returns the zero value
// while that address is unknown.
func (c *ViewerConnection) RemoteAddress() netip.Addr {
	pair, err := c.agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return netip.Addr{}
	}
	return addressOf(pair.Remote).Addr()
}

// AddCandidate checks a trickled candidate (RFC 8840). The server has no use for it: it answers
// whoever reaches it, and checks no address that it was told. The error says that the candidate
// cannot be read.
func (c *ViewerConnection) AddCandidate(candidate string) error {
	_, err := ice.UnmarshalCandidate(strings.TrimPrefix(candidate, "candidate:"))
	return err
}

// Answer returns the answer to the whole offer, and lets the viewer connect. The answer has all
// candidates, ordered for a client that came by reach. Output.AddViewer must have been called.
func (c *ViewerConnection) Answer(reach Reach) (string, error) {
	description, err := c.describeGathered(reach, false)
	if err != nil {
		return "", err
	}
	if err := c.start(); err != nil {
		return "", err
	}
	return c.selection.Complete(description), nil
}

// Offer returns an offer of what the selection serves, for a client that answers: see Accept. It has
// all candidates, ordered for a client that came by reach. Output.AddViewer must have been called.
//
// The offer says that the server is an ICE-lite agent, since an agent that offers would otherwise be
// the controlling one (RFC 8445 section 6.1.1). The server never is.
func (c *ViewerConnection) Offer(reach Reach) (string, error) { return c.describeGathered(reach, true) }

// Accept lets the client connect that has answered the Offer.
func (c *ViewerConnection) Accept(client sdpoffer.Transport) error {
	c.selection.Transport = client
	return c.start()
}

func (c *ViewerConnection) describeGathered(reach Reach, isOffer bool) (string, error) {
	if err := c.gather(); err != nil {
		return "", err
	}
	return c.describe(reach, isOffer)
}

// start lets the viewer connect.
func (c *ViewerConnection) start() error {
	session, sockets := c.engine.tcp.NewSessionConn(), c.engine.senders[c.sender%len(c.engine.senders)]
	err := errors.Join(
		c.agent.OnConnectionStateChange(func(state ice.ConnectionState) {
			if state == ice.ConnectionStateFailed {
				c.events.disconnected(ClosedVanished)
			}
		}),
		c.agent.OnSelectedCandidatePairChange(func(local, remote ice.Candidate) {
			c.route.Store(sockets.routeOf(local, remote))
			c.path.selectPair(local, remote)
			var tcp netip.AddrPort
			if remote.NetworkType().IsTCP() {
				tcp = addressOf(remote)
			}
			session.Select(tcp)
		}),
	)
	if err != nil {
		return fmt.Errorf("start ICE: %w", err)
	}
	client := &c.selection.Transport
	if c.packets, err = c.agent.StartAccept(client.Ufrag, client.Password); err != nil {
		return fmt.Errorf("start ICE: %w", err)
	}
	c.ended.Go(c.connect)
	return nil
}

func (c *ViewerConnection) gather() error {
	gathered := make(chan struct{})
	err := c.agent.OnCandidate(func(candidate ice.Candidate) {
		if candidate == nil {
			close(gathered)
		}
	})
	if err == nil {
		err = c.agent.GatherCandidates()
	}
	if err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	select {
	case <-gathered:
		return nil
	case <-c.ctx.Done():
		return errors.New("gather candidates: the connection was closed")
	case <-time.After(gatherLimit):
		return errors.New("gather candidates: timed out")
	}
}

// connect waits for ICE, does the DTLS handshake, and then reads until the viewer leaves.
func (c *ViewerConnection) connect() {
	if err := c.agent.AwaitConnect(c.ctx); err != nil {
		return // Close was called; the viewer's time to connect is bounded elsewhere
	}
	conn, err := c.handshake()
	if err != nil {
		if c.ctx.Err() == nil {
			c.engine.log.Debug("viewer's DTLS handshake", "error", err)
			c.events.disconnected(ClosedVanished)
		}
		return
	}
	defer func() { _ = conn.Close() }() // tells the viewer
	defer context.AfterFunc(c.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	c.events.connected()
	buf := make([]byte, 64)
	for {
		_, err := conn.Read(buf) // nothing is expected, so whatever comes is dropped
		switch {
		case c.ctx.Err() != nil:
			return
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, dtls.ErrConnClosed):
			c.events.disconnected(ClosedByViewer)
			return
		}
	}
}

// handshake does the DTLS handshake (RFC 5763) and derives the SRTP keys (RFC 5764).
func (c *ViewerConnection) handshake() (*dtls.Conn, error) {
	shared := []dtls.Option{
		dtls.WithCertificates(c.certificate.tls),
		// GCM costs a third less than AES-CM with SHA-1. The DTLS server's order of preference
		// decides, and this server is nearly always the DTLS server.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // verify checks the fingerprint instead
		dtls.WithVerifyPeerCertificate(c.verify),
		dtls.WithLoggerFactory(c.engine.loggers),
	}
	var conn *dtls.Conn
	var err error
	wire := &dtlsPackets{c}
	if c.selection.Transport.Passive {
		options := make([]dtls.ClientOption, 0, len(shared)+1)
		for _, o := range shared {
			options = append(options, o)
		}
		conn, err = dtls.ClientWithOptions(wire, wire.LocalAddr(), append(options, dtls.WithFlightInterval(handshakeInterval))...)
	} else {
		options := []dtls.ServerOption{
			dtls.WithClientAuth(dtls.RequireAnyClientCert),
			// Only an address that has passed ICE can send a ClientHello. So DTLS need not spend a
			// round trip to prove that address again.
			dtls.WithInsecureSkipVerifyHello(true),
		}
		for _, o := range shared {
			options = append(options, o)
		}
		conn, err = dtls.ServerWithOptions(wire, wire.LocalAddr(), options...)
	}
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(c.ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.deriveKeys(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// verify checks the client's certificate against the fingerprint in the offer (RFC 8122 section 5).
func (c *ViewerConnection) verify(certificates [][]byte, _ [][]*x509.Certificate) error {
	if len(certificates) == 0 {
		return errors.New("the client sent no certificate")
	}
	certificate, err := x509.ParseCertificate(certificates[0])
	if err != nil {
		return err
	}
	want := c.selection.Transport
	hash, err := fingerprint.HashFromString(want.Hash)
	if err != nil {
		return err
	}
	got, err := fingerprint.Fingerprint(certificate, hash)
	if err != nil {
		return err
	}
	if !strings.EqualFold(got, want.Fingerprint) {
		return errors.New("the client's certificate is not the one in its offer")
	}
	return nil
}

func (c *ViewerConnection) deriveKeys(conn *dtls.Conn) error {
	selected, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("the client takes no SRTP protection profile of this server")
	}
	profile := map[dtls.SRTPProtectionProfile]srtp.ProtectionProfile{
		dtls.SRTP_AEAD_AES_128_GCM:       srtp.ProtectionProfileAeadAes128Gcm,
		dtls.SRTP_AEAD_AES_256_GCM:       srtp.ProtectionProfileAeadAes256Gcm,
		dtls.SRTP_AES128_CM_HMAC_SHA1_80: srtp.ProtectionProfileAes128CmHmacSha1_80,
	}[selected]
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("DTLS has no state")
	}
	config := &srtp.Config{Profile: profile}
	if err := config.ExtractSessionKeysFromDTLS(&state, c.selection.Transport.Passive); err != nil {
		return err
	}
	outgoing, err := srtp.CreateContext(config.Keys.LocalMasterKey, config.Keys.LocalMasterSalt, profile)
	if err != nil {
		return err
	}
	incoming, err := srtp.CreateContext(config.Keys.RemoteMasterKey, config.Keys.RemoteMasterSalt, profile, srtp.SRTCPReplayProtection(64))
	if err != nil {
		return err
	}
	tag, err := profile.AuthTagRTPLen()
	if err != nil {
		return err
	}
	aead, err := profile.AEADAuthTagLen()
	if err != nil {
		return err
	}
	c.outgoing, c.overhead = outgoing, tag+aead
	c.incoming.Store(incoming)
	return nil
}

// dtlsPackets is the part of a viewer's packets that is DTLS. It handles the others: see RFC 7983.
type dtlsPackets struct{ *ViewerConnection }

// ReadFrom reads one DTLS packet.
func (d *dtlsPackets) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, err := d.packets.Read(p)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case n == 0:
		case p[0] >= 20 && p[0] <= 63:
			return n, d.LocalAddr(), nil
		case p[0] >= 128 && p[0] <= 191:
			d.readRTCP(p[:n])
		}
	}
}

// readRTCP handles an SRTCP packet. Packets that are not authentic, and media, are dropped.
func (d *dtlsPackets) readRTCP(encrypted []byte) {
	incoming := d.incoming.Load()
	if incoming == nil {
		return
	}
	compound, err := incoming.DecryptRTCP(nil, encrypted, nil)
	if err != nil {
		return
	}
	if packets, err := rtcp.Unmarshal(compound); err == nil {
		d.events.received(packets)
	}
}

// WriteTo writes one DTLS packet.
func (d *dtlsPackets) WriteTo(p []byte, _ net.Addr) (int, error) { return d.packets.Write(p) }

// LocalAddr returns an address that stands for the selected pair of addresses, which may change.
func (d *dtlsPackets) LocalAddr() net.Addr                { return &net.UDPAddr{} }
func (d *dtlsPackets) SetDeadline(t time.Time) error      { return d.packets.SetDeadline(t) }
func (d *dtlsPackets) SetReadDeadline(t time.Time) error  { return d.packets.SetReadDeadline(t) }
func (d *dtlsPackets) SetWriteDeadline(t time.Time) error { return d.packets.SetWriteDeadline(t) }
func (d *dtlsPackets) Close() error                       { return nil } // ViewerConnection.Close ends ICE

// WriteRTP encrypts an RTP packet, and keeps it until Flush. Over ICE-TCP the packet is sent at
// once; then n is 0 if there is no room for the packet.
func (c *ViewerConnection) WriteRTP(h *rtp.Header, payload []byte) (n int, err error) {
	size := h.MarshalSize() + len(payload)
	if c.outbox != nil && !c.outbox.fits(size+c.overhead) {
		c.send()
	}
	if c.outbox == nil {
		c.outbox = outboxes.Get().(*outbox)
	}
	packet := c.outbox.grow(size)
	start, err := h.MarshalTo(packet)
	if err != nil {
		return 0, err
	}
	copy(packet[start:], payload)
	if packet, err = c.outgoing.EncryptRTP(packet, packet, &c.header); err != nil {
		return 0, err
	}
	if c.route.Load() == nil {
		return c.packets.Write(packet)
	}
	c.outbox.keep(len(packet))
	return len(packet), nil
}

// Flush sends the packets that WriteRTP has kept. lost is how many packets could not be sent since
// the last Flush.
func (c *ViewerConnection) Flush() (lost int) {
	if c.outbox == nil {
		return 0
	}
	c.send()
	outboxes.Put(c.outbox)
	lost, c.outbox, c.lost = c.lost, nil, 0
	return lost
}

// send sends the packets in the outbox.
func (c *ViewerConnection) send() {
	if c.outbox.packets == 0 {
		return
	}
	defer c.outbox.reset()
	to := c.route.Load()
	if to == nil { // the viewer has just changed to ICE-TCP
		c.lost += c.outbox.packets
		return
	}
	refused, lost, err := c.outbox.send(to.conn, to.to, c.alone)
	c.lost += lost
	if refused {
		c.alone = true
		c.engine.noSegments.Do(func() {
			c.engine.log.Info("the way to a viewer takes packets only one by one, which costs more CPU", "from", to.conn.LocalAddr(), "to", to.to)
		})
	}
	if err != nil {
		c.engine.log.Debug("send to viewer", "to", to.to, "lost", lost, "error", err)
	}
}

// WriteRTCP sends a compound RTCP packet.
func (c *ViewerConnection) WriteRTCP(packets []rtcp.Packet) error {
	compound, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	encrypted, err := c.outgoing.EncryptRTCP(nil, compound, nil)
	if err != nil {
		return err
	}
	_, err = c.packets.Write(encrypted)
	return err
}

// Close ends the connection, and tells the viewer. It returns when no more events come.
func (c *ViewerConnection) Close() error {
	c.cancel()
	c.ended.Wait()
	return c.agent.GracefulClose()
}
