package kubernetes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupsFolder = "/sys/fs/cgroup"

// makeCgroups makes the cgroups of a node's pods, in each hierarchy of version 1 or in the
// only one of version 2. Pods' own limits need nothing else of the host.
func makeCgroups(name string) error {
	if _, err := os.Stat(filepath.Join(cgroupsFolder, "cgroup.controllers")); err == nil {
		for _, controller := range []string{"cpuset", "cpu", "io", "memory", "pids", "hugetlb"} {
			// What the kernel has not, the kubelet will complain about if it needs it.
			_ = os.WriteFile(filepath.Join(cgroupsFolder, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
		folder := filepath.Join(cgroupsFolder, name)
		if err := mkdir(folder); err != nil {
			return err
		}
		return writeIfThere(filepath.Join(folder, "cpu.weight"), "1600")
	}
	hierarchies, err := filepath.Glob(cgroupsFolder + "/*/cgroup.procs")
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		parent := filepath.Dir(hierarchy)
		folder := filepath.Join(parent, name)
		if err := mkdir(folder); err != nil {
			return err
		}
		if err := writeIfThere(filepath.Join(folder, "cpu.shares"), "16384"); err != nil {
			return err
		}
		// Nothing can run in a cpuset without these.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, file), value, 0o644)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// writeIfThere writes into a file of a cgroup. A node's share of the processors is sixteen
// times that of a process: on a machine of its own it would not compete with the encoders
// and browsers of the tests, and media that waits for them looks like a fault.
func writeIfThere(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func mkdir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// cgroup is the name of the cgroup that the pods of a node are in.
func cgroup(cluster, node string) string { return "streampair-" + cluster + "-" + node }

// CleanUp removes the cgroups that a cluster leaves on this host: all that does not end with
// its processes.
func CleanUp(cluster string) {
	var folders []string
	for _, pattern := range []string{"/*/", "/"} {
		found, _ := filepath.Glob(cgroupsFolder + pattern + cgroup(cluster, "node[1-9]"))
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		var all []string
		_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		slices.SortFunc(all, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
		for _, path := range all {
			// The kernel needs a moment to see that the last process has gone.
			for range 20 {
				if err := os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
}
