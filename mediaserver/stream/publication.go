package stream

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/budget"
)

// EndReason is the reason why a publication ended. It is for logs.
type EndReason string

// The reasons why a publication ends.
const (
	EndClosed      EndReason = "ConnectionClosed"
	EndUnpublished EndReason = "Unpublished"
	EndTimeout     EndReason = "Timeout"
	EndError       EndReason = "ProtocolError"
	EndTakenOver   EndReason = "TakenOver"
	EndShutdown    EndReason = "Shutdown"
	EndPaused      EndReason = "Paused"
	EndExpelled    EndReason = "Expelled"
	EndRevoked     EndReason = "TokenReplaced"
)

// protocolWHIP is the protocol of publishers that send RTP, which has no decoding times.
const protocolWHIP = "whip"

// PublishRequest describes who wants to publish which stream.
type PublishRequest struct {
	Key Key
	// Authenticated reports whether the publisher showed a valid token. Such a publisher replaces a
	// live incumbent. Other publishers replace only a silent one.
	Authenticated bool
	// Credential is what the publisher showed; zero: nothing.
	Credential Credential
	// Relayed reports whether the publication comes from another server's publisher. A relayed
	// publication replaces another relayed one that began earlier at its server. It replaces a
	// publisher of this server only if that publisher is silent.
	Relayed bool
	// Began is when the publication began at the server that has the publisher. Zero means unknown
	// for a relayed publication, and now for a publisher of this server.
	Began time.Time
	// Protocol is "rtmp", "whip" …
	Protocol string
	// Remote is the publisher's address, for logs and status.
	Remote string
	// Unproven reports whether the publisher has yet to prove that it can send. The log says
	// nothing of an unproven publisher until Publication.Proven is called, and nothing at all if it
	// never is.
	Unproven bool
	// MadeOf is the publication from which a derived publication is made; nil: it is not derived.
	MadeOf *Publication
	// RequestIDR asks the publisher for an IDR; nil: the publisher cannot be asked. RequestIDR must
	// not block.
	RequestIDR func()
	// Close is called when the registry ends the publication: at most once, on its own goroutine.
	Close func(error)
}

// A Credential is the token of a publisher, without the token itself.
type Credential struct {
	Hash [sha256.Size]byte // SHA-256 of the token
	// Expires is when the token stops to admit publishers. Who publishes by then goes on; zero: never.
	Expires time.Time
}

// A Publication is one publisher's connection to a stream. Only one goroutine at a time may call
// the Write and Set methods. They take ownership of the slices they are given, and never block.
type Publication struct {
	stream *Stream
	req    PublishRequest
	id     uint64
	since  time.Duration
	done   chan struct{}

	// Used by the writing goroutine only:
	parameters parameterSets
	brokenGOP  bool // a picture was dropped that pictures up to the next IDR may need

	// Guarded by stream.mu:
	ended            bool
	leaving          bool          // the server that has the publisher is about to end
	entryOnDemand    bool          // see SetEntryOnDemand
	decodable        bool          // an access unit has come that can be decoded
	lastHeard        time.Duration // when an access unit last came, decodable or not
	clock            clock
	video, audio     track
	cache            gopCache
	connectionMemory *budget.Account // see Hold
	rate             rate
	ingestBytes      [2]prometheus.Counter // by Kind; nil before the first access unit
	silence          *time.Timer           // sets the bit rate in the metrics to zero; nil before the first
	malformed        uint64
	warnings         []Warning
	logged           []string // codes of faults and warnings
	deferredLog      []line   // lines that the log has yet to get, see log
}

func (s *Stream) newPublication(req PublishRequest, now time.Duration) *Publication {
	if req.Began.IsZero() && !req.Relayed {
		req.Began = s.registry.epoch.Add(now)
	}
	s.seq++ // seq also numbers publications: ids grow, and are unique within the stream
	p := &Publication{
		parameters: parameterSets{namedPPS: -1, presentationOnly: req.Protocol == protocolWHIP},
		stream:     s, req: req, id: s.seq, since: now, done: make(chan struct{}), clock: clock{ignoresGaps: s.ignoresGaps},
		cache: gopCache{maxBytes: s.registry.cfg.MaxCacheBytes, maxDuration: s.registry.cfg.MaxCacheDuration},
	}
	p.cache.account = s.registry.cfg.Budget.Open(s.class(), p.shed)
	p.connectionMemory = s.registry.cfg.Budget.Open(s.class(), func() {}) // nothing to free: Hold tells whether memory is short
	return p
}

// Stream returns the stream that is published.
func (p *Publication) Stream() *Stream { return p.stream }

