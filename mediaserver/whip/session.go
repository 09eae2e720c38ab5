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

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/sdpfrag"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// packetQueue is how many packets of a session may wait to be put in order. It
	// is filled only when the machine is starved; pion then holds 1 MB more.
	packetQueue = 512

	// tickInterval is how often holes and keyframes are looked at.
	tickInterval = 20 * time.Millisecond

	// maxRemoteCandidates bounds the candidates that are taken of all that a session
	// trickles; those of its offer sdpoffer bounds. The rest is ignored: an ICE-lite server
	// answers whoever reaches it, known as a candidate or not.
	maxRemoteCandidates = 128
)

// A session is one publisher: its PeerConnection, its publication, and the goroutine
// that moves media from one to the other.
type session struct {
	handler *Handler
	id      string
	etag    string
	key     stream.Key
	place   *admission.Place
	ufrag   string // the publisher's, of its ICE session
	// token is the hash of the Authorization header's token; tokenSent says that
	// there was one, so that later requests must carry it too.
	token     [sha256.Size]byte
	tokenSent bool
	reach     rtc.Reach
	offered   tracks
	log       *slog.Logger

	pushedOut bool // guarded by Handler.mu
	connected atomic.Bool
	wantIDR   atomic.Bool
	tracks    chan trackPacket
	reports   chan sentReport
	readers   sync.WaitGroup
	ctx       context.Context //nolint:containedctx // the session's life, begun by a request and ended by another
	cancel    context.CancelFunc

	mu          sync.Mutex // guards the rest
	pc          *webrtc.PeerConnection
	publication *stream.Publication
	ended       bool
	candidates  int
}

// newSession makes a session that is not begun yet.
func (h *Handler) newSession(key stream.Key, token string, tokenSent bool, remote string, reach rtc.Reach) *session {
	s := &session{
		handler: h, id: h.cfg.Origin.NewID(), etag: signalling.NewETag(), key: key,
		token: sha256.Sum256([]byte(token)), tokenSent: tokenSent,
		tracks: make(chan trackPacket, packetQueue), reports: make(chan sentReport, 16), reach: reach,
	}
	s.log = h.cfg.Logger.With("stream", key.String(), "protocol", "whip", "remote", remote, "session", signalling.LogName(s.id))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// where is the label of a publisher's panics.
const where = "whip"

// safely does work of the session. A panic ends the session.
func (s *session) safely(work func()) {
	if err := s.handler.cfg.Recovery.Do(where, work); err != nil {
		s.end(stream.EndError, err)
	}
}

// begin reads the offer, publishes and negotiates; it returns the answer. When it fails
// nothing is left. Of the offer nothing is kept.
func (s *session) begin(text string, authenticated bool, remote string) (answer string, r *refusal) {
	if s.handler.cfg.Recovery.Do(where, func() { answer, r = s.open(text, authenticated, remote) }) != nil {
		r = refuse(http.StatusInternalServerError, "Panic", "The server failed to negotiate; report this with the server's log.")
	}
	if r != nil {
		s.abandon()
	}
	return answer, r
}

// abandon ends a session that has not begun.
func (s *session) abandon() {
	s.cancel()
	s.mu.Lock()
	pc, publication := s.pc, s.publication
	s.ended = true
	s.mu.Unlock()
	if publication != nil {
		publication.End(stream.EndError)
	}
	if pc != nil {
		s.safely(func() { _ = pc.GracefulClose() })
	}
}

func (s *session) open(text string, authenticated bool, remote string) (answer string, r *refusal) {
	o, r := parseOffer(text)
	if r != nil {
		return "", r
	}
	s.ufrag, s.offered = o.ufrag, o.tracks
	publication, err := s.handler.cfg.Registry.Publish(stream.PublishRequest{
		Key: s.key, Authenticated: authenticated, Credential: s.token, Protocol: "whip", Remote: remote,
		RequestIDR: func() { s.wantIDR.Store(true) },
		Close:      s.closedByRegistry,
	})
	if err != nil {
		return "", refusePublish(err)
	}
	s.mu.Lock()
	s.publication = publication
	s.mu.Unlock()
	for kind, fault := range o.faults {
		if fault != nil {
			publication.SetFault(stream.Kind(kind), fault)
		}
	}
	if o.surplus {
		publication.Warn(warningMultitrack, surplusTracks)
	}
	answer, err = s.negotiate(o)
	if err != nil {
		return "", refuse(http.StatusBadRequest, "MalformedOffer", "The offer cannot be answered: %v.", err)
	}
	return answer, nil
}

func (s *session) negotiate(o offer) (answer string, err error) {
	me, err := rtc.NewMediaEngine(o.codecs...)
	if err != nil {
		return "", err
	}
	ir := &interceptor.Registry{}
	// Browsers estimate what the uplink carries from transport-wide feedback.
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
	s.mu.Lock()
	s.pc = pc
	s.mu.Unlock()
	pc.OnTrack(s.onTrack)
	pc.OnConnectionStateChange(s.onState)
	answer, err = s.handler.cfg.Engine.Answer(pc, o.selection, s.reach)
	if err != nil {
		return "", err
	}
	return withStereo(answer, o.opus), nil
}

// onState is called by pion.
func (s *session) onState(state webrtc.PeerConnectionState) { s.safely(func() { s.changed(state) }) }

func (s *session) changed(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if !s.connected.Swap(true) {
			s.place.Hold()
			s.log.Info("publisher connected")
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
	s.readers.Wait()
}

// closedByRegistry is called when somebody took the stream over, or at shutdown.
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

// receive feeds the receiver until the session has been ended. An error is why it
// must end.
func (s *session) receive() error {
	r := newReceiver(s.publication, s.handler.cfg.Metrics, s.offered)
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
		case t := <-s.tracks:
			err = r.packet(t.kind, t.ssrc, t.rid, t.packet)
		case sr := <-s.reports:
			r.report(sr.ssrc, sr.ntp, sr.timestamp, s.handler.cfg.Registry.Now())
		case <-ticker.C:
			now := s.handler.cfg.Registry.Now()
			if s.wantIDR.Swap(false) {
				r.video.wantIDR()
			}
			if s.connected.Load() {
				r.presence.connect(now)
			}
			var packets []rtcp.Packet
			if packets, err = r.tick(now); len(packets) > 0 {
				_ = s.pc.WriteRTCP(packets) // lost ones are sent again
			}
		}
		if errors.Is(err, stream.ErrPublicationEnded) {
			// closedByRegistry, which knows the reason, is on its way.
			<-s.ctx.Done()
		} else if err != nil {
			return err
		}
	}
}

