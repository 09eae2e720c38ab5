// Package stream holds the programmes that publishers are sending now: who
// publishes which stream, the access units since the last IDR, and how recently
// each track was heard from.
//
// It is the meeting point of ingest and playback and knows nothing of protocols,
// pairs or viewers. Publishers get a Publication from Registry.Publish and write
// access units into it; everybody else reads a Stream: Subscribe for what comes,
// Cached for what came since the last IDR, Snapshot for its state. Start with
// Registry.
//
// All times are on the server's media clock, the time since the Registry's epoch.
// Each publication's own timestamps are mapped to it (see clock), so the media of
// two encoders can be compared and spliced without further arithmetic.
package stream
