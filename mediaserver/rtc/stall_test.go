package rtc

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A stallingProxy passes TCP connections on until it is told to stall. From then on it
// keeps them open, but moves no data.
type stallingProxy struct {
	net.Listener
	stalled chan struct{}
	stop    chan struct{}
	wg      sync.WaitGroup
}

func newStallingProxy(t *testing.T) *stallingProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &stallingProxy{Listener: ln, stalled: make(chan struct{}), stop: make(chan struct{})}
}

// start passes connections on to target until the test ends.
func (p *stallingProxy) start(t *testing.T, target string) {
	p.wg.Go(func() {
		for {
			in, err := p.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.wg.Go(func() { p.pass(in, out) })
			p.wg.Go(func() { p.pass(out, in) })
			p.wg.Go(func() { <-p.stop; _ = in.Close(); _ = out.Close() })
		}
	})
	t.Cleanup(func() {
		_ = p.Close()
		close(p.stop)
		p.wg.Wait()
	})
}

func (p *stallingProxy) pass(from io.Reader, to io.Writer) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-p.stalled:
			<-p.stop
			return
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestPeerThatStopsReadingTCPIsDroppedAndNeverBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds, which -short leaves out")
	}
	proxy := newStallingProxy(t)
	port := proxy.Addr().(*net.TCPAddr).AddrPort().Port()
	e := newTestEngine(t, EngineConfig{
		AdvertiseAddresses: []AdvertisedAddress{{IP: netip.MustParseAddr("127.0.0.1"), TCPPort: port}},
	})
	proxy.start(t, e.Addr().String())

	client, _ := newSender(t, webrtc.NetworkTypeTCP4)
	if _, err := client.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	offer := localOffer(t, client)
	codecs, selection := selected(t, offer, webrtc.RTPTransceiverDirectionSendrecv)
	me, err := NewMediaEngine(codecs...)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := e.NewPeerConnection(me, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "v", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	connected, failed := make(chan struct{}), make(chan struct{})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			close(connected)
		case webrtc.PeerConnectionStateFailed:
			close(failed)
		}
	})
	answer, err := e.Answer(pc, selection, Reach{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	wait(t, connected, "connect through the advertised TCP port")

	close(proxy.stalled)
	written := make(chan struct{})
	go func() {
		defer close(written)
		packet := &rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 1150)}
		// That is far more than all buffers on the path hold.
		for range 50_000 {
			packet.SequenceNumber++
			_ = track.WriteRTP(packet)
		}
	}()
	wait(t, written, "write 57 MB to a peer that reads nothing")
	start := time.Now()
	wait(t, failed, "drop the peer")
	t.Logf("dropped %v after the last packet", time.Since(start).Round(time.Millisecond))
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s: not within 60 s", what)
	}
}
