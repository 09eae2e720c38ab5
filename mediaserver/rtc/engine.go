package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/icetcp"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

const (
	// udpBuffer is asked for as SO_SNDBUF and SO_RCVBUF of every UDP socket. A key
	// frame for a hundred viewers leaves in one burst; the kernel's default of
	// 208 KiB holds two of them. The kernel may grant less (net.core.wmem_max).
	udpBuffer = 8 << 20

	// tcpReadBuffer is in packets. What publishers and viewers send over TCP is
	// read as it comes; a few packets ride out scheduling.
	tcpReadBuffer = 16

	// A peer that is not heard of for disconnectedAfter, and then for failedAfter
	// more, is gone. Browsers renew consent at least every 6 s (RFC 7675), so that
	// two lost renewals are survived; a vanished viewer costs at most 13 s of
	// sending.
	disconnectedAfter = 6 * time.Second
	failedAfter       = 7 * time.Second
	keepaliveInterval = 2 * time.Second

	// replayWindow is in packets. pion's default of 64 is shorter than what arrives
	// during one retransmission at a few Mbit/s: packets that came because we asked
	// for them (NACK) would be refused as replayed.
	replayWindow = 4096

	// receiveMTU is the largest packet taken from a publisher, in bytes.
	receiveMTU = 1600

	// certificateReserve is how long before its expiry (a month after it was made)
	// the DTLS certificate is replaced for new connections.
	certificateReserve = 14 * 24 * time.Hour

	// portAttempts bounds the search for one number free on UDP and TCP.
	portAttempts = 32
)

// EngineConfig configures an Engine.
type EngineConfig struct {
	// Address to listen on, for UDP and TCP alike, as "host:port"; ":8189" means
	// all interfaces. Port 0 picks one number that is free on both.
	Address string
	// AdvertiseAddresses are offered to peers instead of the addresses of the
	// interfaces: where a NAT, a load balancer or a host port is in front. Default:
	// the addresses of the interfaces.
	AdvertiseAddresses []AdvertisedAddress
	// OwnAddress is offered beside the advertised ones, with the port listened on: a pod's,
	// for peers in its cluster. Default: none.
	OwnAddress netip.Addr
	// MaxTCPConnections bounds ICE-TCP connections, those not yet known to belong
	// to a session included. Default: 4096.
	MaxTCPConnections int
	// Proxies may tell by the PROXY protocol which client an ICE-TCP connection is of.
	// Default: nobody may.
	Proxies *admission.Proxies
	// Logger; default slog.Default().
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// An Engine makes PeerConnections that share one UDP port and, for peers whose
// network passes no UDP, one TCP port of the same number. It is safe for
// concurrent use.
type Engine struct {
	cfg      EngineConfig
	log      *slog.Logger
	settings webrtc.SettingEngine
	udp      []*net.UDPConn
	tcp      *icetcp.Listener
	udpMux   *ice.MultiUDPMuxDefault
	tcpMux   *ice.TCPMuxDefault

	mu          sync.Mutex // guards the next two
	certificate *webrtc.Certificate
	advertised  []AdvertisedAddress // never changed, only replaced
}

// NewEngine opens the sockets. The caller must Close the Engine after it has closed
// every PeerConnection.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.MaxTCPConnections == 0 {
		cfg.MaxTCPConnections = 4096
	}
	e := &Engine{cfg: cfg, log: cfg.Logger.With("component", "rtc"), advertised: cfg.AdvertiseAddresses}
	if err := e.listen(); err != nil {
		return nil, err
	}
	if _, err := e.currentCertificate(time.Now()); err != nil {
		e.closeSockets()
		return nil, err
	}
	loggers := &pionLoggers{log: e.log}
	muxes := make([]ice.UDPMux, len(e.udp))
	local := make(map[netip.Addr]bool, len(e.udp))
	for i, conn := range e.udp {
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: loggers.NewLogger("ice-udp")})
		local[conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()] = true
	}
	e.udpMux = ice.NewMultiUDPMuxDefault(muxes...)
	e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener:                     e.tcp,
		Logger:                       loggers.NewLogger("ice-tcp"),
		ReadBufferSize:               tcpReadBuffer,
		WriteBufferSize:              0, // an icetcp.Conn has its own
		FirstStunBindTimeout:         5 * time.Second,
		AliveDurationForConnFromStun: 10 * time.Second,
	})
	e.configure(loggers, local)
	e.log.Info("webrtc listening", "port", e.Port(), "interfaces", len(e.udp), "advertised", cfg.AdvertiseAddresses)
	return e, nil
}

// configure fills e.settings, which every PeerConnection shares.
func (e *Engine) configure(loggers *pionLoggers, local map[netip.Addr]bool) {
	s := &e.settings
	s.LoggerFactory = loggers
	s.SetICEUDPMux(e.udpMux)
	s.SetICETCPMux(e.tcpMux)
	s.SetLite(true)
	s.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	// What to listen on was decided in listen; here nothing more is left out.
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool {
		addr, _ := netip.AddrFromSlice(ip)
		return local[addr.Unmap()]
	})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// Otherwise a "passive" TCP candidate in an offer makes the server connect to an
	// address of the offerer's choosing.
	s.DisableActiveTCP(true)
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveInterval)
	// GCM costs a third less than AES-CM with SHA-1. The DTLS server's order counts, which
	// this server nearly always is. As the client it offers them in this order.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.SetReceiveMTU(receiveMTU)
	// A ClientHello comes only from an address that passed ICE, so DTLS need not
	// spend a round trip on proving it again.
	s.SetDTLSInsecureSkipHelloVerify(true)
}

