package rtc

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// The reasons why a viewer left, as passed to OnClosed and counted in metrics.
const (
	ClosedByUs      = "closed"          // Close was called: DELETE, shutdown
	ClosedByViewer  = "left"            // the viewer closed DTLS
	ClosedVanished  = "vanished"        // the viewer has been silent for too long
	ClosedNeverCame = "connect_timeout" // ICE or DTLS did not finish in time
	ClosedStalled   = "stalled"         // no packet has reached the viewer for too long
	ClosedFailed    = "panic"           // the server failed to serve it
)

const reportInterval = time.Second

// panicLabel is the label under which a viewer's panics are reported.
const panicLabel = "viewer"

// ViewerConfig describes a viewer.
type ViewerConfig struct {
	// ID is the session's identifier, for logs and stats.
	ID string
	// Protocol is the label in metrics, "whep". Required.
	Protocol string
	// Video and Audio say which tracks the viewer can take.
	Video, Audio bool
	// OnConnected is called at most once, when ICE and DTLS have finished. It must not block. It
	// may come after OnClosed if the viewer leaves at that very moment. Default: nothing.
	OnConnected func()
	// OnMedia is called at most once, when the first packet of media has been sent. It must not
	// block. Default: nothing.
	OnMedia func()
	// OnClosed is called once when the viewer is gone, on its own goroutine, after the
	// connection has been closed. Default: nothing.
	OnClosed func(reason string)
}

// A peer is what a Viewer needs of its connection. Viewer.mu guards all but Close.
type peer interface {
	WriteRTP(h *rtp.Header, payload []byte) (int, error)
	Flush() (lost int)
	WriteRTCP(packets []rtcp.Packet) error
	Close() error
}

// A Viewer is one session that plays an Output. It owns its connection.
type Viewer struct {
	output *Output
	cfg    ViewerConfig
	log    *slog.Logger
	peer   peer
	path   *path
	fanout *fanout
	// wake makes the fanout serve the viewer again.
	wake  func()
	since time.Time

	connectTimer *time.Timer
	closeOnce    sync.Once
	done         chan struct{}

	mu           sync.Mutex // guards all below, including the tracks; held while sending
	video, audio *viewerTrack
	isConnected  bool
	closed       bool
	pace         bucket        // bounds how fast media is sent to this viewer
	nacks        bucket        // bounds how much is resent to this viewer
	failingSince time.Duration // when the first write since the last success failed; -1: none
	paused       bool          // because the viewer gives no consent
	nextReport   time.Duration
	joined       time.Duration // from connected to the end of the first picture; 0 until then
	connectedAt  time.Duration
	reception    reception
	loss         lossState
	// reductionChanged is closed when Reduced changes; nil: nobody waits for that.
	reductionChanged chan struct{}
	plis             uint64
	hasMedia         bool // a packet has been sent
}

// AddViewer adds the output's tracks to a connection, and serves the viewer once it is connected. It
// must be called before ViewerConnection.Answer. From then on the Viewer owns the connection. The
// Viewer closes it when the viewer leaves, vanishes, does not connect in time or can't be reached
// any more. On an error the caller still owns the connection.
func (o *Output) AddViewer(c *ViewerConnection, cfg ViewerConfig) (*Viewer, error) {
	c.path.now = o.cfg.Now
	v := &Viewer{
		output: o,
		cfg:    cfg,
		log:    o.log.With("viewer", cfg.ID),
		peer:   c,
		path:   c.path,
		since:  time.Now(),
		done:   make(chan struct{}),
	}
	c.events = v
	if cfg.Video {
		v.video = o.newTrack(v, webrtc.RTPCodecTypeVideo)
	}
	if cfg.Audio {
		v.audio = o.newTrack(v, webrtc.RTPCodecTypeAudio)
	}
	for _, t := range v.tracks() {
		var ok bool
		if t.rtpStream, t.rtx, ok = c.addStream(t.kind); !ok {
			return nil, fmt.Errorf("the offer has no %s section that is served", t.kind)
		}
	}
	v.connectTimer = time.AfterFunc(math.MaxInt64, func() {
		if !v.Connected() {
			v.end(ClosedNeverCame)
		}
	})
	// From here on other goroutines know v, and may close it.
	if err := o.attach(v); err != nil {
		v.connectTimer.Stop()
		return nil, err
	}
	c.sender = v.fanout.number
	v.connectTimer.Reset(o.cfg.ConnectTimeout)
	return v, nil
}

