package mediatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// WatchOptions are the options of WatchWHEP.
type WatchOptions struct {
	// Token is sent as a bearer token.
	Token string
	// Client makes the HTTP requests; default http.DefaultClient.
	Client *http.Client
	// TCP makes the viewer connect by ICE-TCP only.
	TCP bool
	// NoVideo and NoAudio leave a track out of the offer.
	NoVideo, NoAudio bool
	// Decode makes the viewer decode the pictures as they come and read their time
	// codes, see Sightings. This needs an ffmpeg child.
	Decode bool
	// CountOnly keeps only counters, for hundreds of viewers.
	CountOnly bool
	// TimesOnly keeps no packets, and only the times of pictures, for a viewer that
	// watches for long.
	TimesOnly bool
	// Answer changes the server's SDP before it is used, for instance to leave candidates out.
	Answer func(sdp string) string
}

// A StatusError is an HTTP status other than that of an opened session.
type StatusError struct {
	Code   int
	Header http.Header
	Body   string
}

// Error returns the status and the server's message.
func (e *StatusError) Error() string { return fmt.Sprintf("WHEP: %d: %s", e.Code, e.Body) }

// A Viewer is a WHEP session that records what it receives.
type Viewer struct {
	pc       *webrtc.PeerConnection
	session  *url.URL
	answer   string
	options  WatchOptions
	ended    chan struct{} // closed when nothing more is received
	kill     context.CancelFunc
	readers  sync.WaitGroup
	connects chan struct{} // closed when connected
	failed   chan struct{} // closed when the connection has failed or ended
	closing  sync.Once
	ending   sync.Once

	video, audio *recording

	mu        sync.Mutex // guards sightings
	sightings []Sighting
}

// WatchWHEP opens a session at a WHEP URL. It returns when the answer has come; Connected is
// closed when media can flow. The caller must Close the Viewer. ctx bounds only the opening.
func WatchWHEP(ctx context.Context, whepURL string, options WatchOptions) (*Viewer, error) {
	pc, err := newViewerConnection(options)
	if err != nil {
		return nil, fmt.Errorf("viewer: %w", err)
	}
	v := &Viewer{
		pc: pc, options: options, connects: make(chan struct{}), failed: make(chan struct{}),
		video: newRecording(true, options), audio: newRecording(false, options),
		ended: make(chan struct{}), kill: func() {},
	}
	if err := v.open(ctx, whepURL); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func newViewerConnection(options WatchOptions) (*webrtc.PeerConnection, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	// The window is that of browsers. With pion's own, resent packets come too late at a high rate.
	settings.SetSRTPReplayProtectionWindow(1024)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	if options.TCP {
		networks = []webrtc.NetworkType{webrtc.NetworkTypeTCP4}
	}
	settings.SetNetworkTypes(networks)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if !options.CountOnly {
		if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
			return nil, err
		}
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors))
	return api.NewPeerConnection(webrtc.Configuration{})
}

func (v *Viewer) open(ctx context.Context, whepURL string) error {
	for kind, skip := range map[webrtc.RTPCodecType]bool{
		webrtc.RTPCodecTypeVideo: v.options.NoVideo, webrtc.RTPCodecTypeAudio: v.options.NoAudio,
	} {
		if skip {
			continue
		}
		if _, err := v.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return fmt.Errorf("viewer: %w", err)
		}
	}
	var connected, failed sync.Once
	v.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			connected.Do(func() { close(v.connects) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			failed.Do(func() { close(v.failed) })
		}
	})
	v.pc.OnTrack(v.receive)
	if v.options.Decode {
		if err := v.startDecoder(); err != nil {
			return err
		}
	}
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("viewer's offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("viewer's offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := v.post(ctx, whepURL, v.pc.LocalDescription().SDP); err != nil {
		return err
	}
	err = v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: v.answer})
	if err != nil {
		return fmt.Errorf("server's answer: %w", err)
	}
	return nil
}

func (v *Viewer) client() *http.Client {
	if v.options.Client != nil {
		return v.options.Client
	}
	return http.DefaultClient
}

func (v *Viewer) post(ctx context.Context, whepURL, offer string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, whepURL, bytes.NewReader([]byte(offer)))
	if err != nil {
		return fmt.Errorf("WHEP: %w", err)
	}
	req.Header.Set("Content-Type", "application/sdp")
	if v.options.Token != "" {
		req.Header.Set("Authorization", "Bearer "+v.options.Token)
	}
	resp, err := v.client().Do(req)
	if err != nil {
		return fmt.Errorf("WHEP: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("WHEP: %w", err)
	}
	if resp.StatusCode != http.StatusCreated {
		return &StatusError{resp.StatusCode, resp.Header, string(body)}
	}
	if v.session, err = resp.Location(); err != nil {
		return fmt.Errorf("WHEP: %w", err)
	}
	v.answer = string(body)
	if v.options.Answer != nil {
		v.answer = v.options.Answer(v.answer)
	}
	return nil
}