// NewPeerConnection makes a PeerConnection that negotiates the codecs of me and
// passes its packets through the interceptors of ir, which may be nil for none. The
// caller must close it.
func (e *Engine) NewPeerConnection(me *webrtc.MediaEngine, ir *interceptor.Registry) (*webrtc.PeerConnection, error) {
	return e.newPeerConnection(e.settings, me, ir)
}

// A ViewerConnection is the PeerConnection of a viewer, and what its ICE agent shows of
// the way there.
type ViewerConnection struct {
	*webrtc.PeerConnection
	path *path
}

// NewViewerConnection makes a PeerConnection for Output.AddViewer. It has no interceptors,
// because an Output answers NACKs and reports itself. The caller must close it.
func (e *Engine) NewViewerConnection(me *webrtc.MediaEngine) (*ViewerConnection, error) {
	p := newPath(e.connection)
	settings := e.settings
	settings.SetICEBindingRequestHandler(p.request)
	pc, err := e.newPeerConnection(settings, me, nil)
	if err != nil {
		return nil, err
	}
	return &ViewerConnection{pc, p}, nil
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
		Certificates:  []webrtc.Certificate{certificate},
	})
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	selection := e.tcp.NewSelection()
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		var remote netip.AddrPort
		if ip, err := netip.ParseAddr(pair.Remote.Address); err == nil && pair.Remote.Protocol == webrtc.ICEProtocolTCP {
			remote = netip.AddrPortFrom(ip, pair.Remote.Port)
		}
		selection.Select(remote)
	})
	return pc, nil
}

// connection returns the ICE-TCP connection by which packets of a source come; nil: they
// come over UDP, or the connection is gone.
func (e *Engine) connection(from source) connection {
	if !from.NetworkType().IsTCP() {
		return nil
	}
	ip, err := netip.ParseAddr(from.Address())
	if err != nil {
		return nil
	}
	if c := e.tcp.Find(netip.AddrPortFrom(ip, uint16(from.Port()))); c != nil {
		return c
	}
	return nil
}

// Answer accepts the selection of an offer and returns the answer to the whole offer,
// with all candidates in it, so that the server has none to trickle. The candidates are
// ordered for a client that came by reach. Tracks and transceivers must have been added before.
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
	// Only sockets that are open already are gathered, so this takes no time; the
	// limit is for a connection that is closed meanwhile.
	select {
	case <-gathered:
	case <-time.After(5 * time.Second):
		return "", errors.New("gather candidates: timed out")
	}
	return selection.Complete(e.LocalDescription(pc, reach)), nil
}

// LocalDescription returns the local SDP of pc as a client that came by reach should see it:
// with the advertised addresses and ports, where there are some.
func (e *Engine) LocalDescription(pc *webrtc.PeerConnection, reach Reach) string {
	description := pc.LocalDescription()
	if description == nil {
		return ""
	}
	return rewriteCandidates(description.SDP, e.offered(), e.Port(), reach)
}

// Advertise replaces the addresses that peers are offered from now on; none means those
// of the interfaces. Peers that are connected stay so.
func (e *Engine) Advertise(addresses []AdvertisedAddress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advertised = slices.Clone(addresses)
}

// Advertised returns the addresses that peers are offered beside the engine's own.
func (e *Engine) Advertised() []AdvertisedAddress {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.advertised)
}

// offered are the addresses that take the place of the interfaces'; none: none do.
func (e *Engine) offered() []AdvertisedAddress {
	offered := e.Advertised()
	own := AdvertisedAddress{IP: e.cfg.OwnAddress}
	if len(offered) > 0 && own.IP.IsValid() && !slices.Contains(offered, own) {
		offered = append(offered, own)
	}
	return offered
}

// Port returns the number of the UDP and TCP port.
func (e *Engine) Port() uint16 { return e.tcp.Addr().(*net.TCPAddr).AddrPort().Port() }

// Addr returns the address listened on, whose port is that of UDP and TCP alike.
func (e *Engine) Addr() net.Addr { return e.tcp.Addr() }

// Close closes the sockets and with them whatever PeerConnections are left, and
// waits until nothing runs any more.
func (e *Engine) Close() {
	if e.tcpMux == nil {
		e.closeSockets()
		return
	}
	// The listener first: it closes connections that have not said yet whom they
	// belong to, for which the mux would wait.
	_ = e.tcp.Close()
	_ = e.tcpMux.Close()
	_ = e.udpMux.Close()
}

func (e *Engine) closeSockets() {
	for _, conn := range e.udp {
		_ = conn.Close()
	}
	if e.tcp != nil {
		_ = e.tcp.Close()
	}
}

// currentCertificate returns the certificate that all connections share: making one
// for each viewer costs more than the rest of its negotiation.
func (e *Engine) currentCertificate(now time.Time) (webrtc.Certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.certificate == nil || e.certificate.Expires().Sub(now) < certificateReserve {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return webrtc.Certificate{}, fmt.Errorf("make DTLS key: %w", err)
		}
		certificate, err := webrtc.GenerateCertificate(key)
		if err != nil {
			return webrtc.Certificate{}, fmt.Errorf("make DTLS certificate: %w", err)
		}
		e.certificate = certificate
	}
	return *e.certificate, nil
}

// RemoteAddress returns the address that a connected peer's media goes to and comes from; the
// zero value where that is not known.
func RemoteAddress(pc *webrtc.PeerConnection) netip.Addr {
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil || pair.Remote == nil {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(pair.Remote.Address)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}
