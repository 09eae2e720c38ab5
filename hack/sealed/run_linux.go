package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data of <linux/seccomp.h>, which a filter reads. An argument has
// 64 bits, and its lower half comes first on the little-endian machines of architectures.
const (
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArgument     = 16
)

// architectures are the values of AUDIT_ARCH_* in <linux/audit.h>.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// run turns this process into the program. It returns only if that cannot be done.
func run(command []string) error {
	architecture, known := architectures[runtime.GOARCH]
	if !known {
		return fmt.Errorf("no filter of system calls for %s", runtime.GOARCH)
	}
	filter, err := bpf.Assemble(noChildren(architecture, forks))
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	raw := make([]unix.SockFilter, len(filter))
	for i, in := range filter {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	program := unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}
	// The filter holds for the thread that calls execve, and for what that becomes.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("set the filter of system calls: %w", errno)
	}
	return fmt.Errorf("start %s: %w", command[0], syscall.Exec(command[0], command, os.Environ()))
}

// noChildren is a filter that allows new threads, and kills what starts a process. An error in
// place of that could be taken for a machine on which something does not work, and the test be
// skipped.
func noChildren(architecture uint32, forks []uint32) []bpf.Instruction {
	const (
		allow = unix.SECCOMP_RET_ALLOW
		kill  = unix.SECCOMP_RET_KILL_PROCESS
		// Whether clone3 makes a thread is said in memory that a filter cannot read. The
		// C library falls back to clone where the kernel has no clone3.
		unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	filter := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: kill}, // numbers of system calls mean others there
		bpf.LoadAbsolute{Off: offsetNumber, Size: 4},
	}
	for _, number := range forks {
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: 1}, bpf.RetConstant{Val: kill})
	}
	return append(filter,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1},
		bpf.RetConstant{Val: unknown},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 3},
		bpf.LoadAbsolute{Off: offsetArgument, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
		bpf.RetConstant{Val: kill},
		bpf.RetConstant{Val: allow},
	)
}
