// Package stream holds the media that publishers are sending now: who publishes which stream, the
// access units since the last IDR, and when each track last sent something.
//
// The package is where ingest and playback meet. It knows nothing of protocols, pairs or viewers.
// Publishers get a Publication from Registry.Publish and write access units into it. Everybody else
// reads a Stream: Subscribe for new access units, Cached for the access units since the last IDR,
// Snapshot for the state. Start with Registry.
//
// All times are on the server's media clock: the time since the Registry's epoch. The timestamps of
// each publication are mapped to the media clock (see clock). So the media of two encoders can be
// compared and spliced without further arithmetic.
package stream
