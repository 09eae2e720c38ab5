package ffmpeg

import "syscall"

// attributes puts the process into its own process group, so that Ctrl-C in a terminal reaches
// only the server. The kernel kills the process if the server dies without a chance to do so.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
