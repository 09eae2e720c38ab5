package budget

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsLeftForGo(t *testing.T) {
	const goOf512, analyser = 471859 << 10, 128 * mib // what the operator sets in a pod of 512 MiB
	for _, tt := range []struct {
		name                         string
		process, container, children int64
		want                         int64
		enough                       bool
	}{
		{"no child: as it was", goOf512, 512 * mib, 0, goOf512, true},
		{"a pod that has room for the child: as it was", goOf512, 640 * mib, analyser, goOf512, true},
		{"a pod that has no room: the child's memory is Go's no more", goOf512, 512 * mib, analyser, (512 - 128) * mib / 10 * 9, true},
		{"a child too many", goOf512, 512 * mib, 3 * analyser, (512 - 3*128) * mib / 10 * 9, false},
		{"a small pod: none", 256 * mib / 10 * 9, 256 * mib, analyser, 128 * mib / 10 * 9, false},
		{"Go has a low limit by choice, and the container is large", 100 * mib, 1024 * mib, analyser, 100 * mib, true},
		{"a container, and no limit for Go", Unlimited, 1000 * mib, analyser, (1000 - 128) * mib / 10 * 9, true},
		{"no container", goOf512, Unlimited, 100 * analyser, goOf512, true},
		{"no limit at all", Unlimited, Unlimited, analyser, Unlimited, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit, enough := GoLimit(tt.process, tt.container, tt.children)
			if limit != tt.want || enough != tt.enough {
				t.Errorf("%d (enough: %t), want %d (%t)", limit, enough, tt.want, tt.enough)
			}
		})
	}
}

// The caches have less memory while children run, and all of it afterwards.
func TestChildrenTakeMemoryFromGoAndFromTheCaches(t *testing.T) {
	const process = 460 * mib
	var goLimits []int64
	b := New(FromMemoryLimit(process))
	c := NewChildren(ChildrenConfig{
		Process: process, Container: 512 * mib, Budget: b, SetGoLimit: func(bytes int64) { goLimits = append(goLimits, bytes) },
	})
	history := b.Open(Histories, func() {})
	defer history.Close()
	history.Set(180 * mib)
	type seen struct {
		Taken bool
		Held  int64
		Limit int64 // of the caches
		Short bool
	}
	see := func(taken bool) seen { return seen{taken, c.Held(), b.Limit(), history.Short()} }
	got := []seen{see(c.Take(128 * mib)), see(c.Take(128 * mib)), see(c.Take(128 * mib))}
	for range 2 {
		c.Return(128 * mib)
		got = append(got, see(false))
	}
	one, two := int64((512-128)*mib/10*9), int64((512-2*128)*mib/10*9)
	want := []seen{
		{true, 128 * mib, one / 2, true},
		{true, 256 * mib, two / 2, true},
		{false, 256 * mib, two / 2, true},
		{false, 128 * mib, one / 2, true},
		{false, 0, process / 2, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]int64{one, two, one, process}, goLimits); diff != "" {
		t.Errorf("Go's limits -want +got:\n%s", diff)
	}
}

func TestTheLimitOfAContainer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"a container with a namespace of its own", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "671088640\n",
		}, 640 * mib},
		{"a container that sees the path of the machine", map[string]string{
			"proc/self/cgroup": "0::/kubepods/pod1/media\n", "sys/fs/cgroup/memory.max": "671088640\n",
		}, 640 * mib},
		{"a service of systemd, in a slice with a lower limit", map[string]string{
			"proc/self/cgroup": "0::/system.slice/streampair.service\n",
			"sys/fs/cgroup/system.slice/streampair.service/memory.max": "1073741824\n",
			"sys/fs/cgroup/system.slice/memory.max":                    "536870912\n",
		}, 512 * mib},
		{"no limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, Unlimited},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "671088640\n",
		}, 640 * mib},
		{"version 1 without a limit", map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, Unlimited},
		{"a path out of the namespace", map[string]string{
			"proc/self/cgroup": "0::/../../other\n", "sys/fs/cgroup/memory.max": "671088640\n",
		}, 640 * mib},
		{"not a line of a control group", map[string]string{"proc/self/cgroup": "nothing\n"}, Unlimited},
		{"not Linux", nil, Unlimited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, content := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(content)}
			}
			if got := ContainerLimit(root); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
