// Package playlist writes the playlists of HLS: media playlists with the tags of low latency, delta
// updates, and multivariant playlists (RFC 8216 and draft-pantos-hls-rfc8216bis).
//
// The package is pure: a playlist follows from its arguments. It knows nothing of requests, and
// nothing of how segments are made. Start with Media.
package playlist
