//go:build unix && !linux

package transcode

import "syscall"

// childProcAttr puts the child in a process group of its own, so that Ctrl-C in a
// terminal reaches the server only. Should the server die, the child ends with its
// standard input.
func childProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
