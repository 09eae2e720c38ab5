// Package sdpoffer reads the SDP offers of WHIP publishers and WHEP viewers, and writes
// the much smaller offer that pion answers in their place.
//
// An offer comes from a stranger. pion multiplies parts of an offer with each other, so
// that a few kilobytes could cost gigabytes. Parse therefore checks every bound first,
// then reads the text once, in time and memory linear in its length. Select writes an
// offer of the chosen sections alone, with one format each. No text of the stranger that
// nobody looked at reaches pion, and nothing that is kept refers to the stranger's text.
//
// The package knows nothing of HTTP, makes no connection, and does not choose: which
// sections and formats are served is the business of the whep and whip packages. Start
// with Parse.
package sdpoffer
