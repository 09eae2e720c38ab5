// Package ffmpeg runs ffmpeg as a process of its own: it starts and ends the process, and moves what
// goes in and comes out. A decoder that hangs, dies or grows thereby harms nothing else. Start with
// Start.
package ffmpeg
