// Package server puts the media server together: it opens the ports, gives each
// package what it needs of the others, and ends everything in order. It decides nothing
// about media. Start with New.
package server
