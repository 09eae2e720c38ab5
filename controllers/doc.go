// Package controllers is the operator. A reconcile turns a StreamPair into the
// objects of a cluster, follows the media pods, and reports the pair's status.
//
// The operator does not switch. The media pods decide which leg viewers see.
// The media pods need neither the operator nor the API server for that.
// Without the operator the picture stays, but changes and the status stop.
//
// A reconcile ([StreamPairReconciler.Reconcile]) gets the pair, observes,
// decides, applies and reports. This package has a file for each of these
// steps. What is kept about a pair between two reconciles is in its memory.
// Each package below serves one step. Most of the packages are pure:
//
//   - objects and keys: what the pair owns, from its spec alone
//   - permit: what the operator removes from a spec
//   - observed: the objects that exist, and what the pods report of each leg
//   - drift and orphans: whether an object must be applied, and whether it may be adopted
//   - addresses and rollout: where the pair is reached, and which pods may be replaced
//   - status: the conditions and their messages, and Events
//
// The other packages hold state or goroutines: pods has the event streams
// of media pods, namespaces the cache, hints the triggers of a reconcile.
// The operator never imports the media server. The two share package api.
package controllers
