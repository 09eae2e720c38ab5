// Package integration has tests only. They run the operator with a real
// API server. The media pods are real media servers, which run as
// processes at the addresses of the pods. Real encoders publish to them.
//
// Start with harness_test.go, which has the namespace and
// the operator, and kubelet_test.go, which runs the pods.
package integration
