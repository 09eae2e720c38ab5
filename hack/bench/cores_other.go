//go:build !linux

package main

// onCores runs f. Only Linux can choose cores.
func onCores(t *scope, cores []int, f func()) {
	if len(cores) > 0 {
		t.Fatalf("choosing cores needs Linux")
	}
	f()
}
