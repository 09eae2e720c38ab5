package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
	"golang.org/x/sync/errgroup"
)

const (
	// packetLimit is the size of the largest RTP packet, in bytes.
	packetLimit = 1200
	// opusPacket is the time of one packet of sound.
	opusPacket = 20 * time.Millisecond
)

// bePublisher publishes a prepared video, and sound if there is a file of it, by WHIP. Each picture
// carries the time at which it was sent, and the leg. It prints "ready" once media can flow, and ends
// with its standard input.
func bePublisher(ctx context.Context, url, video, sound string, leg int) error {
	pictures, err := readPictures(video)
	if err != nil {
		return err
	}
	var packets [][]byte
	if sound != "" {
		if packets, err = readOpus(sound); err != nil {
			return err
		}
	}
	pc, err := newPublishingPeer()
	if err != nil {
		return err
	}
	defer func() { _ = pc.Close() }()
	track := func(c webrtc.RTPCodecCapability, name string) (*webrtc.TrackLocalStaticRTP, error) {
		t, err := webrtc.NewTrackLocalStaticRTP(c, name, "stream")
		if err == nil {
			_, err = pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		}
		return t, err
	}
	videoTrack, err := track(webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}, "video")
	if err != nil {
		return err
	}
	var soundTrack *webrtc.TrackLocalStaticRTP
	if packets != nil {
		if soundTrack, err = track(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "audio"); err != nil {
			return err
		}
	}
	if err := connectByWHIP(ctx, pc, url); err != nil {
		return err
	}
	fmt.Println("ready")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := time.Now()
	sending, ctx := errgroup.WithContext(ctx)
	sending.Go(func() error { return sendPictures(ctx, videoTrack, pictures, leg, begun) })
	if soundTrack != nil {
		sending.Go(func() error { return sendSound(ctx, soundTrack, packets, begun) })
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	if sendErr := sending.Wait(); sendErr != nil {
		return sendErr
	}
	return err
}

// newPublishingPeer makes a peer connection that resends lost packets and reports.
func newPublishingPeer() (*webrtc.PeerConnection, error) {
	media, interceptors := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureNack(media, interceptors); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureRTCPReports(interceptors); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
}

// connectByWHIP returns when media can flow.
func connectByWHIP(ctx context.Context, pc *webrtc.PeerConnection, url string) error {
	ctx, cancel := context.WithTimeout(ctx, lightConnectLimit)
	defer cancel()
	connected := make(chan struct{}, 1)
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			select {
			case connected <- struct{}{}:
			default:
			}
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	answer, err := postOffer(ctx, url, playerAddress(0), pc.LocalDescription().SDP)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return err
	}
	select {
	case <-connected:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("publish: not connected: %w", ctx.Err())
	}
}

// sendPictures sends the pictures in real time, again and again.
func sendPictures(ctx context.Context, track *webrtc.TrackLocalStaticRTP, pictures [][]byte, leg int, begun time.Time) error {
	const ticks = 90000 / fps
	packetizer := rtp.NewPacketizer(packetLimit, 0, 0, &codecs.H264Payloader{}, rtp.NewRandomSequencer(), 90000)
	var picture []byte
	for i := 0; ; i++ {
		if !sleepUntil(ctx, begun.Add(time.Duration(i)*time.Second/fps)) {
			return nil
		}
		picture = append(picture[:0], 0, 0, 0, 1)
		picture = append(appendClock(picture, withLeg(time.Now().UnixNano(), int64(leg))), pictures[i%len(pictures)]...)
		for _, p := range packetizer.Packetize(picture, ticks) {
			if err := track.WriteRTP(p); err != nil {
				return fmt.Errorf("send a picture: %w", err)
			}
		}
	}
}

// sendSound sends the packets of sound in real time, again and again.
func sendSound(ctx context.Context, track *webrtc.TrackLocalStaticRTP, packets [][]byte, begun time.Time) error {
	for i := 0; ; i++ {
		if !sleepUntil(ctx, begun.Add(time.Duration(i)*opusPacket)) {
			return nil
		}
		err := track.WriteRTP(&rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * uint32(48000*opusPacket/time.Second)},
			Payload: packets[i%len(packets)],
		})
		if err != nil {
			return fmt.Errorf("send sound: %w", err)
		}
	}
}

// sleepUntil reports whether the time has come before the context ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(at)):
		return true
	}
}

// readPictures returns the access units of an H.264 file in Annex B. Each begins with a start code, and
// has no zeros behind its last NAL unit.
func readPictures(file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	var begin, from int // of the access unit, and of what is yet to be searched
	sliced := false     // the access unit has a slice
	code := []byte{0, 0, 1}
	for {
		i := bytes.Index(text[from:], code)
		if i < 0 || from+i+4 >= len(text) {
			break
		}
		at := from + i
		from = at + len(code)
		kind := text[from] & 0x1f
		slice := kind == 1 || kind == 5
		// A first slice has first_mb_in_slice 0, which is one bit (ITU-T H.264 section 7.4.1.2.4).
		if sliced && (kind >= 6 && kind <= 9 || slice && text[from+1]&0x80 != 0) {
			all, begin, sliced = append(all, bytes.TrimRight(text[begin:at], "\x00")), at, false
		}
		sliced = sliced || slice
	}
	if sliced {
		all = append(all, text[begin:])
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no pictures in Annex B", file)
	}
	return all, nil
}

// readOpus returns the packets of an Ogg file with one packet a page.
func readOpus(file string) ([][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r, _, err := oggreader.NewWith(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all [][]byte
	for {
		packet, _, err := r.ParseNextPage()
		switch {
		case err == io.EOF && len(all) > 0: //nolint:errorlint // the reader returns it as it is
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", file, err)
		case !bytes.HasPrefix(packet, []byte("OpusTags")):
			all = append(all, bytes.Clone(packet))
		}
	}
}
