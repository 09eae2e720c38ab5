package whip

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// packetQueue is how many packets of a session may wait to be put in order. It fills only when
	// the machine has no processor time left; pion then holds 1 MB more.
	packetQueue = 512

	// tickInterval is how often the receiver looks for missing packets and for IDRs to ask for.
	tickInterval = 20 * time.Millisecond
)

// protocol names WHIP in URLs, metrics and the log, and is the label of panics.
const protocol = "whip"

// A session is one publisher: its PeerConnection, its publication, and the goroutine
// that moves media from one to the other.
type session struct {
	*signalling.Session
	handler    *Handler
	credential credential
	reach      rtc.Reach
	request    stream.PublishRequest
	log        *slog.Logger
	pc         *webrtc.PeerConnection // set by Negotiate

	// onConnected is called once the publisher has connected; nil: nobody asks.
	onConnected func()

	connected atomic.Bool
	wantIDR   atomic.Bool
	incoming  incoming
	ctx       context.Context //nolint:containedctx // the session's life, begun by a request and ended by another
	cancel    context.CancelFunc

	mu          sync.Mutex // guards the rest
	publication *stream.Publication
	// quiet reports whether the session is not logged until it is connected. Its address has begun
	// many sessions that never connected, and strangers must not choose how much is logged.
	quiet bool
	ended bool
}

// incoming is what the readers of the tracks hand to the session's goroutine.
type incoming struct {
	offered tracks
	packets chan trackPacket
	reports chan sentReport
	readers sync.WaitGroup
}

// A credential is how a publisher showed its token. A publisher that sent the token in a header
// must send it with later requests too (RFC 9725 section 4.7). Otherwise the session's URL is
// enough, because nobody can guess that URL.
type credential struct {
	hash     [sha256.Size]byte
	inHeader bool
}

func credentialOf(r *http.Request) credential {
	return credential{sha256.Sum256([]byte(signalling.Token(r))), signalling.BearerToken(r) != ""}
}

// isShown reports whether a request shows the same token.
func (c credential) isShown(r *http.Request) bool {
	token := signalling.Token(r)
	if token == "" && !c.inHeader {
		return true
	}
	hash := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], c.hash[:]) == 1
}

// newSession returns a session that has not begun yet.
func (h *Handler) newSession(front *signalling.Session, r *http.Request, authenticated bool) *session {
	s := &session{
		Session: front, handler: h, credential: credentialOf(r), reach: rtc.ReachOf(r),
		incoming: incoming{packets: make(chan trackPacket, packetQueue), reports: make(chan sentReport, 16)},
	}
	s.request = stream.PublishRequest{
		Key: keyOf(r), Authenticated: authenticated, Credential: access.CredentialOf(signalling.Token(r)), Protocol: protocol, Remote: r.RemoteAddr,
		RequestIDR: func() { s.wantIDR.Store(true) },
		Close:      s.closedByRegistry,
	}
	s.log = h.cfg.Logger.With("stream", s.request.Key.String(), "protocol", protocol, "remote", r.RemoteAddr,
		"session", signalling.LogName(front.ID))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// safely runs work for the session. A panic in it ends this session only.
func (s *session) safely(work func()) {
	if err := s.handler.cfg.Recovery.Do(protocol, work); err != nil {
		s.end(stream.EndError, err)
	}
}

// Abandon implements signalling.Peer.
func (s *session) Abandon() {
	s.cancel()
	s.mu.Lock()
	publication := s.publication
	s.ended = true
	s.mu.Unlock()
	if publication != nil {
		publication.End(stream.EndError)
	}
	if s.pc != nil {
		s.safely(func() { _ = s.pc.GracefulClose() })
	}
}

// Begin implements signalling.Peer.
func (s *session) Begin(r *http.Request, _ http.Header) {
	go func() {
		defer s.Leave()
		s.run()
	}()
	if !s.quiet {
		s.log.Info("publisher accepted", "userAgent", r.UserAgent())
	}
}

// MayUse implements signalling.Peer.
func (s *session) MayUse(r *http.Request) bool { return s.credential.isShown(r) }

// errPushedOut is the reason why a publisher that has not connected is ended early.
var errPushedOut = errors.New("it had not connected, and others want its place")

// End implements signalling.Peer.
func (s *session) End(why signalling.Ending) {
	switch why {
	case signalling.Deleted:
		s.end(stream.EndUnpublished, nil)
	case signalling.PushedOut:
		s.handler.countRefusal(signalling.ReasonPushedOut)
		s.end(stream.EndTimeout, errPushedOut)
	case signalling.ShuttingDown:
		s.end(stream.EndShutdown, nil)
	}
}

// Negotiate implements signalling.Peer. It reads the offer, publishes, and answers.
func (s *session) Negotiate(text string) (answer string, refusal *signalling.Refusal) {
	o, refusal := parseOffer(text)
	if refusal != nil {
		return "", refusal
	}
	s.Ufrags, s.incoming.offered = o.ufrags, o.tracks
	quiet := !s.handler.mayLog(s.request.Remote)
	s.request.Unproven = quiet
	publication, err := s.handler.cfg.Registry.Publish(s.request)
	if err != nil {
		return "", refusePublish(err)
	}
	s.mu.Lock()
	s.publication, s.quiet = publication, quiet
	s.mu.Unlock()
	for kind, fault := range o.faults {
		if fault != nil {
			publication.SetFault(stream.Kind(kind), fault)
		}
	}
	answer, err = s.negotiate(o)
	if err != nil {
		return "", signalling.RefuseOffer("The offer cannot be answered", err)
	}
	return answer, nil
}

func (s *session) negotiate(o offer) (answer string, err error) {
	me, err := rtc.NewMediaEngine(o.codecs...)
	if err != nil {
		return "", err
	}
	ir := &interceptor.Registry{}
	// Browsers estimate the uplink's capacity from transport-wide feedback.
	if err := webrtc.ConfigureTWCCSender(me, ir); err != nil {
		return "", fmt.Errorf("configure transport-wide feedback: %w", err)
	}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return "", fmt.Errorf("configure receiver reports: %w", err)
	}
	ir.Add(reports)
	pc, err := s.handler.cfg.Engine.NewPublisherConnection(me, ir, rtc.PublisherConfig{
		OnSenderReport:   s.onSenderReport,
		OnTooManyStreams: s.onTooManyStreams,
	})
	if err != nil {
		return "", err
	}
	s.pc, s.Candidates = pc, candidates{pc}
	pc.OnTrack(s.onTrack)
	pc.OnConnectionStateChange(s.onState)
	answer, err = s.handler.cfg.Engine.Answer(pc, o.selection, s.reach)
	if err != nil {
		return "", err
	}
	return withStereo(answer, o.opus), nil
}

