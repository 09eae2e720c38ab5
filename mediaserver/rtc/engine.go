package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/icetcp"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

const (
	// udpBuffer is the SO_SNDBUF and SO_RCVBUF of every UDP socket, in bytes. An IDR
	// for a hundred viewers leaves in one burst; the kernel's default of 208 KiB holds
	// two of them. The kernel may grant less (net.core.wmem_max).
	udpBuffer = 8 << 20

	// tcpReadBuffer is how many packets of one ICE-TCP connection may wait to be read. Packets are
	// read as they come, so a few are enough while the reader waits for a processor.
	tcpReadBuffer = 16

	// A peer that has been silent for disconnectedAfter plus failedAfter is gone.
	// Browsers renew consent at least every 6 s (RFC 7675), so a peer survives two lost
	// renewals. A viewer that has vanished costs at most 13 s of sending.
	disconnectedAfter = 6 * time.Second
	failedAfter       = 7 * time.Second
	keepaliveInterval = 2 * time.Second

	// replayWindow is SRTP's replay window, in packets. More packets than pion's default of
	// 64 arrive during one retransmission at a few Mbit/s. With the default, a packet that
	// was resent because of our NACK would be refused as replayed.
	replayWindow = 4096

	// receiveMTU is the largest packet taken from a publisher, in bytes.
	receiveMTU = 1600

	// certificateReserve is how long before its expiry the DTLS certificate is replaced for
	// new connections. A certificate expires a month after it was made.
	certificateReserve = 14 * 24 * time.Hour

	// portAttempts bounds the search for one port number that is free on both UDP and TCP.
	portAttempts = 32
)

// EngineConfig configures an Engine.
type EngineConfig struct {
	// Address is where to listen, for UDP and TCP alike, as "host:port". ":8189" means
	// all interfaces. Port 0 picks one number that is free on both.
	Address string
	// AdvertiseAddresses are offered to peers instead of the addresses of the
	// interfaces. They are needed behind a NAT, a load balancer or a host port.
	// Default: the addresses of the interfaces.
	AdvertiseAddresses []AdvertisedAddress
	// OwnAddress is offered beside the advertised addresses, with the engine's own port. It is
	// a pod's address, for peers in the same cluster. Default: none.
	OwnAddress netip.Addr
	// MaxTCPConnections bounds the ICE-TCP connections, including connections whose
	// session is not yet known. Default: 4096.
	MaxTCPConnections int
	// Proxies are the proxies that may name the client of an ICE-TCP connection by the
	// PROXY protocol. Default: none.
	Proxies *admission.Proxies
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// An Engine makes PeerConnections that share one UDP port and, for peers whose
// network passes no UDP, one TCP port of the same number. It is safe for
// concurrent use.
type Engine struct {
	cfg        EngineConfig
	log        *slog.Logger
	settings   webrtc.SettingEngine
	udp        []*net.UDPConn
	senders    []*senderSockets
	interfaces *stdnet.Net // as they were at the start; each agent would read them anew
	tcp        *icetcp.Listener
	udpMux     *ice.MultiUDPMuxDefault
	tcpMux     *ice.TCPMuxDefault

	loggers *pionLoggers
	local   map[netip.Addr]bool // addresses of udp
	// noSegments logs once that packets cannot be sent together to some viewer.
	noSegments sync.Once

	mu          sync.Mutex // guards certificate and advertised
	certificate *certificate
	advertised  []AdvertisedAddress // never changed, only replaced
}

// NewEngine opens the sockets. The caller must Close the Engine after it has closed
// every PeerConnection.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxTCPConnections == 0 {
		cfg.MaxTCPConnections = 4096
	}
	e := &Engine{cfg: cfg, log: cfg.Logger.With("component", "rtc"), advertised: cfg.AdvertiseAddresses}
	if err := e.listen(); err != nil {
		return nil, err
	}
	if err := e.openSenders(); err != nil {
		e.closeSockets()
		return nil, err
	}
	if _, err := e.currentCertificate(time.Now()); err != nil {
		e.closeSockets()
		return nil, err
	}
	e.loggers, e.local = &pionLoggers{log: e.log}, make(map[netip.Addr]bool, len(e.udp))
	muxes := make([]ice.UDPMux, len(e.udp))
	for i, conn := range e.udp {
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: e.loggers.NewLogger("ice-udp")})
		e.local[localAddress(conn).Addr()] = true
	}
	e.udpMux = ice.NewMultiUDPMuxDefault(muxes...)
	e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener:                     e.tcp,
		Logger:                       e.loggers.NewLogger("ice-tcp"),
		ReadBufferSize:               tcpReadBuffer,
		WriteBufferSize:              0, // an icetcp.Conn has its own buffer
		FirstStunBindTimeout:         5 * time.Second,
		AliveDurationForConnFromStun: 10 * time.Second,
	})
	e.configure()
	e.log.Info("listening for WebRTC", "port", e.Port(), "interfaces", len(e.udp), "advertised", cfg.AdvertiseAddresses)
	return e, nil
}

