package audience

import (
	"os/exec"
	"syscall"
)

// endWithParent keeps a killed test from leaving encoders behind.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