// ID returns the number of the publication, which is unique within its stream.
func (p *Publication) ID() uint64 { return p.id }

// Relayed reports whether the publisher publishes to another server.
func (p *Publication) Relayed() bool { return p.req.Relayed }

// Track returns the state of the publication's track of kind k.
func (p *Publication) Track(k Kind) TrackSnapshot {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	return p.track(k).snapshot()
}

// Done returns a channel that is closed when the publication has ended, whoever ended it.
func (p *Publication) Done() <-chan struct{} { return p.done }

// Ended reports whether the publication has ended.
func (p *Publication) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// End ends the publication: its stream is lost at once. It may be called again.
func (p *Publication) End(reason EndReason) {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.stream.end(p, reason, nil)
}

// silent reports whether the publication has sent nothing for loss, or for three of its own frame
// intervals if that is longer. stream.mu must be held.
func (p *Publication) silent(now, loss time.Duration) bool {
	last := max(p.lastHeard, p.since)
	return now-last > max(loss, 3*max(p.video.median, p.audio.median))
}

// SetVideoParameters sets the SPS and PPS that came out of band. WriteVideo finds parameter sets in
// band by itself. An error means that an SPS could not be parsed. The parameters in force stay
// then.
func (p *Publication) SetVideoParameters(sets ...[]byte) error {
	if err := p.parameters.set(sets); err != nil {
		return p.Reject(err)
	}
	if p.parameters.inForce == nil {
		p.parameters.apply(-1) // later parameter sets wait for their IDR
	}
	f := p.parameters.inForce
	if f == nil {
		return p.Reject(errNoParameterSets)
	}
	return p.announce(&p.video, f)
}

// announce notes that the publication has track t, in format f.
func (p *Publication) announce(t *track, f *Format) error {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return ErrPublicationEnded
	}
	if t.announced && t.format == f {
		return nil
	}
	p.lastHeard = s.now()
	t.announce(f, p.lastHeard)
	s.notify()
	return nil
}

// WriteVideo adds one access unit: its NAL units without start codes, with decoding and
// presentation time on the publisher's clock. Parameter sets among the NAL units take effect with
// the next IDR. An error means that the access unit was malformed and is dropped. The publication
// goes on.
func (p *Publication) WriteVideo(dts, pts time.Duration, nalus [][]byte) error {
	u := &AccessUnit{Kind: Video, Publication: p}
	var harmless bool
	u.NALUs, u.IDR, harmless = picture(nalus)
	if err := p.parameters.set(nalus); err != nil {
		p.brokenGOP = p.brokenGOP || len(u.NALUs) > 0
		return p.Reject(err)
	}
	if len(u.NALUs) == 0 {
		if harmless {
			return nil // for example parameter sets ahead of their picture
		}
		return p.Reject(errNoPicture)
	}
	pps := namedBy(u.NALUs)
	if pps >= 0 && !p.parameters.hasPPS(pps) {
		p.brokenGOP = true // no decoder can use the picture, and other pictures refer to it
		return p.Reject(fmt.Errorf("%w: no PPS of the id %d has come", errNoParameterSets, pps))
	}
	p.parameters.observe(dts, pts, u.IDR)
	u.RecoveryPoint = !u.IDR && IsRecoveryPoint(nalus)
	if u.isEntry() {
		p.parameters.apply(pps)
		u.NALUs = append(p.parameters.furtherPPS(), u.NALUs...)
		p.brokenGOP = false
	}
	if u.Format = p.parameters.inForce; u.Format == nil {
		return p.Reject(errNoParameterSets)
	}
	return p.write(u, dts, pts)
}

// BreakGOP notes that a picture of the publisher was lost. No picture can be decoded until the next
// IDR.
func (p *Publication) BreakGOP() { p.brokenGOP = true }

// SetAudioFormat sets the format of the audio frames that follow: AAC or Opus.
func (p *Publication) SetAudioFormat(f Format) error {
	if f.Codec != AAC && f.Codec != Opus || f.SampleRate < 7350 || f.SampleRate > 96000 ||
		f.Channels < 0 || f.Channels > 8 || f.Channels == 0 && len(f.Config) == 0 {
		return p.Reject(errUnsupportedFormat)
	}
	s := p.stream
	s.mu.Lock()
	known := p.audio.format
	s.mu.Unlock()
	if known != nil && known.Codec == f.Codec && known.SampleRate == f.SampleRate && known.Channels == f.Channels &&
		bytes.Equal(known.Config, f.Config) {
		return nil // some encoders repeat the format; decoders must not be reset for that
	}
	return p.announce(&p.audio, &f)
}

