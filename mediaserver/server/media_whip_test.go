package server

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// publishSoundOnly connects a WHIP publisher that announces a
// picture and sound but sends only sound, until the test ends.
func (s *testServer) publishSoundOnly(streamID string) {
	s.t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = pc.GracefulClose() })
	var sound *webrtc.TrackLocalStaticRTP
	for _, capability := range []webrtc.RTPCodecCapability{
		{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}, {MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
	} {
		if sound, err = webrtc.NewTrackLocalStaticRTP(capability, capability.MimeType, "stream"); err != nil {
			s.t.Fatal(err)
		}
		if _, err = pc.AddTransceiverFromTrack(sound, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			s.t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		s.t.Fatal(err)
	}
	<-gathered
	res, err := http.Post(s.url("whip/"+streamID), "application/sdp", strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s: %s, %v", res.Status, answer, err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}); err != nil {
		s.t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := uint16(0); ; i++ {
			select {
			case <-s.t.Context().Done():
				return
			case <-tick.C:
				_ = sound.WriteRTP(&rtp.Packet{
					Header:  rtp.Header{Version: 2, SequenceNumber: i, Timestamp: uint32(i) * 960},
					Payload: []byte{0xfc, 0xff, 0xfe},
				})
			}
		}
	}()
	s.t.Cleanup(func() { <-stopped })
}

// A WHIP publisher that announces a picture but sends none is not a whole leg. A good backup
// is played instead. Without a backup the leg stays on air. The status reports it in any case.
func TestAPictureThatIsAnnouncedAndDoesNotComeIsRanked(t *testing.T) {
	for name, hasBackup := range map[string]bool{"the other leg is whole: fail over": true, "there is no other leg: stay": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky)
			s.publishSoundOnly("primary")
			s.onAir("primary", true, false)
			if hasBackup {
				s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
			}
			eventually.True(t, "the leg is told of", func() bool {
				leg := s.pair("sunday").Legs[0]
				return leg.Rank == "AudioOnly" && slices.ContainsFunc(leg.Warnings, func(w control.Warning) bool { return w.Code == "NoVideoPackets" })
			})
			if !hasBackup {
				if p := s.pair("sunday"); p.ActiveStreamID != "primary" || !p.OnAir || p.Switches != 0 {
					t.Errorf("%s is on air: %t, after %d switches", p.ActiveStreamID, p.OnAir, p.Switches)
				}
				return
			}
			eventually.True(t, "the backup is on air", func() bool { return s.pair("sunday").ActiveStreamID == "backup" })
			s.watchPair().sees(1, fps, time.Time{})
		})
	}
}
