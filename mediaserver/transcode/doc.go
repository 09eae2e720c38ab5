// Package transcode makes what encoders send playable over WebRTC. It makes one
// continuous Opus track (Audio), and video without B-frames (Views).
//
// An Audio belongs to one output. The source on air feeds it. A View belongs to one stream,
// and all outputs that play the stream share it. Nothing is decoded or encoded while nobody
// listens or watches. Media that needs no change is passed on untouched.
//
// The package does not choose between sources and does not packetise. It decodes video
// only in a separate ffmpeg process.
package transcode