// configure fills e.settings, which every PeerConnection shares.
func (e *Engine) configure() {
	s := &e.settings
	s.LoggerFactory = e.loggers
	s.SetICEUDPMux(e.udpMux)
	s.SetICETCPMux(e.tcpMux)
	s.SetLite(true)
	s.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	// listen has chosen the addresses already. Nothing more is left out here.
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(e.isLocal)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// With active TCP, a "passive" TCP candidate in an offer would make the server
	// connect to any address that the offerer chose.
	s.DisableActiveTCP(true)
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveInterval)
	// GCM costs a third less than AES-CM with SHA-1. The DTLS server's order of
	// preference decides, and this server is nearly always the DTLS server. As the
	// DTLS client it offers the profiles in this order.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.SetReceiveMTU(receiveMTU)
	// Only an address that has passed ICE can send a ClientHello. So DTLS need not
	// spend a round trip to prove that address again.
	s.SetDTLSInsecureSkipHelloVerify(true)
}

// NewPeerConnection makes a PeerConnection that negotiates the codecs of me and passes
// its packets through the interceptors of ir. A nil ir means no interceptors. The
// caller must close the PeerConnection.
func (e *Engine) NewPeerConnection(me *webrtc.MediaEngine, ir *interceptor.Registry) (*webrtc.PeerConnection, error) {
	return e.newPeerConnection(e.settings, me, ir)
}

// isLocal reports whether the engine listens on an address.
func (e *Engine) isLocal(ip net.IP) bool {
	addr, _ := netip.AddrFromSlice(ip)
	return e.local[addr.Unmap()]
}

// agentOptions returns the options of a viewer's ICE agent. They are those of configure, but for
// ICE-lite: the agent checks the addresses that have sent an authenticated check, and no others,
// because it is never told the viewer's candidates. A client that waits for such a check connects
// sooner.
func (e *Engine) agentOptions(p *path) []ice.AgentOption {
	return []ice.AgentOption{
		ice.WithLoggerFactory(e.loggers),
		ice.WithNet(e.interfaces),
		ice.WithUDPMux(e.udpMux),
		ice.WithTCPMux(e.tcpMux),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6, ice.NetworkTypeTCP4, ice.NetworkTypeTCP6}),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithIncludeLoopback(),
		ice.WithIPFilter(e.isLocal),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithDisableActiveTCP(),
		ice.WithDisconnectedTimeout(disconnectedAfter),
		ice.WithFailedTimeout(failedAfter),
		ice.WithKeepaliveInterval(keepaliveInterval),
		ice.WithBindingRequestHandler(p.request),
	}
}

// localAddress returns the address on which a socket listens.
func localAddress(conn *net.UDPConn) netip.AddrPort {
	address := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}

// addressOf returns the address of a candidate. It returns the zero value for a candidate with a
// name.
func addressOf(c ice.Candidate) netip.AddrPort {
	address, err := netip.ParseAddr(c.Address())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(c.Port()))
}

func (e *Engine) newPeerConnection(settings webrtc.SettingEngine, me *webrtc.MediaEngine, ir *interceptor.Registry) (*webrtc.PeerConnection, error) {
	certificate, err := e.currentCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	if ir == nil {
		ir = &interceptor.Registry{}
	}
	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(me),
		webrtc.WithInterceptorRegistry(ir),
	)
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		BundlePolicy:  webrtc.BundlePolicyMaxBundle,
		RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
		Certificates:  []webrtc.Certificate{certificate.webrtc},
	})
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	selection := e.tcp.NewSessionConn()
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		var remote netip.AddrPort
		if ip, err := netip.ParseAddr(pair.Remote.Address); err == nil && pair.Remote.Protocol == webrtc.ICEProtocolTCP {
			remote = netip.AddrPortFrom(ip, pair.Remote.Port)
		}
		selection.Select(remote)
	})
	return pc, nil
}

