package ffmpeg

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes puts the process into its own process group, so that Ctrl-C in a terminal reaches
// only the server. The kernel kills the process if the server dies without a chance to do so.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory limits the memory of a process that has just started; 0: there is no limit.
func limitMemory(pid int, bytes uint64) error {
	if bytes == 0 {
		return nil
	}
	return unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: bytes}, nil)
}
