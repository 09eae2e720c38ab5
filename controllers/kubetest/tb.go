package kubetest

// TB is what this package needs of a testing.TB, so that a program that is no test, such
// as hack/bench, can use it too.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
	TempDir() string
}