// end ends the session: the stream is lost at once, the rest happens in run. It may
// be called again, from anywhere.
func (s *session) end(reason stream.EndReason, cause error) {
	s.mu.Lock()
	already, publication := s.ended, s.publication
	s.ended = true
	s.mu.Unlock()
	if already {
		return
	}
	if publication != nil {
		publication.End(reason)
	}
	s.cancel()
	if cause != nil {
		s.log.Info("publisher disconnected", "reason", reason, "cause", cause)
	} else {
		s.log.Info("publisher disconnected", "reason", reason)
	}
}

// authorised says whether a request about the session comes from who began it. Its
// URL cannot be guessed; a publisher that sent its token in a header also sends it
// here (RFC 9725 section 4.7).
func (s *session) authorised(token string) bool {
	if token == "" && !s.tokenSent {
		return true
	}
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// trickle adds the candidates of a fragment.
func (s *session) trickle(f sdpfrag.Fragment) *refusal {
	if f.Ufrag != "" && f.Ufrag != s.ufrag {
		return refuse(http.StatusUnprocessableEntity, "ICERestart",
			"ICE restarts are not supported: DELETE this session and POST a new offer.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range f.Candidates {
		if s.candidates == maxRemoteCandidates {
			break
		}
		if !sdpfrag.HasAddress(c.Value) {
			continue // others may work
		}
		s.candidates++
		init := webrtc.ICECandidateInit{Candidate: c.Value}
		if c.Mid != "" {
			init.SDPMid = &c.Mid
		}
		if err := s.pc.AddICECandidate(init); err != nil {
			return refuse(http.StatusBadRequest, "MalformedFragment", "A candidate cannot be understood: %v.", err)
		}
	}
	return nil
}
