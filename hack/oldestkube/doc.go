// Package oldestkube has tests with the libraries of the oldest version of Kubernetes that
// Streampair supports.
package oldestkube
