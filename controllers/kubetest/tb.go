package kubetest

// TB is what this package needs of a testing.TB. A program that is
// not a test, such as hack/bench, can thereby use the package too.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
	TempDir() string
}
