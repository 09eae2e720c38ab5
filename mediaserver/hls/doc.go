// Package hls serves pairs and single streams by HLS and low-latency HLS, through switches.
//
// The first request starts a programme, and a programme ends when nobody has asked for some time. A
// programme follows the leg that its pair has on air. It reads that leg's stream as the encoder sent
// it, with B-frames and AAC, and never the stream that package transcode makes. Package cut makes
// parts of the stream, package list has their order, and package playlist writes what players read.
// A switch is a discontinuity. Parts and segments are kept in memory, within the server's budget.
//
// Several servers may answer the same players, such as the two pods of a pair. One of them writes the
// list of a programme, and the others have a copy: package replica decides who writes.
//
// The package does not decide which leg is on air, and it re-encodes nothing.
//
// The resources are:
//
//	GET /{app}/streams/{id}.m3u8           the media playlist. ?backupStreamId=ID asks for the pair.
//	                                       An empty one asks for the stream alone.
//	GET /{app}/streams/{id}_adaptive.m3u8  the multivariant playlist, with the same query.
//	GET /{app}/streams/{id}/{name}         a part, a segment or an initialization section.
//	GET /{app}/hls/{id}                    what the other servers read, for them alone.
//
// Start with Handler.
package hls
