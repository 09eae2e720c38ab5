package interrupt

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test's binary the program that make runs.
const asProgram = "STREAMPAIR_TEST_FOLDER"

func TestMain(m *testing.M) {
	folder := os.Getenv(asProgram)
	if folder == "" {
		os.Exit(m.Run())
	}
	ctx, stop := Context(os.Interrupt, syscall.SIGTERM)
	defer stop()
	mark(folder, "began")
	select {
	case <-ctx.Done():
		mark(folder, "ended")
	case <-time.After(time.Minute):
	}
}

func mark(folder, what string) {
	if err := os.WriteFile(filepath.Join(folder, what), nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func TestAProgramThatMakeRunsEndsWithASignalToMake(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program, which -short leaves out")
	}
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make here")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, signal := range map[string]syscall.Signal{
		"interrupted": syscall.SIGINT, "terminated": syscall.SIGTERM, "killed": syscall.SIGKILL,
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			makefile := filepath.Join(folder, "Makefile")
			if err := os.WriteFile(makefile, []byte("all:\n\t@exec "+program+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			run := exec.Command("make", "-f", makefile)
			run.Env = append(os.Environ(), asProgram+"="+folder)
			run.Stdout, run.Stderr = &said, &said
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, filepath.Join(folder, "began"))
			if err := run.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			await(t, filepath.Join(folder, "ended"))
			if err := run.Wait(); err == nil {
				t.Errorf("make says that all went well: %s", said.String())
			}
		})
	}
}

// await waits for a file.
func await(t *testing.T, file string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s", filepath.Base(file))
		}
	}
}
