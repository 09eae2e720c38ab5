// Package sdpoffer reads the SDP offers of WHIP publishers and WHEP viewers. It writes
// a much smaller offer, which pion answers instead.
//
// An offer comes from a stranger. pion multiplies parts of an offer with each other, so a
// few kilobytes could cost gigabytes. Parse therefore checks every bound first. Then it
// reads the text once, in time and memory linear in its length. Select writes an offer of
// only the chosen sections, with one format each. No text that has not been checked
// reaches pion. Nothing that is kept refers to the stranger's text.
//
// The package knows nothing of HTTP and makes no connection. The whep and whip packages
// choose which sections and formats are served. Start with Parse.
package sdpoffer
