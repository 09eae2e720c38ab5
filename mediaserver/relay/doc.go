// Package relay brings the media of each leg to both media servers of a pair. Each server has both
// legs, although each leg's encoder publishes to only one of the servers.
//
// A Handler serves the streams that are published here. Pull reads a stream that is published at a
// peer, and publishes it here as a relayed publication. Package peer says where the peers are, and
// pulls each stream from each of them. A stream is taken from the peer that has the publisher, or
// from the one with the later publication if both have one.
//
// Only streams that an encoder sends to this server are served, so nothing goes in circles. A
// relayed publication gives way to an encoder, wherever the encoder comes from. An encoder that
// publishes to the wrong server works like any other, and reaches the right server through the
// relay. So both streams of a pair are pulled, whichever leg is the server's own. A pull stops while
// somebody publishes the stream here.
//
// The resource is:
//
//	GET /{app}/{streamId}.flv    the stream, as HTTP-FLV
//
// To a peer, the FLV begins with the GOP cache and goes on through takeovers and changes of
// parameters. At the beginning of a publication its times are on the serving server's media clock,
// so they continue across publications. From there on their distances are the encoder's own.
//
// Between the media there are script tags of the relay (see note). They tell when a publication
// began, that it begins or has ended, how far the media clock has moved since, and that the server
// is about to end. Twice a second a tag tells that the server is there. A reader that gets nothing
// for two seconds connects anew. The answer for a stream that nobody publishes also begins at once,
// so that its first picture comes without a new request.
//
// On the players' port the same URL is for ffplay, VLC and others, where playback allows it.
// Players get only media, local or relayed, from an IDR on. They get a single stream, not the
// output of a pair.
//
// The package decides nothing about legs, and re-encodes nothing.
package relay

import "time"

// writeTimeout is how long a reader may take to accept the data that it is sent.
const writeTimeout = 5 * time.Second