// SendAsBaseline makes the pictures go out with the payload types that an offer has for Constrained
// Baseline. It must be called before ViewerConnection.Accept.
func (v *Viewer) SendAsBaseline() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.video.payloadType, v.video.rtx.payloadType = uint8(BaselineType), uint8(baselineRTX)
}

// tracks returns the viewer's tracks.
func (v *Viewer) tracks() []*viewerTrack {
	tracks := make([]*viewerTrack, 0, 2)
	for _, t := range []*viewerTrack{v.video, v.audio} {
		if t != nil {
			tracks = append(tracks, t)
		}
	}
	return tracks
}

func (o *Output) newTrack(v *Viewer, kind webrtc.RTPCodecType) *viewerTrack {
	t := &viewerTrack{viewer: v, kind: kind, waiting: true, joining: true}
	var sequence uint16
	if kind == webrtc.RTPCodecTypeVideo {
		t.history, t.base, t.needsEntry = o.video, o.start.videoTimestamp, true
		sequence = o.start.videoSequence
	} else {
		t.history, t.base = o.audio, o.start.audioTimestamp
		sequence = o.start.audioSequence
	}
	if o.cfg.start == nil {
		sequence = uint16(rand.N(1 << 15))
	}
	t.sequence = uint64(sequence)
	t.first = t.sequence
	return t
}

// safely runs work for the viewer. A panic in it ends this viewer only.
func (v *Viewer) safely(work func()) {
	if v.output.cfg.Recovery.Do(panicLabel, work) != nil {
		v.end(ClosedFailed)
	}
}

// connected implements connectionEvents.
func (v *Viewer) connected() { v.safely(v.connect) }

// disconnected implements connectionEvents.
func (v *Viewer) disconnected(reason string) { v.end(reason) }

// received implements connectionEvents.
func (v *Viewer) received(packets []rtcp.Packet) { v.safely(func() { v.feedback(packets) }) }

// connect marks v as connected, once, so that its fanout serves v.
func (v *Viewer) connect() {
	now := v.output.cfg.Now()
	v.mu.Lock()
	first := !v.isConnected && !v.closed
	if first {
		v.isConnected = true
		v.connectedAt, v.nextReport, v.failingSince = now, now, -1
		v.path.connected()
		v.pace = newBucket(v.output.cfg.ViewerBPS, viewerBurst, now)
		v.nacks = newBucket(nackBPS, nackBurst, now)
		v.output.cfg.Metrics.Viewers.WithLabelValues(v.cfg.Protocol).Inc()
	}
	v.mu.Unlock()
	if first {
		v.connectTimer.Stop()
		v.log.Info("viewer connected")
		v.fanout.signal()
		if v.cfg.OnConnected != nil {
			v.cfg.OnConnected()
		}
	}
}

// Connected reports whether ICE and DTLS have finished.
func (v *Viewer) Connected() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.isConnected
}

// Done is closed when the viewer is gone.
func (v *Viewer) Done() <-chan struct{} { return v.done }

// Close disconnects the viewer and waits until it is gone.
func (v *Viewer) Close() {
	v.end(ClosedByUs)
	<-v.done
}

// end starts to disconnect the viewer. It does not wait, because pion's handlers and
// the fanout call it.
func (v *Viewer) end(reason string) {
	v.closeOnce.Do(func() { go v.finish(reason) })
}

func (v *Viewer) finish(reason string) {
	v.mu.Lock()
	v.closed = true
	connected := v.isConnected
	v.mu.Unlock()
	v.connectTimer.Stop()
	v.safely(func() {
		if err := v.peer.Close(); err != nil {
			v.log.Debug("close the viewer's connection", "error", err)
		}
	})
	if connected {
		v.output.cfg.Metrics.Viewers.WithLabelValues(v.cfg.Protocol).Dec()
	}
	if reason != ClosedByUs && reason != ClosedByViewer {
		v.output.cfg.Metrics.ViewersDropped.WithLabelValues(reason).Inc()
	}
	stats := v.Stats()
	v.log.Info("viewer gone", "reason", reason, "duration", time.Since(v.since).Round(time.Millisecond),
		"packets", stats.Video.Packets+stats.Audio.Packets, "dropped", stats.Video.Dropped+stats.Audio.Dropped,
		"resent", stats.Video.Resent+stats.Audio.Resent, "plis", stats.PLIs, "lastLossRatio", stats.Video.FractionLost,
		"lastRoundTrip", stats.RoundTrip, "lastEstimateBPS", stats.EstimateBPS)
	v.output.detach(v)
	if v.cfg.OnClosed != nil {
		v.safely(func() { v.cfg.OnClosed(reason) })
	}
	close(v.done)
}
