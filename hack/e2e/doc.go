// Package e2e is the end-to-end suite. On a real cluster with two nodes it proves the purpose
// of a pair: no single fault of an encoder, process, pod or node takes the picture from
// viewers. The package has only tests, and runs only with a cluster. `make e2e` starts one.
//
// The encoders are real, and so is the browser on the playback URL. Viewers made
// of pion watch each pod separately, and an HLS viewer asks both pods in turn.
// Faults are made in the cluster, and figures measured at the clients. Start with
// testcluster_test.go, which sets up pair, encoders and browser, and
// encoder_test.go, which has the simplest faults.
//
// Upgrades begin with an earlier version, which hack/previous.sh
// builds from the git history: see upgrade_test.go.
//
// A figure may be twice its goal. A run with a longer figure
// is repeated once, and the table says so; see runs_test.go.
//
// Flags:
//
//   - -times N allows N times the goal.
//   - -runs N repeats each fault.
//   - -table FILE writes the figures as a table in Markdown.
//   - -soak DURATION runs TestSoak for that long.
//   - -seed N repeats the faults of a soak.
//   - -keep leaves the pair in the cluster.
package e2e
