package budget

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ContainerLimit returns the memory limit of this process's control groups, in bytes; [Unlimited]:
// there is none. The lowest limit of a group and the groups above it holds. root is the file system
// of the machine, from /.
//
// Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
func ContainerLimit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return Unlimited // not Linux
	}
	limit := int64(Unlimited)
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(fields) != 3 {
			continue
		}
		var folder, file string
		switch {
		case fields[0] == "0" && fields[1] == "":
			folder, file = "sys/fs/cgroup", "memory.max"
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// A container may see its own group at the root, whatever its path is.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			limit = min(limit, readLimit(root, path.Join(folder, group, file)))
			if group == "/" {
				break
			}
		}
	}
	return limit
}

// noLimit is above every real limit. Control groups of version 1 have a number there in place of max.
const noLimit = 1 << 60

// readLimit returns a limit that a file has in bytes. A file with another text, such as max, has none.
func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return Unlimited
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || limit <= 0 || limit >= noLimit {
		return Unlimited
	}
	return limit
}
