// Package sound measures decoded sound: level, clipping, loudness, and a fingerprint by which
// package step finds the same moment in another leg. It says nothing about faults.
//
// It is pure: it has no clock, goroutine, socket or file. Start with Meter.
package sound
