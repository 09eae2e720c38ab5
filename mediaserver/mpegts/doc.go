// Package mpegts takes MPEG transport streams apart: ISO/IEC 13818-1, ITU-T Rec. H.222.0.
//
// A Demuxer is given the bytes of a transport stream, in pieces of any size. It finds the first
// programme with its first picture and its first sound, and returns their PES packets. It follows
// every new table of programmes, and goes on after lost packets and after bytes that are no
// transport stream.
//
// The library go-astits reads the tables. The Demuxer joins PES packets itself: go-astits looks at
// the whole packet again for each 184 bytes of it, so a stranger with long packets could take a
// processor.
//
// Everything that a Demuxer keeps is bounded. The package is pure: it has no clock and no lock.
// Start with Demuxer.
package mpegts
