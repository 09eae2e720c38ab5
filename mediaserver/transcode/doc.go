// Package transcode makes of what encoders send what WebRTC can play: one continuous
// Opus track (Audio), and video without B-frames (Views).
//
// Audio belongs to one output and is fed by whichever source is on air. A View belongs
// to one stream and is shared by all outputs that play it. Nothing is decoded or encoded
// while nobody listens or watches, and what needs no change is handed on untouched.
//
// The package does not choose between sources, does not packetise, and decodes video
// only in an ffmpeg process of its own.
package transcode
