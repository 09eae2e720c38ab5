package transcode

import "syscall"

// childProcAttr puts the child into its own process group, so that Ctrl-C in a terminal reaches
// only the server. The kernel kills the child if the server dies without a chance to do so.
func childProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
