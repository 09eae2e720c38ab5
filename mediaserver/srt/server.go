package srt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	srtnet "github.com/datarhei/gosrt/net"
	"github.com/datarhei/gosrt/packet"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// socketBuffer is the size of the socket's receive buffer that the kernel is asked for, in bytes.
const socketBuffer = 4 << 20

// Config configures a Server.
type Config struct {
	// Address is where to listen, e.g. ":8890" (UDP). Required.
	Address string
	// Registry takes the publications. Required.
	Registry *stream.Registry
	// Authorize is rtmp.Config.Authorize. Nil lets everybody publish.
	Authorize func(key stream.Key, token string) (authenticated bool, err error)
	// Passphrases returns the passphrases of the stream, and whether callers must encrypt with one of
	// them; such callers need no token. Passphrases must not block. Default: no stream has one.
	Passphrases func(key stream.Key) (passphrases []string, required bool)
	// Recovery confines a panic to its connection. Default: one that counts nothing.
	Recovery *recovery.Recovery
	// Logger; default none.
	Logger *slog.Logger
	// Metrics counts refusals. Required.
	Metrics *metrics.Metrics
	// Limits bounds what callers may cost.
	Limits Limits
}

// A Server accepts publishers by SRT.
type Server struct {
	cfg      Config
	log      *slog.Logger
	socket   *net.UDPConn
	cookies  *srtnet.SYNCookie
	door     *admission.Door
	rates    *admission.RateLimiter
	refusals *admission.RateLimiter // of lines in the log
	running  sync.WaitGroup         // the goroutines of handshakes and connections

	// unwrapping is held while a passphrase is tried, so that strangers take one core at most.
	unwrapping sync.Mutex

	mu         sync.Mutex // guards all below
	closed     bool
	concluding int                    // handshakes that are being answered
	bySocket   map[uint32]*connection // by our socket id
	byPeer     map[peer]*connection   // nil: the handshake is being answered
}

// A peer is a caller's socket.
type peer struct {
	address netip.AddrPort
	socket  uint32
}

// A conclusion is a handshake whose sender has proved the address.
type conclusion struct {
	handshake
	from peer
	at   time.Time
}

// NewServer opens the socket. Run serves it.
func NewServer(cfg Config) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Recovery == nil {
		cfg.Recovery = recovery.New(recovery.Config{Logger: cfg.Logger})
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(stream.Key, string) (bool, error) { return false, nil }
	}
	if cfg.Passphrases == nil {
		cfg.Passphrases = func(stream.Key) ([]string, bool) { return nil, false }
	}
	address, err := net.ResolveUDPAddr("udp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for SRT: %w", err)
	}
	socket, err := net.ListenUDP("udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for SRT: %w", err)
	}
	_ = socket.SetReadBuffer(socketBuffer) // the kernel may give less
	cookies, err := srtnet.NewSYNCookie(socket.LocalAddr().String(), nil)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("make cookies for SRT: %w", err)
	}
	l := cfg.Limits
	each, all := rate.Limit(l.HandshakeRate), rate.Limit(50*l.HandshakeRate)
	return &Server{
		cfg: cfg, log: cfg.Logger, socket: socket, cookies: cookies,
		door: admission.NewDoor(admission.DoorConfig{Name: "srt", Metrics: cfg.Metrics, Limits: admission.Limits{
			Max: l.MaxConnections, MaxPerNetwork: l.MaxPerNetwork, MaxLeaving: l.MaxConnections,
		}}),
		rates: admission.NewRateLimiter(each, 2*l.HandshakeRate, all, 100*l.HandshakeRate),
		// One line a second for each network, some more in all.
		refusals: admission.NewRateLimiter(1, 10, 10, 50),
		bySocket: make(map[uint32]*connection), byPeer: make(map[peer]*connection),
	}, nil
}

// Addr returns the address of the socket.
func (s *Server) Addr() net.Addr { return s.socket.LocalAddr() }

// Run serves until ctx ends or the socket fails. Then it ends all connections and publications, and
// waits for them. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.read(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		s.close()
		return nil
	})
	return group.Wait()
}

// close ends the connections, and then the socket.
func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.bySocket {
		c.stop(stream.EndShutdown)
	}
	s.mu.Unlock()
	s.running.Wait()
	_ = s.socket.Close()
}

// read reads the socket.
func (s *Server) read(ctx context.Context) error {
	buffer := make([]byte, maxDatagram+1)
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read SRT: %w", err)
		case err != nil:
			continue // for example that a caller has gone (ICMP)
		case n < headerSize || n > maxDatagram:
			s.dropped(ReasonDatagram)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if err := s.cfg.Recovery.Do("srt", func() { s.datagram(buffer[:n], from) }); err != nil {
			s.dropped(ReasonDatagram)
		}
	}
}

