package rtc

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

func newTestEngine(t *testing.T, cfg EngineConfig) *Engine {
	t.Helper()
	goleak.VerifyNone(t)
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	cfg.Metrics = metrics.New(prometheus.NewRegistry())
	e, err := NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		goleak.VerifyNone(t)
	})
	return e
}

// newSender makes a client that offers one Opus track over the given networks.
func newSender(t *testing.T, networks ...webrtc.NetworkType) (*webrtc.PeerConnection, *webrtc.TrackLocalStaticSample) {
	t.Helper()
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetNetworkTypes(networks)
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(me)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	return pc, track
}

func localOffer(t *testing.T, pc *webrtc.PeerConnection) string {
	t.Helper()
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

// receive lets the engine answer the offer of the client and returns the payload of
// the first packet that arrives.
func receive(t *testing.T, e *Engine, client *webrtc.PeerConnection, track *webrtc.TrackLocalStaticSample) ([]byte, *webrtc.PeerConnection) {
	t.Helper()
	offer := localOffer(t, client)
	codecs, selection := selected(t, offer, webrtc.RTPTransceiverDirectionSendonly)
	me, err := NewMediaEngine(codecs...)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := e.NewPeerConnection(me, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	got := make(chan []byte, 1)
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		p, _, err := remote.ReadRTP()
		if err == nil {
			got <- p.Payload
		}
	})
	answer, err := e.Answer(pc, selection, Reach{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(20 * time.Second)
	for {
		select {
		case payload := <-got:
			return payload, pc
		case <-ticker.C:
			_ = track.WriteSample(media.Sample{Data: []byte{0xfc, 1, 2}, Duration: 20 * time.Millisecond})
		case <-limit:
			t.Fatalf("no packet within 20 s; answer:\n%s", answer)
		}
	}
}

func TestMediaArrivesOverUDPAndOverTCP(t *testing.T) {
	for name, networks := range map[string][]webrtc.NetworkType{
		"udp": {webrtc.NetworkTypeUDP4},
		"tcp": {webrtc.NetworkTypeTCP4},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEngine(t, EngineConfig{})
			client, track := newSender(t, networks...)
			payload, pc := receive(t, e, client, track)
			if diff := cmp.Diff([]byte{0xfc, 1, 2}, payload); diff != "" {
				t.Error(diff)
			}
			pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			if err != nil || pair == nil {
				t.Fatalf("selected pair: %v, %v", pair, err)
			}
			if got := pair.Local.Protocol.String(); got != name {
				t.Errorf("protocol %s, want %s", got, name)
			}
		})
	}
}

func TestAllInterfacesIncludesLoopback(t *testing.T) {
	e := newTestEngine(t, EngineConfig{Address: ":0"})
	client, track := newSender(t, webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6)
	_, pc := receive(t, e, client, track)
	if sdp := e.LocalDescription(pc, Reach{}); !strings.Contains(sdp, " 127.0.0.1 ") {
		t.Errorf("no loopback candidate in\n%s", sdp)
	}
}

func TestPortZeroIsOneNumberForUDPAndTCP(t *testing.T) {
	e := newTestEngine(t, EngineConfig{})
	if conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(e.Port())}); err == nil {
		_ = conn.Close()
		t.Error("the UDP port of the same number is free")
	}
}

