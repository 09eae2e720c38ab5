// Package relay joins two media servers that play the same pairs, so that each has both
// legs although each leg's encoder publishes to one of them.
//
// A Handler serves what is published here; a Client reads what is published at the peers
// and publishes it here, as a publication that is marked as relayed. There may be two peers
// that have the same leg, one that ends and its replacement, or one that is lost: a Client
// asks each for everything, and takes the stream of whoever has the publisher, the later if
// both have. Only what an encoder sends to this server is served, so nothing goes in
// circles, and a relayed publication gives way to an encoder, wherever it comes from: one
// that publishes to the wrong server works like any other, and reaches the right one through
// the relay. A Client therefore asks for both streams of a pair, whichever leg is its
// server's own, and stops while somebody publishes the stream here.
//
// Two resources:
//
//	GET /{app}/{streamId}.flv                      the stream, as HTTP-FLV
//	GET /{app}/relay/{streamId}?backupStreamId=    how the pair stands, a line of JSON each
//
// Peers prove to each other who they are by TLS, on a port of their own: see package
// pairtls. Where the operator allows that, a peer of a version before is served and asked in
// clear, with the cluster token, on the port of the players.
//
// To a peer the FLV begins with the GOP cache and goes on through takeovers and
// changes of parameters. Its times are those of the serving server's media clock at the
// beginning of a publication, so they go on too; from there their distances are the
// encoder's own. Between the media are script tags of the relay's own (see note): when a
// publication began, that it begins or has ended, what the media clock has moved by since,
// that the server is about to end, and, twice a second, that it is there. A reader
// that hears nothing for two seconds connects anew. The answer to a stream that nobody
// publishes begins at once too, so that its first picture comes without a request.
//
// On the players' port the same URL is for ffplay, VLC and others, where playback allows: nothing but
// media, local or relayed alike, from an IDR on. What a pair plays it is not: it is one
// stream.
//
// The package decides nothing about legs: failover.Agree does, with what a Client hands to
// Pair.SetPeer. It re-encodes nothing.
package relay

import "time"

const (
	// heartbeat is how often a server says that it is there.
	heartbeat = 500 * time.Millisecond
	// silence is how long a reader hears nothing before it connects anew.
	silence = 4 * heartbeat
	// writeTimeout is how long a reader may take to accept what it is sent.
	writeTimeout = 5 * time.Second
)
