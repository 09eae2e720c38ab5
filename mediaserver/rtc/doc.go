// Package rtc is what publishing and playing over WebRTC share: the one UDP and TCP port of all
// connections, and the packetised output of a pair with its viewers.
//
// Packages whip and whep are the signalling protocols, and package failover chooses
// what goes out. Start with Engine, which makes the PeerConnections of publishers and the
// ViewerConnections of viewers. Then see Output, which takes access units and Opus packets
// and serves them to Viewers.
//
// An Output packetises once, into one bounded history per track. A viewer is a
// position in that history plus its own sequence numbers. Joining, pacing and skipping
// after a loss move this position. A NACK is answered from the history, by RTX (RFC 4588) where
// the viewer takes that. A viewer with much loss gets IDRs only (lossState). RTP timestamps
// and sender reports both come from the server's media clock. So a viewer's sound and
// picture stay together, whatever happens upstream. Of a long silence few packets are sent.
package rtc
