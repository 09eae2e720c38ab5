package transcode

import "syscall"

// childProcAttr puts the child in a process group of its own, so that Ctrl-C in a
// terminal reaches the server only, and lets the kernel kill it should the server die
// without a chance to do so.
func childProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
