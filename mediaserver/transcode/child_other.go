//go:build unix && !linux

package transcode

import "syscall"

// childProcAttr puts the child into its own process group, so that Ctrl-C in a terminal reaches
// only the server. If the server dies, the child ends with its standard input.
func childProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