func TestPortInUseIsAnError(t *testing.T) {
	e := newTestEngine(t, EngineConfig{})
	_, err := NewEngine(EngineConfig{Address: e.Addr().String(), Metrics: metrics.New(prometheus.NewRegistry())})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestCloseDoesNotWaitForSilentTCPConnections(t *testing.T) {
	e := newTestEngine(t, EngineConfig{})
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	time.Sleep(20 * time.Millisecond)
	start := time.Now()
	e.Close()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestTCPConnectionsAreLimited(t *testing.T) {
	e := newTestEngine(t, EngineConfig{MaxTCPConnections: 1})
	var conns [2]net.Conn
	for i := range conns {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	_ = conns[0].SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := conns[0].Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the one that has waited longer: got %v, want it closed", err)
	}
	if n := testutil.ToFloat64(e.cfg.Metrics.AdmissionEnded.WithLabelValues("webrtc_tcp", "newcomer")); n != 1 {
		t.Errorf("%v ends counted, want 1", n)
	}
}

func TestAdvertisedAddressesReplaceCandidates(t *testing.T) {
	sdp := strings.ReplaceAll(`v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=candidate:1 1 udp 2130706431 10.0.0.2 8189 typ host
a=candidate:1 2 udp 2130706431 10.0.0.2 8189 typ host
a=candidate:2 1 tcp 1671430143 10.0.0.2 8189 typ host tcptype passive
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:1
`, "\n", "\r\n")
	tests := map[string]struct {
		advertised []AdvertisedAddress
		want       string
	}{
		"none: those of the interfaces, without component 2": {
			want: `v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=candidate:1 1 udp 2130706431 10.0.0.2 8189 typ host
a=candidate:2 1 tcp 2120220671 10.0.0.2 8189 typ host tcptype passive
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:1
`,
		},
		"own ports and the engine's": {
			advertised: []AdvertisedAddress{
				{IP: netip.MustParseAddr("203.0.113.1"), UDPPort: 30000, TCPPort: 30001},
				{IP: netip.MustParseAddr("2001:db8::1")},
			},
			want: `v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=candidate:1 1 udp 2130706431 203.0.113.1 30000 typ host
a=candidate:2 1 udp 2130706175 2001:db8::1 8189 typ host
a=candidate:3 1 tcp 2120220671 203.0.113.1 30001 typ host tcptype passive
a=candidate:4 1 tcp 2120220415 2001:db8::1 8189 typ host tcptype passive
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:1
`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.ReplaceAll(rewriteCandidates(sdp, test.advertised, 8189, Reach{}), "\r\n", "\n")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddressesCanBeReplacedWhileItRuns(t *testing.T) {
	own, flag, told := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	e := newTestEngine(t, EngineConfig{AdvertiseAddresses: []AdvertisedAddress{{IP: flag}}, OwnAddress: own})
	for _, step := range []struct {
		what string
		do   func()
		want []AdvertisedAddress
	}{
		{"as it was made", func() {}, []AdvertisedAddress{{IP: flag}, {IP: own}}},
		{"others", func() { e.Advertise([]AdvertisedAddress{{told, 1, 2}}) }, []AdvertisedAddress{{told, 1, 2}, {IP: own}}},
		{"its own", func() { e.Advertise([]AdvertisedAddress{{IP: own}}) }, []AdvertisedAddress{{IP: own}}},
		{"none: those of the interfaces", func() { e.Advertise(nil) }, nil},
	} {
		step.do()
		if got := e.offered(); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}

func TestUnspecifiedH264(t *testing.T) {
	stream := []byte{0x67, 0x64, 0x00, 0x28, 0xac}
	for name, test := range map[string]struct {
		fmtp string
		sps  []byte
		want string // "" for none
	}{
		"no parameters: the stream's profile":        {"", stream, "profile-level-id=640028"},
		"no parameters, and no stream yet":           {"", nil, "profile-level-id=42e01f"},
		"no parameters, and the stream is of 10 bit": {"", []byte{0x67, 0x6e, 0x00, 0x28}, "profile-level-id=42e01f"},
		"mode 1 alone":                               {"packetization-mode=1", stream, "profile-level-id=640028"},
		"other parameters alone":                     {"sprop-parameter-sets=Z0LAHg==,aM4=", stream, "profile-level-id=640028"},
		"a profile alone: that profile":              {"profile-level-id=42e01f", stream, "profile-level-id=42e01f"},
		"mode 0 is ruled out by its name":            {"packetization-mode=0", stream, ""},
		"mode 2 is interleaved":                      {"packetization-mode=2", stream, ""},
		"10 bit alone":                               {"profile-level-id=6e001f", stream, ""},
		"both are said, and neither is to be had":    {"packetization-mode=0;profile-level-id=42e01f", stream, ""},
		"a profile that is none":                     {"profile-level-id=zz", stream, ""},
		"names are compared without regard for case": {"Packetization-Mode=0", stream, ""},
	} {
		t.Run(name, func(t *testing.T) {
			formats := []webrtc.RTPCodecParameters{
				{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000}, PayloadType: 96},
				{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/h264", ClockRate: 90000, SDPFmtpLine: test.fmtp}, PayloadType: 127},
			}
			codec, ok := AnswerFormat("video", formats)
			if ok != (test.want != "") {
				t.Fatalf("taken: %t", ok)
			}
			if !ok {
				return
			}
			got := CompleteH264(codec.SDPFmtpLine, test.sps)
			if codec.PayloadType != 127 || !strings.Contains(got, "packetization-mode=1;") || !strings.Contains(got, test.want) {
				t.Errorf("format %d is answered with %q, want %q in it", codec.PayloadType, got, test.want)
			}
		})
	}
}

func TestACompleteFormatIsPreferredToAnUnspecifiedOne(t *testing.T) {
	var formats []webrtc.RTPCodecParameters
	for i, fmtp := range []string{"", "packetization-mode=1;profile-level-id=42e01f"} {
		formats = append(formats, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "video/H264", ClockRate: 90000, SDPFmtpLine: fmtp}, PayloadType: webrtc.PayloadType(100 + i),
		})
	}
	if codec, ok := AnswerFormat("video", formats); !ok || codec.PayloadType != 101 {
		t.Errorf("%t %+v", ok, codec)
	}
}

func TestHighestH264(t *testing.T) {
	offer := func(fmtps ...string) string {
		var b strings.Builder
		b.WriteString("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96")
		for i := range fmtps {
			fmt.Fprintf(&b, " %d", 100+i)
		}
		b.WriteString("\r\na=rtpmap:96 VP8/90000\r\n")
		for i, f := range fmtps {
			fmt.Fprintf(&b, "a=rtpmap:%d H264/90000\r\na=fmtp:%d %s\r\n", 100+i, 100+i, f)
		}
		return b.String()
	}
	tests := map[string]struct {
		fmtps []string
		want  int // index of the format chosen, -1 for none
	}{
		"no H.264": {nil, -1},
		"High before Main before Baseline": {[]string{
			"packetization-mode=1;profile-level-id=42e01f",
			"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
			"packetization-mode=1;profile-level-id=640c1f",
			"packetization-mode=0;profile-level-id=640034",
			"packetization-mode=1; profile-level-id=4d001f",
		}, 1},
		"constrained Baseline before Baseline": {[]string{
			"packetization-mode=1;profile-level-id=42001f", "packetization-mode=1;profile-level-id=42e01f",
		}, 1},
		"the higher level of equal profiles": {[]string{
			"packetization-mode=1;profile-level-id=64001f", "packetization-mode=1;profile-level-id=640034",
		}, 1},
		"packetization-mode 0 is not used": {[]string{"packetization-mode=0;profile-level-id=64001f"}, -1},
		"missing mode is mode 0":           {[]string{"profile-level-id=64001f"}, -1},
		"10 bit is not used":               {[]string{"packetization-mode=1;profile-level-id=6e001f"}, -1},
		"bad profile":                      {[]string{"packetization-mode=1;profile-level-id=zz"}, -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			parsed, err := sdpoffer.Parse(offer(test.fmtps...))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := HighestH264(parsed.Sections[0].Formats)
			if ok != (test.want >= 0) {
				t.Fatalf("ok %v", ok)
			}
			if ok && got.SDPFmtpLine != test.fmtps[test.want] {
				t.Errorf("chose %q", got.SDPFmtpLine)
			}
		})
	}
}
