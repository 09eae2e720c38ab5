// Package cut turns the access units of one publication into the parts and segments of HLS, in
// fragmented MP4 (CMAF, ISO/IEC 23000-19).
//
// The package is pure: it has no clock, no goroutine and no store. Time comes with the access
// units. So the same access units give the same bytes, wherever they are cut. The package knows
// nothing of playlists, pairs or requests.
//
// Start with Cutter.
package cut
