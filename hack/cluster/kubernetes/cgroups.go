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

// makeCgroups makes the cgroups of a node's pods, in each hierarchy of version 1 or
// in the single one of version 2. The pods' limits need nothing else from the host.
func makeCgroups(name string) error {
	if _, err := os.Stat(filepath.Join(cgroupsFolder, "cgroup.controllers")); err == nil {
		for _, controller := range []string{"cpuset", "cpu", "io", "memory", "pids", "hugetlb"} {
			// The kernel may lack a controller. If the
			// kubelet needs it, the kubelet reports that.
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
		// No process can run in a cpuset without these values.
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

// writeIfThere writes into a file of a cgroup, if the file exists. A node's CPU share is
// sixteen times that of a process. A node on its own machine would not compete with the
// tests' encoders and browsers. Here, media that waits for them would look like a fault.
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

// cgroup returns the name of the cgroup of a node's pods.
func cgroup(cluster, node string) string { return "streampair-" + cluster + "-" + node }

// CleanUp removes a cluster's cgroups from this
// host. All else ends with the cluster's processes.
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
			// The kernel needs a moment to notice that the last process has gone.
			for range 20 {
				if err := os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
}
