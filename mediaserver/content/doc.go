// Package content judges the content of the two legs of a pair: a black or frozen picture, silence,
// a low rate. It is pure: it has no clock, no goroutine and no media. Begin with Judge.
//
// A fault is a difference. A leg has a fault if it shows the fault while the other leg is clearly
// without it, at the same moment of the programme. What both legs show is the programme.
//
// The package does not measure: see package measure. It does not switch: see package failover.
package content
