// Package rtc is what publishing and playing over WebRTC share: the one UDP and TCP
// port all PeerConnections use, and the packetised output of a pair with its viewers.
//
// It is not a signalling protocol, whip and whep are, and it does not choose what goes
// out, failover does. Start with Engine, which makes PeerConnections, and Output,
// which takes access units and Opus packets and serves them to Viewers.
//
// An Output packetises once, into one bounded history per track. A viewer is a place
// in that history plus its own sequence numbers: joining, pacing, skipping after a
// loss and answering a NACK are all moves of, or looks at, that place. RTP timestamps
// and sender reports both come from the server's media clock, so that a viewer's
// audio and video stay together whatever happens upstream.
package rtc
