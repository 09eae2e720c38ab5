// Package peer is all that a media server knows about the other leg's media servers, its peers:
// where they are, how they are reached, how each pair stands there, and which requests are passed on
// to them.
//
// Start with New: a Peer is all of this together, and a server needs nothing else. Its parts are a
// Directory, which knows where the peers are and how each is reached at present; a Client, which
// reads from the peers how the pairs stand there, and has each of their streams relayed; a
// StandingHandler, which tells the peers how the pairs stand here; and a Forwarder, which passes
// requests about a peer's sessions on to the peer.
//
// Peers prove their identity to each other by TLS, on a port of their own: see package pairtls. If
// the operator allows it, a peer of a version before is served and asked in clear, with the cluster
// token, on the port of the players.
//
// The package decides nothing about legs: failover.Agree decides, from the Standing that a Client
// passes to Pair.SetPeer. The media that peers send each other are the subject of package relay.
package peer

import "time"

const (
	// Heartbeat is how often a server tells its peers that it is there. Event streams have a
	// heartbeat as often.
	Heartbeat = 500 * time.Millisecond
	// silence is how long an answer that has begun may pause. A reader then connects anew. A viewer
	// whose server is cut off must not wait in vain for as long as TCP would.
	silence = 4 * Heartbeat
)
