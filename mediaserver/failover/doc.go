// Package failover chooses which leg of a pair is on air and splices its media into
// the pair's output.
//
// The choice is a pure function, Decide; so are what it stands on (Leg.Rank) and the
// timestamps of a splice (timeline). Pair is the thin runner around them: one
// goroutine that owns a pair's state, reads both legs and writes one output. It knows
// nothing of protocols, packets or viewers' sessions.
package failover
