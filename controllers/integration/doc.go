// Package integration has no code: its tests run the operator against a real API server,
// with media pods that are real media servers, run as processes under the addresses of the
// pods, and fed by real encoders.
//
// Start from harness_test.go, which is the cluster's scheduler and kubelet in small.
package integration
