// Package failover chooses which leg of a pair is on air and splices the media of that leg into the
// pair's output.
//
// The choice is a pure function, Decide. The facts that Decide reads (Leg.Rank) and the timestamps
// of a splice (timeline) are pure as well. Pair is the thin runner around them: one goroutine that
// owns a pair's state, reads both legs and writes one output. The package knows nothing of
// protocols, packets or viewers' sessions.
package failover