// connection returns the ICE-TCP connection from an address. It returns nil when the connection is
// gone.
func (e *Engine) connection(from netip.AddrPort) connection {
	if c := e.tcp.Find(from); c != nil {
		return c
	}
	return nil
}

// Answer accepts the selection of an offer and returns the answer to the whole offer. The answer
// has all candidates in it, so the server trickles none. The candidates are ordered for a client
// that came by reach. Tracks and transceivers must have been added before.
func (e *Engine) Answer(pc *webrtc.PeerConnection, selection *sdpoffer.Selection, reach Reach) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: selection.SDP()}); err != nil {
		return "", fmt.Errorf("accept offer: %w", err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("create answer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set answer: %w", err)
	}
	// Only sockets that are already open are gathered, so gathering takes no time. The
	// limit is for a connection that is closed meanwhile.
	select {
	case <-gathered:
	case <-time.After(5 * time.Second):
		return "", errors.New("gather candidates: timed out")
	}
	return selection.Complete(e.LocalDescription(pc, reach)), nil
}

// LocalDescription returns the local SDP of pc for a client that came by reach.
// Advertised addresses and ports, if any, replace those of the interfaces.
func (e *Engine) LocalDescription(pc *webrtc.PeerConnection, reach Reach) string {
	description := pc.LocalDescription()
	if description == nil {
		return ""
	}
	return rewriteCandidates(description.SDP, e.offered(), e.Port(), reach)
}

// Advertise replaces the addresses that peers are offered from now on. Without addresses, peers
// are offered those of the interfaces. Connected peers stay connected.
func (e *Engine) Advertise(addresses []AdvertisedAddress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advertised = slices.Clone(addresses)
}

// Advertised returns the addresses that peers are offered beside OwnAddress.
func (e *Engine) Advertised() []AdvertisedAddress {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.advertised)
}

// offered returns the addresses that replace those of the interfaces. Without any,
// nothing is replaced.
func (e *Engine) offered() []AdvertisedAddress {
	offered := e.Advertised()
	own := AdvertisedAddress{IP: e.cfg.OwnAddress}
	if len(offered) > 0 && own.IP.IsValid() && !slices.Contains(offered, own) {
		offered = append(offered, own)
	}
	return offered
}

// Port returns the port number, which is the same for UDP and TCP.
func (e *Engine) Port() uint16 { return e.tcp.Addr().(*net.TCPAddr).AddrPort().Port() }

// Addr returns the address listened on. Its port is the same for UDP and TCP.
func (e *Engine) Addr() net.Addr { return e.tcp.Addr() }

// Close closes the sockets, and with them all PeerConnections that are left. It
// returns when all their goroutines have ended.
func (e *Engine) Close() {
	if e.tcpMux == nil {
		e.closeSockets()
		return
	}
	// The listener closes first. It closes the connections that have not named their
	// session yet; the mux would wait for them.
	_ = e.tcp.Close()
	_ = e.tcpMux.Close()
	_ = e.udpMux.Close()
	e.closeSenders()
}

func (e *Engine) closeSockets() {
	e.closeSenders()
	for _, conn := range e.udp {
		_ = conn.Close()
	}
	if e.tcp != nil {
		_ = e.tcp.Close()
	}
}

// A certificate is the DTLS certificate, in the forms of the packages that use it.
type certificate struct {
	webrtc      webrtc.Certificate
	tls         tls.Certificate
	fingerprint string // as in a=fingerprint, RFC 8122 section 5
}

// currentCertificate returns the certificate that all connections share. To make one for each
// viewer would cost more than the rest of the viewer's negotiation.
func (e *Engine) currentCertificate(now time.Time) (*certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.certificate == nil || e.certificate.webrtc.Expires().Sub(now) < certificateReserve {
		made, err := newCertificate()
		if err != nil {
			return nil, fmt.Errorf("make DTLS certificate: %w", err)
		}
		e.certificate = made
	}
	return e.certificate, nil
}

func newCertificate() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	made, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, err
	}
	text, err := made.PEM()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(text), []byte(text))
	if err != nil {
		return nil, err
	}
	fingerprints, err := made.GetFingerprints()
	if err != nil {
		return nil, err
	}
	return &certificate{*made, pair, fingerprints[0].Algorithm + " " + fingerprints[0].Value}, nil
}
