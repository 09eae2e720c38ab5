// Package controllers is the operator's side of Streampair: it turns a StreamPair into
// the objects of a cluster, follows the media pods, and reports.
//
// It is not the one that switches. The media pods decide which leg viewers see, and do so
// without the operator and without the API server; what is lost with the operator is
// change and news, not the picture.
//
// A reconcile is observe, decide, apply, report. [Objects] and [KeysPlan] are the pure
// half of it: everything that a pair owns, from its spec alone. The package never imports
// the media server; the two share package api.
package controllers
