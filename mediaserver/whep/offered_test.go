package whep

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/rtc"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// offer opens a session in which the server offers.
func (s *server) offer(onConnected func()) *Offered {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/live/websocket?backupStreamId=backup", nil)
	r.SetPathValue("app", "live")
	r.SetPathValue("streamId", "primary")
	offered, refusal := s.handler.Offer(r, onConnected)
	if refusal != nil {
		s.t.Fatal(refusal.Message)
	}
	return offered
}

func TestAClientMayAnswerTheServersOffer(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	var connected atomic.Bool
	offered := s.offer(func() { connected.Store(true) })
	for _, want := range []string{"a=ice-lite", "a=setup:actpass", "a=group:BUNDLE 0 1", "a=sendonly", "profile-level-id=", " rtx/90000", "a=candidate:"} {
		if !strings.Contains(offered.SDP, want) {
			t.Errorf("no %q in the offer:\n%s", want, offered.SDP)
		}
	}
	pc := newAnswerer(t, nil)
	arrivals := arrivalsOf(pc)
	answer := answerTo(t, pc, offered.SDP)
	if refusal := offered.Accept(answer); refusal != nil {
		t.Fatal(refusal.Message)
	}
	if refusal := offered.Accept(answer); refusal == nil {
		t.Error("a second answer is taken")
	}
	await(t, arrivals, video, audio)
	if !connected.Load() || s.handler.ViewerCount() != 1 {
		t.Errorf("connected: %v, %d sessions", connected.Load(), s.handler.ViewerCount())
	}
	offered.Close()
	<-offered.Left()
	eventually.True(t, "the client is told", func() bool {
		return pc.ConnectionState() == webrtc.PeerConnectionStateClosed || pc.ConnectionState() == webrtc.PeerConnectionStateDisconnected ||
			pc.ConnectionState() == webrtc.PeerConnectionStateFailed
	})
}

// The pictures are High. Each client is offered that, and Constrained Baseline, and gets the same pictures.
func TestAnAnswerMayTakeConstrainedBaselineAlone(t *testing.T) {
	for profile, want := range map[string]uint8{"64001f": 96, "42e01f": uint8(rtc.BaselineType)} {
		t.Run(profile, func(t *testing.T) {
			s := newServer(t, nil)
			s.play()
			eventually.True(t, "a picture is on air", func() bool { return s.output.SPS() != nil })
			offered := s.offer(nil)
			me := &webrtc.MediaEngine{}
			if err := me.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 120, RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile,
			}}, webrtc.RTPCodecTypeVideo); err != nil {
				t.Fatal(err)
			}
			pc := newAnswerer(t, me)
			arrivals := arrivalsOf(pc)
			if refusal := offered.Accept(answerTo(t, pc, offered.SDP)); refusal != nil {
				t.Fatal(refusal.Message)
			}
			select {
			case got := <-arrivals:
				if got.packet.PayloadType != want {
					t.Errorf("payload type %d, want %d", got.packet.PayloadType, want)
				}
			case <-time.After(eventually.Patience):
				t.Error("no packet")
			}
			offered.Close()
			<-offered.Left()
		})
	}
}

// answerTo returns a client's answer with its candidates.
func answerTo(t *testing.T, pc *webrtc.PeerConnection, offer string) string {
	t.Helper()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

func TestAnswersThatCannotBeUsed(t *testing.T) {
	s := newServer(t, nil)
	s.play()
	rejected := strings.NewReplacer("a=setup:actpass", "a=setup:active", "m=video 9", "m=video 0").Replace(wished)
	for name, test := range map[string]struct {
		answer, reason string
	}{
		"nothing":    {"", signalling.ReasonMalformedOffer},
		"no SDP":     {"hello", signalling.ReasonMalformedOffer},
		"no picture": {rejected, signalling.ReasonUnsupportedMedia},
		"huge":       {strings.Repeat("a=x\r\n", 100_000), signalling.ReasonOfferTooLarge},
	} {
		offered := s.offer(nil)
		if refusal := offered.Accept(test.answer); refusal == nil || refusal.Reason != test.reason {
			t.Errorf("%s: %+v", name, refusal)
		}
		offered.Close()
		<-offered.Left()
	}
}
