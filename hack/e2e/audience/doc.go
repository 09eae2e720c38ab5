// Package audience holds the people of an evening, for the end-to-end tests: encoders that
// are started again when they die, viewers that find another pod when theirs dies, and the
// player in a real browser. They act by themselves, note what they see, and judge nothing:
// limits are the tests', figures are package measure's.
//
// Start from Encoder, Watcher and Page.
package audience
