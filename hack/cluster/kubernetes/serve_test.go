package kubernetes

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/hack/cluster/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSocket sends requests to a cluster that has nodes but no machines. Requests
// that need no machine are answered. The others are answered with the reason why not.
func TestSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	c, err := New(Config{Name: "test", State: t.TempDir(), Socket: socket, Nodes: 2, Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	c.nodes = []*node{{plan: planNode("test", 1)}, {plan: planNode("test", 2)}}
	ctx, cancel := context.WithCancel(t.Context())
	c.work, ctx = errgroup.WithContext(ctx)
	if err := c.listen(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = c.socket.Close()
		if err := c.work.Wait(); err != nil {
			t.Error(err)
		}
	}()
	cluster, err := client.Dial(c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := cluster.Nodes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []client.Node{
		{Name: "node1", Address: "10.99.0.11", PodCIDR: "10.244.1.0/24"},
		{Name: "node2", Address: "10.99.0.12", PodCIDR: "10.244.2.0/24"},
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Error(diff)
	}
	got, err := cluster.Settings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(settings(), got); diff != "" {
		t.Error(diff)
	}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a node that is not there":   {cluster.Crash(ctx, "node3"), `crash: there is no node "node3"`},
		"a node without power":       {cluster.Partition(ctx, "node1"), "partition: node1 has crashed"},
		"a container nobody runs":    {cluster.KillContainer(ctx, "containerd://abc"), `no node runs the container "abc"`},
		"a frozen one likewise":      {cluster.FreezeContainer(ctx, "containerd://abc"), `no node runs the container "abc"`},
		"a relay between other ends": {cluster.CutRelay(ctx, "10.244.1.2", "10.99.0.1", client.Reset), "not a pod's address"},
		"a cut of another kind":      {cluster.CutRelay(ctx, "10.244.1.2", "10.244.2.2", "slow"), `cannot be cut by "slow"`},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, test.err, test.want)
		}
	}
}

func TestNumberOfNodes(t *testing.T) {
	for nodes, ok := range map[int]bool{0: false, 1: true, 9: true, 10: false} {
		if _, err := New(Config{Nodes: nodes}); (err == nil) != ok {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
}
