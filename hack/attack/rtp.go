package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Every packetInterval a burst of packetsPerBurst packets is sent.
const (
	packetInterval  = 10 * time.Millisecond
	packetsPerBurst = 20
)

// A packetMaker returns the n-th packet to send, from 0 on;
// nil: there are no more packets. Only one goroutine uses it.
type packetMaker func(n int) *rtp.Packet

// spsBytes and ppsBytes are parameter sets of x264 for 1280x720 in Constrained Baseline.
var (
	spsBytes = []byte{
		0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00,
		0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x18, 0x32, 0x48,
	}
	ppsBytes = []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
)

func packet(seq int, timestamp uint32, marker bool, payload []byte) *rtp.Packet {
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: uint16(seq), Timestamp: timestamp, Marker: marker},
		Payload: payload,
	}
}

// sequenceJumps makes packets whose sequence numbers jump as far as possible, at many places.
func sequenceJumps(random *rand.Rand) packetMaker {
	jumps := []int{5, 60000, 60001, 3, 32767, 65535, 0, 32768, 1, 40000}
	return func(n int) *rtp.Packet {
		seq := random.IntN(1 << 16)
		if n < len(jumps) {
			seq = jumps[n]
		}
		return packet(seq, uint32(n)*3000, true, []byte{0x61, 1, 2, 3})
	}
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// randomPackets makes packets that have nothing in common.
func randomPackets(random *rand.Rand) packetMaker {
	seq := 0
	return func(int) *rtp.Packet {
		seq += random.IntN(3)
		if random.IntN(200) == 0 {
			seq = random.IntN(1 << 16)
		}
		return packet(seq, random.Uint32(), random.IntN(4) == 0, randomBytes(random, random.IntN(1180)))
	}
}

// randomUnits makes NAL units of all types, with
// parameter sets of which a few bytes were changed.
func randomUnits(random *rand.Rand) packetMaker {
	var timestamp uint32
	return func(n int) *rtp.Packet {
		timestamp += uint32(random.IntN(9000)) - 3000
		payload := append([]byte{byte(random.IntN(32)) | 0x60}, randomBytes(random, random.IntN(600))...)
		if kind := random.IntN(4); kind < 2 {
			payload = append([]byte{}, [][]byte{spsBytes, ppsBytes}[kind]...)
			for range random.IntN(3) {
				payload[1+random.IntN(len(payload)-1)] = byte(random.Uint32())
			}
		}
		return packet(n, timestamp, random.IntN(4) == 0, payload)
	}
}

// endlessFragment makes one FU-A that never ends, RFC 6184 section 5.8.
func endlessFragment(random *rand.Rand) packetMaker {
	return func(n int) *rtp.Packet {
		payload := append([]byte{0x7c, 0x05}, randomBytes(random, 1100)...)
		if n == 0 {
			payload[1] |= 0x80
		}
		return packet(n, 0, false, payload)
	}
}

// garbageSlices makes IDRs with valid parameter sets whose slices cannot be decoded.
func garbageSlices(random *rand.Rand) packetMaker {
	var timestamp uint32
	return func(n int) *rtp.Packet {
		switch n % 4 {
		case 0:
			timestamp += 3000
			return packet(n, timestamp, false, spsBytes)
		case 1:
			return packet(n, timestamp, false, ppsBytes)
		default:
			return packet(n, timestamp, n%4 == 3, append([]byte{0x65}, randomBytes(random, 1000)...))
		}
	}
}

// sendRTP publishes by WHIP again and again. It sends packets, and RTCP, that no encoder sends.
func sendRTP(make func(*rand.Rand) packetMaker) func(context.Context, target, *tally) {
	return func(ctx context.Context, t target, came *tally) {
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same packets each time
		for ctx.Err() == nil {
			err := publishPackets(ctx, t, random, make(random))
			if ctx.Err() == nil {
				came.add(err.Error())
				pause(ctx, 500*time.Millisecond)
			}
		}
		came.add("sent")
	}
}

// publishPackets sends the packets in one session.
func publishPackets(ctx context.Context, t target, random *rand.Rand, next packetMaker) error {
	pc, err := newPeer(webrtc.NetworkTypeUDP4)
	if err != nil {
		return err
	}
	defer func() { _ = pc.GracefulClose() }()
	video, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	}, "video", "stranger")
	if err != nil {
		return err
	}
	sender, err := pc.AddTrack(video)
	if err != nil {
		return err
	}
	if err := connect(ctx, pc, t.url("whip/"+t.openIDs[1])); err != nil {
		return err
	}
	ssrc := uint32(sender.GetParameters().Encodings[0].SSRC)
	ticker := time.NewTicker(packetInterval)
	defer ticker.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if state := pc.ConnectionState(); state != webrtc.PeerConnectionStateConnected {
			return fmt.Errorf("session %s", state)
		}
		for range packetsPerBurst {
			if p := next(n); p != nil {
				_ = video.WriteRTP(p)
			}
			n++
		}
		_ = pc.WriteRTCP([]rtcp.Packet{
			&rtcp.SenderReport{SSRC: ssrc, NTPTime: random.Uint64(), RTPTime: random.Uint32()},
			rawReport(random),
		})
	}
}

// rawReport returns an RTCP packet that is random except for a correct length.
func rawReport(random *rand.Rand) *rtcp.RawPacket {
	words := 1 + random.IntN(20)
	raw := rtcp.RawPacket(append([]byte{0x80 | byte(random.IntN(32)), byte(192 + random.IntN(20)), 0, byte(words)},
		randomBytes(random, 4*words)...))
	return &raw
}

// connect posts the offer of pc, applies the answer, and waits for the connection.
func connect(ctx context.Context, pc *webrtc.PeerConnection, url string) error {
	connected := make(chan struct{})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	if err := negotiate(ctx, pc, url, func(answer string) string { return answer }); err != nil {
		return err
	}
	select {
	case <-connected:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("not connected")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// negotiate posts the offer of pc, and applies the answer as changed by change.
func negotiate(ctx context.Context, pc *webrtc.PeerConnection, url string, change func(answer string) string) error {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/sdp")
	client := insecureClient(dialer().DialContext)
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return errors.New("no answer")
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return errors.New("no answer")
	}
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("%d", answer.StatusCode)
	}
	return pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: change(string(body))})
}