// Session returns the URL of the session.
func (v *Viewer) Session() *url.URL { return v.session }

// Answer returns the server's SDP.
func (v *Viewer) Answer() string { return v.answer }

// Connected is closed when media can flow.
func (v *Viewer) Connected() <-chan struct{} { return v.connects }

// Failed is closed when the connection has failed or was closed.
func (v *Viewer) Failed() <-chan struct{} { return v.failed }

// RequestIDR sends a PLI for the video track.
func (v *Viewer) RequestIDR() error {
	ssrcs := v.video.ssrcList()
	if len(ssrcs) == 0 {
		return errors.New("no video yet")
	}
	return v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrcs[len(ssrcs)-1]}})
}

// Close ends the session and tells the server. It returns when nothing is received or
// decoded any more. The recordings stay.
func (v *Viewer) Close() {
	v.closing.Do(func() {
		if v.session != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if req, err := http.NewRequestWithContext(ctx, http.MethodDelete, v.session.String(), nil); err == nil {
				if v.options.Token != "" {
					req.Header.Set("Authorization", "Bearer "+v.options.Token)
				}
				if resp, err := v.client().Do(req); err == nil {
					_ = resp.Body.Close()
				}
			}
		}
		v.Abandon()
	})
}

// flushTime is how long the decoder may take for the last pictures.
const flushTime = 10 * time.Second

// Abandon ends the connection without telling the server, like a closed laptop.
func (v *Viewer) Abandon() {
	v.ending.Do(func() {
		_ = v.pc.GracefulClose()
		close(v.ended)
		limit := time.AfterFunc(flushTime, v.kill)
		v.readers.Wait()
		limit.Stop()
		v.kill()
	})
}

func (v *Viewer) receive(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	r := v.audio
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		r = v.video
	}
	v.readers.Go(func() {
		for {
			packets, _, err := receiver.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				if sr, ok := p.(*rtcp.SenderReport); ok {
					r.report(sr, time.Now())
				}
			}
		}
	})
	v.readers.Go(func() {
		buf := make([]byte, 1600)
		for {
			n, _, err := track.Read(buf)
			now := time.Now()
			if err != nil {
				return
			}
			var p rtp.Packet
			if v.options.CountOnly {
				r.count(buf[:n], now)
				continue
			}
			if p.Unmarshal(bytes.Clone(buf[:n])) == nil {
				r.receive(&p, now)
			}
		}
	})
}

// decoderWidth x decoderHeight is enough for the time code: ten pixels per block.
const (
	decoderWidth  = 10 * codeBlocks
	decoderHeight = 124
)

func (v *Viewer) startDecoder() error {
	ctx, kill := context.WithCancel(context.Background())
	d, err := NewDecoder(ctx, decoderWidth, decoderHeight)
	if err != nil {
		kill()
		return err
	}
	v.kill = kill
	var fed []Picture // one picture per access unit that was written; guarded by v.mu
	v.readers.Go(func() {
		defer d.CloseWrite()
		for n := 0; ; {
			ending := false
			select {
			case <-v.ended:
				ending = true
			default:
			}
			pictures, changed := v.video.picturesFrom(n)
			for _, p := range pictures {
				n++
				v.mu.Lock()
				fed = append(fed, p)
				v.mu.Unlock()
				if d.Write(p.AnnexB) != nil {
					return
				}
			}
			if ending {
				return
			}
			select {
			case <-changed:
			case <-v.ended:
			}
		}
	})
	v.readers.Go(func() {
		for m := range d.Images() {
			code, ok := m.TimeCode()
			if !ok {
				code = TimeCode{-1, -1}
			}
			v.mu.Lock()
			p := fed[m.Unit]
			v.sightings = append(v.sightings, Sighting{Seen: p.Arrival, TimeCode: code, rtp: p.Timestamp})
			v.mu.Unlock()
		}
		_ = d.Wait()
	})
	return nil
}

// Sightings returns the pictures decoded so far. They have their time codes, or -1 if they
// have none, and the presentation times that the sender reports give.
func (v *Viewer) Sightings() []Sighting {
	v.mu.Lock()
	out := slices.Clone(v.sightings)
	v.mu.Unlock()
	for i := range out {
		out[i].Presented, _ = v.video.presentation(out[i].rtp)
	}
	return out
}

// PicturesFrom returns the pictures received so far without the first n.
func (v *Viewer) PicturesFrom(n int) []Picture {
	pictures, _ := v.video.picturesFrom(n)
	return pictures
}

// Video returns what was received of the video track.
func (v *Viewer) Video() *Recording { return v.video.snapshot() }

// Audio returns what was received of the audio track.
func (v *Viewer) Audio() *Recording { return v.audio.snapshot() }