// datagram takes a datagram of at least headerSize bytes. It does not keep it.
func (s *Server) datagram(b []byte, from netip.AddrPort) {
	socket := binary.BigEndian.Uint32(b[12:])
	if socket == 0 {
		s.handshake(b, from)
		return
	}
	s.mu.Lock()
	c := s.bySocket[socket]
	s.mu.Unlock()
	// A datagram from another address may be a stranger's (section 9).
	if c == nil || c.remote != from {
		s.dropped(ReasonSocket)
		return
	}
	if !c.push(append([]byte(nil), b...)) {
		s.dropped(ReasonBacklog)
	}
}

const handshakeType = 0x8000 | uint16(packet.CTRLTYPE_HANDSHAKE)

// handshake answers an induction, and takes a conclusion. Nothing is kept for a caller before
// its address is proved.
func (s *Server) handshake(b []byte, from netip.AddrPort) {
	if binary.BigEndian.Uint16(b) != handshakeType {
		s.dropped(ReasonDatagram)
		return
	}
	h, err := parseHandshake(b)
	if err != nil {
		s.dropped(ReasonDatagram)
		return
	}
	caller := peer{from, h.SRTSocketId}
	switch h.HandshakeType {
	case packet.HSTYPE_INDUCTION:
		if h.Version != inductionVersion && h.Version != protocolVersion {
			s.dropped(ReasonDatagram)
			return
		}
		h.answerInduction(s.cookies.Get(from.String()))
		s.write(controlMessage(packet.CTRLTYPE_HANDSHAKE, 0, 0, caller.socket, &h.CIFHandshake), from) // no longer than b
	case packet.HSTYPE_CONCLUSION:
		if !s.cookies.Verify(h.SynCookie, from.String()) {
			s.dropped(ReasonCookie)
			return
		}
		s.take(conclusion{h, caller, time.Now()})
	default:
		s.dropped(ReasonDatagram)
	}
}

// take has a conclusion answered, which may take as long as the keys of a token's issuer. If it was
// answered before, it is answered again.
func (s *Server) take(c conclusion) {
	s.mu.Lock()
	known, waiting := s.byPeer[c.from]
	s.mu.Unlock()
	switch {
	case known != nil:
		s.write(known.answer, c.from.address)
		return
	case waiting:
		return
	case !s.rates.Allow(admission.NetworkOf(c.from.address.Addr()), c.at):
		s.dropped(ReasonRate)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return
	case s.concluding == s.cfg.Limits.MaxHandshakes:
		s.dropped(ReasonBacklog)
		return
	}
	s.concluding++
	s.byPeer[c.from] = nil
	s.running.Go(func() {
		_ = s.cfg.Recovery.Do("srt", func() { s.conclude(c) })
		s.mu.Lock()
		s.concluding--
		s.mu.Unlock()
	})
}

// conclude answers a conclusion: it opens a connection, or refuses the caller.
func (s *Server) conclude(c conclusion) {
	opened := false
	defer func() {
		if !opened {
			s.mu.Lock()
			delete(s.byPeer, c.from)
			s.mu.Unlock()
		}
	}()
	t, err := parseStreamID(c.StreamId)
	var connection *connection
	refused := c.check()
	switch {
	case refused != nil:
	case err != nil:
		refused = refuseError(err)
	default:
		connection, refused = s.open(&c, t)
	}
	if refused != nil {
		s.report(refused, c.from.address, t.key)
		c.answerRefusal(refused.code)
		s.write(controlMessage(packet.CTRLTYPE_HANDSHAKE, 0, 0, c.from.socket, &c.CIFHandshake), c.from.address)
		return
	}
	opened = true
	s.write(connection.answer, c.from.address)
	go func() {
		defer s.running.Done()
		s.serve(connection)
	}()
}

// open returns a connection that publishes.
func (s *Server) open(c *conclusion, t target) (*connection, *refusal) {
	keys, authenticated, refused := s.authorize(&c.handshake, t)
	if refused != nil {
		return nil, refused
	}
	n := &connection{
		server: s, remote: c.from.address, peer: c.from, began: c.at, keys: keys,
		inbox: make(chan []byte, s.cfg.Limits.Backlog), ended: make(chan struct{}),
		window:    newWindow(sequence(c.InitialPacketSequenceNumber.Val()), latencyOf(c.SRTHS.SendTSBPDDelay, s.cfg.Limits)),
		roundTrip: newRoundTrip(),
	}
	n.ack.front = n.window.front
	var err error
	n.place, err = s.door.Enter(admission.NetworkOf(c.from.address.Addr()), func() { n.stop(stream.EndTimeout) })
	if err != nil {
		return nil, refuse(ReasonTooMany, rejectOverload, "as many connections as the server takes, in all or from one network; try again later")
	}
	n.publication, err = s.cfg.Registry.Publish(stream.PublishRequest{
		Key: t.key, Authenticated: authenticated, Credential: access.CredentialOf(t.token), Protocol: "srt", Remote: c.from.address.String(),
		Close: func(error) { n.stop(stream.EndTakenOver) }, // the registry knows why
	})
	if err != nil {
		n.place.Leave()
		return nil, refuseError(err)
	}
	n.media = feed.NewTransportStream(n.publication)
	n.stats.Store(&Stats{RoundTrip: n.roundTrip.mean, Latency: n.window.latency})
	if !s.add(n, &c.handshake) {
		n.publication.End(stream.EndShutdown)
		n.place.Leave()
		return nil, refuseError(stream.ErrShuttingDown)
	}
	return n, nil
}

