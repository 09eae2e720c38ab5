// Package e2e is the suite that proves, on a real cluster with two nodes, what a pair is
// for: nothing that a single encoder, process, pod or node does takes the picture away.
// It is tests only, and runs only where a cluster is given; `make e2e` starts one.
//
// The encoders are real, and so is the browser on the playback URL; pion viewers watch each
// pod by itself. Faults are done to the cluster, figures are taken at the clients. Start
// from stage_test.go, which sets the scene, and encoder_test.go, the simplest faults.
//
// Upgrades are tested from an earlier version, which hack/previous.sh builds from git
// history: see upgrade_test.go.
//
// Flags: -runs N repeats each fault, -table FILE writes the figures as a table in Markdown,
// -soak DURATION lets TestSoak run, -seed N repeats its faults, -keep leaves the pair.
package e2e
