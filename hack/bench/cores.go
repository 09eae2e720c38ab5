package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onCores runs f so that the processes which f starts stay on the cores. No cores are all cores.
func onCores(t *scope, cores []int, f func()) {
	if len(cores) == 0 {
		f()
		return
	}
	runtime.LockOSThread() // a new process has the cores of the thread that starts it
	defer runtime.UnlockOSThread()
	var before, chosen unix.CPUSet
	t.must(unix.SchedGetaffinity(0, &before))
	for _, core := range cores {
		chosen.Set(core)
	}
	t.must(unix.SchedSetaffinity(0, &chosen))
	defer func() { t.must(unix.SchedSetaffinity(0, &before)) }()
	f()
}
