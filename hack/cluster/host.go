package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/streampair/streampair/hack/cluster/kubernetes"
)

// What a cluster changes on the host, and where other processes
// find that. It is in /run, because a reboot resets all of it.
const (
	hostFolder = "/run/streampair-" // followed by the cluster's name
	lockFile   = "lock"
	stateFile  = "state.json"
)

// instances has the limit of inotify instances for each user. Each kubelet and
// containerd uses some. The usual 128 are not enough for two nodes beside a desktop.
const (
	instances       = "/proc/sys/fs/inotify/max_user_instances"
	instancesNeeded = 1024
)

// A host is the host on which a cluster runs. A host runs one cluster of a name at a time.
type host struct {
	lock   *os.File
	folder string

	// Instances is the limit before any cluster raised it; 0: it was not raised.
	Instances int `json:"instances,omitempty"`
	// Viewers is the PID of the viewers' machine; 0: the cluster is not up yet.
	Viewers    int    `json:"viewers,omitempty"`
	Root       string `json:"root,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Socket     string `json:"socket,omitempty"`
}

// claimHost takes the host for a new cluster. If an earlier cluster was killed,
// claimHost resets what it left behind. The machines of that cluster have ended with it.
func claimHost(name string) (*host, error) {
	folder := hostFolder + name
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("a test cluster named %s runs on this machine already; end it, or choose another -name", name)
	}
	h := &host{lock: lock, folder: folder}
	if left, err := readState(folder); err == nil {
		left.restore()
	}
	kubernetes.CleanUp(name)
	if h.Instances, err = raise(instances, instancesNeeded); err == nil {
		for _, other := range others(folder) {
			h.Instances = cmp.Or(h.Instances, other.Instances)
		}
		err = h.save()
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// publish tells other processes where to find the cluster.
func (h *host) publish(c *kubernetes.Cluster) error {
	h.Viewers, h.Root, h.Kubeconfig, h.Socket = c.Viewers().PID(), c.Root(), c.Kubeconfig(), c.Socket()
	return h.save()
}

// release resets the host and gives it up.
func (h *host) release() {
	h.restore()
	_ = os.Remove(filepath.Join(h.folder, stateFile))
	_ = h.lock.Close() // the lock file stays, because another process may be waiting for it
}

// restore resets the limit, unless another cluster
// still needs it. That cluster knows the old limit too.
func (h *host) restore() {
	if h.Instances != 0 && len(others(h.folder)) == 0 {
		_ = os.WriteFile(instances, []byte(strconv.Itoa(h.Instances)), 0o644)
	}
}

func (h *host) save() error {
	content, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.folder, stateFile), content, 0o600)
}

func readState(folder string) (*host, error) {
	content, err := os.ReadFile(filepath.Join(folder, stateFile))
	if err != nil {
		return nil, err
	}
	h := &host{folder: folder}
	return h, json.Unmarshal(content, h)
}

// others returns the running clusters, except the one of the folder.
func others(folder string) []*host {
	var running []*host
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(folder), filepath.Base(hostFolder)+"*"))
	for _, other := range found {
		if other == folder || !locked(other) {
			continue
		}
		if h, err := readState(other); err == nil {
			running = append(running, h)
		}
	}
	return running
}

// running returns what the running cluster has published.
func running(name string) (*host, error) {
	h, err := readState(hostFolder + name)
	if err != nil || h.Viewers == 0 || !locked(hostFolder+name) {
		return nil, fmt.Errorf("no test cluster named %s is up; start one with make cluster", name)
	}
	return h, nil
}

// locked reports whether a cluster runs. The state of a
// cluster that was killed remains, so only the lock shows it.
func locked(folder string) bool {
	lock, err := os.Open(filepath.Join(folder, lockFile))
	if err != nil {
		return false
	}
	defer func() { _ = lock.Close() }()
	return unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// raise raises a limit if it is below needed. It
// returns the old value; 0: the limit was high enough.
func raise(path string, needed int) (before int, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	before, err = strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || before >= needed {
		return 0, err
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(needed)), 0o644); err != nil {
		return 0, fmt.Errorf("raise %s: %w", path, err)
	}
	return before, nil
}