// WriteAudio adds one AAC frame or Opus packet, with its time on the publisher's clock.
func (p *Publication) WriteAudio(pts time.Duration, frame []byte) error {
	s := p.stream
	s.mu.Lock()
	f := p.audio.format
	s.mu.Unlock()
	if f == nil || len(frame) == 0 {
		return p.Reject(errUnsupportedFormat)
	}
	return p.write(&AccessUnit{Kind: Audio, Format: f, Frame: frame, Publication: p}, pts, pts)
}

// Anchor notes that the publisher begins with media that it has cached, and that its clock shows ts
// now. Access units with earlier timestamps are older than their arrival shows.
func (p *Publication) Anchor(ts time.Duration) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.clock.anchor(ts, s.now())
}

// Shift sets by how much the times of the access units that follow differ from the clock that was
// anchored; 0 until Shift is called. A relay calls Shift when the peer has mapped its times anew.
func (p *Publication) Shift(shift time.Duration) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.clock.shiftTo(shift, s.now())
}

// Forward adds an access unit that is already on the media clock. Only Seq, Publication and
// RecoveryPoint are changed. Forward is for derived streams, and must not be mixed with WriteVideo.
// A derived stream has no recovery points, because no player can begin there.
func (p *Publication) Forward(u *AccessUnit) error {
	copied := *u
	copied.Publication, copied.RecoveryPoint = p, false
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.add(&copied, copied.DTS, true)
}

// Heard notes an access unit that a derived stream leaves out. Its track counts as alive, although
// the derived stream forwards little of it.
func (p *Publication) Heard(u *AccessUnit) {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	t := p.track(u.Kind)
	if !p.ended && t.announced {
		p.lastHeard = u.Arrival
		t.arrived(u.DTS, u.Arrival, 0, true)
	}
}

func (p *Publication) write(u *AccessUnit, dts, pts time.Duration) error {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if (pts - dts).Abs() > maxPresentationDelay {
		p.malformed++
		s.metrics.FramesDropped.WithLabelValues("malformed").Inc()
		return errPresentationTime
	}
	u.Arrival = s.now()
	backlog := p.clock.isBacklog(dts, u.Arrival)
	offset := p.clock.media(dts, u.Arrival)
	u.Offset, u.DTS, u.PTS = offset, dts+offset, pts+offset
	if backlog {
		u.Arrival = u.DTS // about when it was cached
	}
	return p.add(u, dts, u.Kind == Audio || !p.brokenGOP)
}

// add caches u and hands it to the subscribers, if u can be decoded. Otherwise u only shows that
// the publisher is alive. stream.mu must be held.
func (p *Publication) add(u *AccessUnit, dts time.Duration, decodable bool) error {
	s := p.stream
	if p.ended {
		return ErrPublicationEnded
	}
	if p.mustGiveWay() {
		s.end(p, EndTakenOver, ErrTakenOver)
		return ErrPublicationEnded
	}
	t := p.track(u.Kind)
	size := u.Size()
	if t.format != u.Format || !t.announced {
		t.announce(u.Format, u.Arrival)
		s.notify()
	}
	p.lastHeard = u.Arrival
	t.arrived(dts, u.Arrival, size, decodable)
	p.count(u, size)

	if !decodable {
		return nil
	}
	s.seq++
	u.Seq = s.seq
	hadEntryPoint := p.cache.beginsWithIDR()
	p.cache.account.Move(s.class())
	if p.cache.add(u) {
		s.metrics.CachesStarved.WithLabelValues(s.class().String()).Inc()
	}
	if u.Kind == Video && !p.cache.began {
		decodable = false // nothing can be decoded before the first IDR or recovery point
	}
	p.decodable = p.decodable || decodable
	if p == s.current {
		s.warnOfOverflow()
		if hadEntryPoint != p.cache.beginsWithIDR() {
			s.notify()
		}
		if decodable {
			s.publish(u)
		}
		return nil
	}
	if decodable && s.isContender(p) {
		if takesOver, err := p.contend(u); !takesOver {
			return err
		}
	}
	if decodable && p.canTakeOver(u) {
		s.end(s.current, EndTakenOver, ErrTakenOver) // p goes on air
		// Audio that is at or after u's time may have come before u.
		for _, early := range p.cache.audio {
			if early != u && early.PTS >= u.PTS {
				s.publish(early)
			}
		}
		s.publish(u)
	}
	return nil
}

// Reject counts malformed input of the publisher, which is dropped. It returns err, or
// ErrPublicationEnded.
func (p *Publication) Reject(err error) error {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return ErrPublicationEnded
	}
	p.malformed++
	s.metrics.FramesDropped.WithLabelValues("malformed").Inc()
	return err
}
