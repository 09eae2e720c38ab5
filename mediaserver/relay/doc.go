// Package relay joins two media servers that play the same pairs, so that each has both
// legs although each leg's encoder publishes to one of them.
//
// A Handler serves what is published here; a Client reads what is published at the peer
// and publishes it here, as a publication that is marked as relayed. Only what an encoder
// sends to this server is served, so nothing goes in circles, and a relayed publication
// gives way to an encoder, wherever it comes from: one that publishes to the wrong server
// works like any other, and reaches the right one through the relay. A Client therefore
// asks for both streams of a pair, whichever leg is its server's own, and stops while
// somebody publishes the stream here.
//
// Two resources, both for the cluster token only:
//
//	GET /{app}/{streamId}.flv                      the stream, as HTTP-FLV
//	GET /{app}/relay/{streamId}?backupStreamId=    how the pair stands, a line of JSON each
//
// The FLV begins with the GOP cache and goes on through takeovers and changes of
// parameters. Its times are those of the serving server's media clock, so they go on too;
// from one IDR to the next their distances are the encoder's own. Between the media are
// script tags of the relay's own (see note): a publication begins or has ended, and, twice
// a second, that the server is there. They are for the peer: some players take such tags
// for subtitles. A reader that hears nothing for two seconds connects anew. The answer to
// a stream that nobody publishes begins at once too, so that its first picture comes
// without a request.
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
