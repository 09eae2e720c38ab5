package main

import (
	"time"

	"github.com/pion/webrtc/v4"
)

// newPeer makes a peer connection on loopback over UDP or TCP. The connection
// never gives up a silent server, so the server itself must notice the end.
func newPeer(network webrtc.NetworkType) (*webrtc.PeerConnection, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{network})
	settings.SetICETimeouts(time.Hour, time.Hour, time.Second)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
}

// newViewerPeer makes a peer connection that offers to receive.
func newViewerPeer(network webrtc.NetworkType) (*webrtc.PeerConnection, error) {
	pc, err := newPeer(network)
	if err != nil {
		return nil, err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return nil, err
		}
	}
	return pc, nil
}