// candidates gives trickled candidates to a PeerConnection.
type candidates struct{ pc *webrtc.PeerConnection }

// AddCandidate implements signalling.Candidates. All sections share the transport, so a candidate
// needs no section.
func (c candidates) AddCandidate(candidate string) error {
	return c.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: candidate})
}

// onState is called by pion when the connection's state changes.
func (s *session) onState(state webrtc.PeerConnectionState) { s.safely(func() { s.changed(state) }) }

func (s *session) changed(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if !s.connected.Swap(true) {
			s.Place.Hold()
			s.publication.Proven()
			s.log.Info("publisher connected")
			if s.onConnected != nil {
				s.onConnected()
			}
		}
	case webrtc.PeerConnectionStateFailed:
		s.end(stream.EndTimeout, errors.New("the publisher's network path is gone"))
	case webrtc.PeerConnectionStateClosed:
		s.end(stream.EndClosed, errors.New("the publisher closed the connection"))
	}
}

// run moves media until the session ends, and then cleans up.
func (s *session) run() {
	s.safely(func() {
		if err := s.receive(); err != nil {
			s.end(stream.EndError, err)
		}
	})
	s.safely(func() { _ = s.pc.GracefulClose() })
	s.incoming.readers.Wait()
}

// closedByRegistry is called when the registry ends the publication. The cause is a takeover, an
// expulsion, a revoked token or the shutdown.
func (s *session) closedByRegistry(cause error) {
	reason := stream.EndTakenOver
	switch {
	case errors.Is(cause, stream.ErrShuttingDown):
		reason = stream.EndShutdown
	case errors.Is(cause, stream.ErrExpelled):
		reason = stream.EndExpelled
	case errors.Is(cause, stream.ErrRevoked):
		reason = stream.EndRevoked
	}
	s.end(reason, cause)
}

// receive feeds the receiver until the session has ended. Its error is the reason why
// the session must end.
func (s *session) receive() error {
	r := newReceiver(s.publication, s.handler.cfg.Metrics, s.incoming.offered)
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	connect := time.NewTimer(s.handler.cfg.ConnectTimeout)
	defer connect.Stop()
	for {
		var err error
		select {
		case <-s.ctx.Done():
			return nil
		case <-connect.C:
			if !s.connected.Load() {
				s.end(stream.EndTimeout, fmt.Errorf(
					"no connection within %v: check that UDP or TCP port %d of this server is reachable for the publisher",
					s.handler.cfg.ConnectTimeout, s.handler.cfg.Engine.Port()))
			}
		case t := <-s.incoming.packets:
			err = r.packet(t.kind, t.ssrc, t.rid, t.packet)
		case sr := <-s.incoming.reports:
			r.report(sr.ssrc, sr.ntp, sr.timestamp, s.handler.cfg.Registry.Now())
		case <-ticker.C:
			now := s.handler.cfg.Registry.Now()
			if s.wantIDR.Swap(false) {
				r.video.wantIDR()
			}
			if s.connected.Load() {
				r.arrivals.connect(now)
			}
			var packets []rtcp.Packet
			if packets, err = r.tick(now); len(packets) > 0 {
				_ = s.pc.WriteRTCP(packets) // a lost packet is sent again later
			}
		}
		if errors.Is(err, stream.ErrPublicationEnded) {
			// closedByRegistry will end the session; it knows the reason.
			<-s.ctx.Done()
		} else if err != nil {
			return err
		}
	}
}

// end ends the session. The stream is lost at once, and run does the rest. end may be
// called more than once, from any goroutine.
func (s *session) end(reason stream.EndReason, cause error) {
	s.mu.Lock()
	already, publication, quiet := s.ended, s.publication, s.quiet && !s.connected.Load()
	s.ended = true
	s.mu.Unlock()
	if already {
		return
	}
	s.SetEnding()
	if publication != nil {
		publication.End(reason)
	}
	s.cancel()
	switch {
	case quiet:
	case cause != nil:
		s.log.Info("publisher disconnected", "reason", reason, "cause", cause)
	default:
		s.log.Info("publisher disconnected", "reason", reason)
	}
}
