package stream

import (
	"bytes"
	"crypto/sha256"
	"time"
)

// EndReason says why a publication ended, in logs.
type EndReason string

// Why a publication ended.
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

// PublishRequest says who wants to publish what.
type PublishRequest struct {
	Key Key
	// Authenticated publishers replace a live incumbent; others only a silent one.
	Authenticated bool
	// Credential is the SHA-256 of the token that the publisher showed; zero: none.
	Credential [sha256.Size]byte
	// Relayed publications come from another server's publisher: one replaces another that
	// began earlier there, and a publisher of this server only if that is silent.
	Relayed bool
	// Began is when the publication began at the server that has the publisher; zero: not
	// known, and of those of this server, now.
	Began time.Time
	// Protocol is "rtmp", "whip" …
	Protocol string
	// Remote is the publisher's address, for logs and status.
	Remote string
	// MadeOf is the publication that a derived stream's is made of; else nil.
	MadeOf *Publication
	// RequestIDR asks the publisher for an IDR; nil when it cannot be asked. It must
	// not block.
	RequestIDR func()
	// Close is called at most once, on its own goroutine, when the registry ends the
	// publication.
	Close func(error)
}

// A Publication is one publisher's connection to a stream. Its Write and Set methods
// are for one goroutine at a time, take ownership of the slices they are given, and
// never block.
type Publication struct {
	stream *Stream
	req    PublishRequest
	id     uint64
	since  time.Duration
	done   chan struct{}

	// Used by the writing goroutine only:
	parameters parameterSets
	brokenGOP  bool // a picture was dropped that others up to the next IDR may need

	// Guarded by stream.mu:
	ended         bool
	leaving       bool          // the server that has the publisher is about to end
	entryOnDemand bool          // see SetEntryOnDemand
	decodable     bool          // something that can be decoded has come
	heard         time.Duration // when something last came, of use or not
	clock         clock
	video, audio  track
	cache         gopCache
	rate          rate
	silence       *time.Timer // takes the bit rate out of the metrics; nil before the first
	malformed     uint64
	warnings      []Warning
	logged        []string // codes of faults and warnings
}

func (s *Stream) newPublication(req PublishRequest, now time.Duration) *Publication {
	if req.Began.IsZero() && !req.Relayed {
		req.Began = s.registry.epoch.Add(now)
	}
	s.seq++ // also numbers publications: ids grow, and are unique within the stream
	p := &Publication{
		parameters: parameterSets{named: -1},
		stream:     s, req: req, id: s.seq, since: now, done: make(chan struct{}),
		cache: gopCache{maxBytes: s.registry.cfg.MaxCacheBytes, maxDuration: s.registry.cfg.MaxCacheDuration},
	}
	p.cache.account = s.registry.cfg.Budget.Open(s.class(), p.shed)
	return p
}

// Stream is the stream being published.
func (p *Publication) Stream() *Stream { return p.stream }

// ID tells the publications of a stream apart.
func (p *Publication) ID() uint64 { return p.id }

// Relayed says that the publisher is another server's.
func (p *Publication) Relayed() bool { return p.req.Relayed }

// Done is closed when the publication has ended, whoever ended it.
func (p *Publication) Done() <-chan struct{} { return p.done }

// Ended says whether Done is closed.
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

// silent says whether the publication has sent nothing for loss, or for three of its
// own frame intervals if that is longer. stream.mu is held.
func (p *Publication) silent(now, loss time.Duration) bool {
	last := max(p.heard, p.since)
	return now-last > max(loss, 3*max(p.video.median, p.audio.median))
}

// SetVideoParameters sets the SPS and PPS that came out of band. WriteVideo finds those in
// band by itself. An error means that an SPS could not be parsed; the parameters in force
// stay.
func (p *Publication) SetVideoParameters(sets ...[]byte) error {
	if err := p.parameters.set(sets); err != nil {
		return p.Reject(err)
	}
	if p.parameters.inForce == nil {
		p.parameters.apply(nil) // later ones wait for their IDR
	}
	f := p.parameters.inForce
	if f == nil {
		return p.Reject(errNoParameterSets)
	}
	return p.announce(&p.video, f)
}