// authorize decides whether a caller may publish. keys are nil if the caller does not encrypt.
func (s *Server) authorize(h *handshake, t target) (k *keys, authenticated bool, refused *refusal) {
	passphrases, required := s.cfg.Passphrases(t.key)
	switch {
	case !required && h.SRTKM != nil:
		return nil, false, refuse(ReasonPassphrase, rejectUnsecure,
			"%s has no passphrase; publish without one, or set publish.srtPassphraseSecretRef in its StreamPair", t.key)
	case required && h.SRTKM == nil:
		return nil, false, refuse(ReasonPassphrase, rejectUnsecure, "%s needs a passphrase; set the passphrase of its StreamPair in the encoder", t.key)
	case required:
		var err error
		s.unwrapping.Lock()
		k, err = newKeys(h.SRTKM, passphrases)
		s.unwrapping.Unlock()
		if err != nil {
			return nil, false, refuse(ReasonPassphrase, rejectBadSecret, "publishing %s is refused: %v", t.key, err)
		}
	}
	authenticated, err := s.cfg.Authorize(t.key, t.token)
	// Whoever knows the passphrase needs no token. But nobody publishes to a pair that is paused.
	if err != nil && (k == nil || t.token != "" || stream.IsUnknown(err)) {
		return nil, false, refuseError(err)
	}
	return k, authenticated || k != nil, nil
}

// add gives a connection its socket id and its answer, and lets datagrams find it. It reports whether
// the server is open.
func (s *Server) add(c *connection, h *handshake) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	for c.socket == 0 || s.bySocket[c.socket] != nil {
		var id [4]byte
		_, _ = rand.Read(id[:]) // it never fails
		c.socket = binary.BigEndian.Uint32(id[:])
	}
	h.answerConclusion(c.socket, c.window.latency)
	c.answer = controlMessage(packet.CTRLTYPE_HANDSHAKE, 0, 0, c.peer.socket, &h.CIFHandshake)
	s.bySocket[c.socket], s.byPeer[c.peer] = c, c
	s.running.Add(1) // until serve has returned
	return true
}

// serve runs a connection to its end.
func (s *Server) serve(c *connection) {
	reason, err := stream.EndError, error(nil)
	if panicked := s.cfg.Recovery.Do("srt", func() { reason, err = c.run() }); panicked != nil {
		c.publication.Expel()
	}
	c.publication.End(reason)
	s.mu.Lock()
	delete(s.bySocket, c.socket)
	delete(s.byPeer, c.peer)
	key := c.publication.Stream().Key()
	if s.connectionOf(key) == nil {
		m := s.cfg.Metrics
		m.SRTRoundTripSeconds.DeleteLabelValues(key.App, key.ID)
		m.SRTBufferSeconds.DeleteLabelValues(key.App, key.ID)
	}
	s.mu.Unlock()
	c.place.Leave()
	if err != nil {
		s.report(refuse(mediaReason(err), 0, "%v", err), c.remote, key)
	}
}

// report counts and logs why a caller is turned away.
func (s *Server) report(r *refusal, from netip.AddrPort, key stream.Key) {
	s.cfg.Metrics.PublishRefusals.WithLabelValues("srt", string(r.reason)).Inc()
	if !s.refusals.Allow(admission.NetworkOf(from.Addr()), time.Now()) {
		return
	}
	attrs := []any{"remote", from.String(), "reason", string(r.reason), "why", r.description}
	if key.Valid() {
		attrs = append(attrs, "stream", key.String())
	}
	s.log.Warn("SRT caller refused", attrs...)
}

// dropped counts a datagram that could not be used.
func (s *Server) dropped(reason Reason) {
	s.cfg.Metrics.SRTDropped.WithLabelValues(string(reason)).Inc()
}

// write sends a datagram. If the socket's buffer is full, it is lost; the protocol repairs that.
func (s *Server) write(b []byte, to netip.AddrPort) { _, _ = s.socket.WriteToUDPAddrPort(b, to) }

// Stats returns the figures of the connection that publishes a stream. ok is false if there is none.
func (s *Server) Stats(key stream.Key) (stats Stats, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.connectionOf(key); c != nil {
		return *c.stats.Load(), true
	}
	return Stats{}, false
}

// connectionOf returns the connection that publishes a stream; nil: there is none. A connection that
// waits to take over does not count. s.mu must be held.
func (s *Server) connectionOf(key stream.Key) *connection {
	for _, c := range s.bySocket {
		one := c.publication.Stream()
		if one.Key() != key {
			continue
		}
		if p := one.Snapshot().Publication; p != nil && p.ID == c.publication.ID() {
			return c
		}
	}
	return nil
}
