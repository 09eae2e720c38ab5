//go:build linux && !amd64

package main

// forks are the system calls that always make a process: here clone is the only one.
var forks []uint32