// announce says that the publication has track t, in format f.
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
	p.heard = s.now()
	t.announce(f, p.heard)
	s.notify()
	return nil
}

// WriteVideo adds one access unit: its NAL units without start codes, with decoding
// and presentation time on the publisher's clock. Parameter sets among them take effect
// with the next IDR. An error means that the access unit was malformed and is dropped;
// the publication goes on.
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
			return nil // parameter sets ahead of their picture, say
		}
		return p.Reject(errNoPicture)
	}
	p.parameters.observe(dts, pts, u.IDR)
	u.RecoveryPoint = !u.IDR && IsRecoveryPoint(nalus)
	if u.begins() {
		p.parameters.apply(u.NALUs)
		u.NALUs = append(p.parameters.furtherPPS(), u.NALUs...)
		p.brokenGOP = false
	}
	if u.Format = p.parameters.inForce; u.Format == nil {
		return p.Reject(errNoParameterSets)
	}
	return p.write(u, dts, pts)
}

// BreakGOP says that a picture of the publisher's was lost: none can be decoded until the
// next IDR.
func (p *Publication) BreakGOP() { p.brokenGOP = true }

// SetAudioFormat sets the format of the audio frames to come: AAC or Opus.
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
		return nil // some encoders repeat it; decoders must not begin anew for that
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

// Anchor says that the publisher begins with what it has cached, and is now at ts on its
// clock: what it sends of before is older than its arrival shows.
func (p *Publication) Anchor(ts time.Duration) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.clock.anchor(ts, s.now())
}

// Shift says by how much the times of what follows differ from the clock that was anchored,
// 0 until it is said: the publisher has mapped them anew.
func (p *Publication) Shift(shift time.Duration) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p.clock.shiftTo(shift, s.now())
}

// Forward adds an access unit that is already on the media clock, as it is but for Seq
// and Publication. It is for derived streams, and does not mix with WriteVideo. A recovery
// point is none in a derived stream, because no player can begin there.
func (p *Publication) Forward(u *AccessUnit) error {
	own := *u
	own.Publication, own.RecoveryPoint = p, false
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.add(&own, own.DTS, true)
}

// Heard notes that an access unit came which a derived stream leaves out: its track is
// alive, although it hands little on.
func (p *Publication) Heard(u *AccessUnit) {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	t := p.track(u.Kind)
	if !p.ended && t.announced {
		p.heard = u.Arrival
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
		u.Arrival = u.DTS // where it was cached, about
	}
	return p.add(u, dts, u.Kind == Audio || !p.brokenGOP)
}

// add caches u and hands it to the subscribers, if it can be decoded; otherwise it only
// shows that the publisher is alive. stream.mu is held.
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
	p.heard = u.Arrival
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
		s.end(s.current, EndTakenOver, ErrTakenOver) // begins p
		// Audio that belongs with u or after it may have come ahead of it.
		for _, early := range p.cache.audio {
			if early != u && early.PTS >= u.PTS {
				s.publish(early)
			}
		}
		s.publish(u)
	}
	return nil
}

func (p *Publication) count(u *AccessUnit, size int) {
	s := p.stream
	if s.parent != nil {
		return
	}
	s.metrics.IngestBytes.WithLabelValues(s.key.App, s.key.ID, u.Kind.String()).Add(float64(size))
	if p.rate.add(size, u.Arrival) && p == s.current {
		s.metrics.IngestBitrateBPS.WithLabelValues(s.key.App, s.key.ID).Set(float64(p.rate.bps))
		if p.silence == nil {
			p.silence = time.AfterFunc(2*rateWindow, p.fellSilent)
		} else {
			p.silence.Reset(2 * rateWindow)
		}
	}
}

// fellSilent shows that a publisher is connected but sends nothing.
func (p *Publication) fellSilent() {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == s.current {
		s.metrics.IngestBitrateBPS.WithLabelValues(s.key.App, s.key.ID).Set(0)
	}
}

// Reject counts something malformed of the publisher's, which is dropped, and returns err or
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
