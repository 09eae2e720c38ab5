//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// stageVariable says what this test's binary is to be: the sealed program, or what starts it.
const stageVariable = "STREAMPAIR_TEST_SEALED"

func TestMain(m *testing.M) {
	switch os.Getenv(stageVariable) {
	case "sealing":
		_ = os.Setenv(stageVariable, "sealed")
		fmt.Println(run([]string{"/proc/self/exe"}))
	case "sealed":
		fmt.Println(threads(8), "threads")
		fmt.Println("a child:", exec.Command("/proc/self/exe").Run())
	default:
		os.Exit(m.Run())
	}
}

// threads starts so many threads, and returns how many it has.
func threads(n int) int {
	ids := make(chan int)
	for range n {
		go func() {
			runtime.LockOSThread() // which ends with the goroutine
			ids <- syscall.Gettid()
			select {}
		}()
	}
	seen := map[int]bool{}
	for range n {
		seen[<-ids] = true
	}
	return len(seen)
}

func TestASealedProgramMakesThreadsAndDiesOfAChild(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), stageVariable+"=sealing")
	out, err := cmd.CombinedOutput()
	if got := string(out); got != "8 threads\n" {
		t.Errorf("the sealed program says %q, want 8 threads and no child", got)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
		t.Errorf("the sealed program ended with %v when it started a child, want %v", err, syscall.SIGSYS)
	}
}
