package audience

import (
	"os/exec"
	"syscall"
)

// endWithParent makes cmd end with its parent, so that a killed test leaves no encoders behind.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
