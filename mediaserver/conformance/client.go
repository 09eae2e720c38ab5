package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// A client is the WebRTC side of a session.
type client struct {
	pc *webrtc.PeerConnection
	// connected is closed when media can flow, and ended when it no longer can.
	connected, ended chan struct{}
	// arrived receives the kind of a track, or of the packets about it, once for each track.
	arrived chan string

	running sync.WaitGroup
	stop    func()
}

// newClient returns a client that offers video in H.264 and audio in Opus to a WHIP server, and to
// receive what pion can to a WHEP server. close must be called.
func newClient(protocol Protocol) (*client, error) {
	media := &webrtc.MediaEngine{}
	if err := registerCodecs(media, protocol); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background()) // until close
	c := &client{pc: pc, connected: make(chan struct{}), ended: make(chan struct{}), arrived: make(chan string, 8), stop: stop}
	connect, end := sync.OnceFunc(func() { close(c.connected) }), sync.OnceFunc(func() { close(c.ended) })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			connect()
		case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			end()
		default:
		}
	})
	if protocol == WHIP {
		err = c.addTracks(ctx)
	} else {
		err = c.addReceivers()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func registerCodecs(media *webrtc.MediaEngine, protocol Protocol) error {
	if protocol == WHEP {
		return media.RegisterDefaultCodecs()
	}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	if err := media.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: feedback,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}}, webrtc.RTPCodecTypeVideo); err != nil {
		return err
	}
	return media.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}, webrtc.RTPCodecTypeAudio)
}

// addReceivers makes the client offer to receive video and audio.
func (c *client) addReceivers() error {
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if _, _, err := track.ReadRTP(); err == nil {
			c.arrives(track.Kind().String())
		}
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	return nil
}

// addTracks makes the client offer tracks, and send them once it is connected.
func (c *client) addTracks(ctx context.Context) error {
	const stream = "conformance"
	for _, codec := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeH264} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: codec}, codec[6:], stream)
		if err != nil {
			return err
		}
		transceiver, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return err
		}
		c.running.Go(func() {
			if _, _, err := transceiver.Sender().ReadRTCP(); err == nil {
				c.arrives(track.Kind().String())
			}
		})
		c.running.Go(func() {
			select {
			case <-c.connected:
				sendMedia(ctx, track)
			case <-ctx.Done():
			}
		})
	}
	return nil
}

// arrives notes that something of that kind has arrived.
func (c *client) arrives(kind string) {
	select {
	case c.arrived <- kind:
	default:
	}
}

// offer returns an offer with candidates.
func (c *client) offer(ctx context.Context) (string, error) {
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	text, err := c.describe(ctx, offer)
	return withMuxOnly(text), err
}

// acceptOffer returns the answer to a server's offer, with candidates. The client then connects.
func (c *client) acceptOffer(ctx context.Context, offer string) (string, error) {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	return c.describe(ctx, answer)
}

// describe sets the client's description, and returns it with candidates.
func (c *client) describe(ctx context.Context, description webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(description); err != nil {
		return "", err
	}
	select {
	case <-gathered:
		return c.pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("gather candidates: %w", ctx.Err())
	}
}

// connect begins to connect to the server.
func (c *client) connect(answer string) error {
	return c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// close ends the client, and waits for all that it began.
func (c *client) close() {
	c.stop()
	_ = c.pc.GracefulClose()
	c.running.Wait()
}

// makeOffer returns an offer that is never answered.
func makeOffer(protocol Protocol) (string, error) {
	c, err := newClient(protocol)
	if err != nil {
		return "", err
	}
	defer c.close()
	ctx, stop := context.WithTimeout(context.Background(), gatherTimeout)
	defer stop()
	return c.offer(ctx)
}

// gatherTimeout bounds how long the addresses of this machine are looked for.
const gatherTimeout = 5 * time.Second
