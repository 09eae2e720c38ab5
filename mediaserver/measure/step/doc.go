// Package step measures by how much two legs differ in the time of the programme, from the
// fingerprints of their sound. "Unknown" is an answer. The package does not read sound itself, and
// shifts nothing.
//
// It is pure: it has no clock, goroutine, socket or file. Start with Estimator.
package step
