package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRaise(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		before  int
		after   string
		ok      bool
	}{
		"lower":       {"128\n", 128, "1024", true},
		"high enough": {"8192\n", 0, "8192", true},
		"the same":    {"1024\n", 0, "1024", true},
		"no number":   {"many\n", 0, "many", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "limit")
			if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			before, err := raise(path, 1024)
			content, _ := os.ReadFile(path)
			if before != test.before && test.ok || (err == nil) != test.ok || strings.TrimSpace(string(content)) != test.after {
				t.Errorf("got %d, %v and %q", before, err, content)
			}
		})
	}
}

func TestLock(t *testing.T) {
	folder := t.TempDir()
	if locked(folder) {
		t.Error("locked without a lock")
	}
	lock, err := os.Create(filepath.Join(folder, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if !locked(folder) {
		t.Error("not locked by who runs")
	}
	_ = lock.Close()
	if locked(folder) {
		t.Error("still locked by who has ended")
	}
}

func TestStateIsFoundAgain(t *testing.T) {
	h := &host{folder: t.TempDir(), Instances: 128, Viewers: 4711, Root: "/here", Kubeconfig: "/k", Socket: "/s"}
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	got, err := readState(h.folder)
	if err != nil {
		t.Fatal(err)
	}
	if *got != *h {
		t.Errorf("got %+v, want %+v", got, h)
	}
}

// The last of several clusters resets the limit, so each must know of the others.
func TestOthersAreClustersThatRun(t *testing.T) {
	all := t.TempDir()
	for name, runs := range map[string]bool{"mine": true, "theirs": true, "killed": false} {
		h := &host{folder: filepath.Join(all, "streampair-"+name), Instances: 128}
		if err := os.Mkdir(h.folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		lock, err := os.Create(filepath.Join(h.folder, lockFile))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lock.Close() }()
		if !runs {
			continue
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	got := others(filepath.Join(all, "streampair-mine"))
	if len(got) != 1 || filepath.Base(got[0].folder) != "streampair-theirs" || got[0].Instances != 128 {
		t.Errorf("got %+v", got)
	}
}
