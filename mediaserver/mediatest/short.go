package mediatest

import "testing"

// SkipInShort skips a test that starts a program when tests run with -short, as `make
// unit` does. They then need only Go.
func SkipInShort(tb TB) {
	tb.Helper()
	// A program such as hack/bench has no -short flag.
	if !testing.Testing() || !testing.Short() {
		return
	}
	if t, ok := tb.(interface{ Skip(args ...any) }); ok {
		t.Skip("starts a program, which -short leaves out")
	}
}
