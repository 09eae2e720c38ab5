// Package audience has the encoders and viewers of the end-to-end tests: encoders
// that are restarted when they die, viewers that find another pod when theirs dies,
// a viewer that reads HLS from all pods in turn, and the player in a real browser.
// They act without the test's help, note what they see, and judge nothing. The
// tests have the limits, and package measure the figures.
//
// Encoder, Watcher, HLSViewer and Page are where to start.
package audience
