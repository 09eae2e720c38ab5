//go:build unix && !linux

package ffmpeg

import "syscall"

// attributes puts the process into its own process group, so that Ctrl-C in a terminal reaches
// only the server. If the server dies, the process ends with its standard input.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

func limitMemory(int, uint64) error { return nil }
