// Package client lets tests that run in the test cluster ask for faults, for images and for
// another installation of the chart: for what they cannot do by the Kubernetes API.
//
// Start from Dial. The cluster's side of it is hack/cluster/kubernetes.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// SocketVariable is the environment variable with the path that Dial takes.
const SocketVariable = "STREAMPAIR_CLUSTER"

// A Node is one of the cluster's.
type Node struct {
	// Name is also that of the Node object.
	Name string `json:"name"`
	// Address is its InternalIP.
	Address string `json:"address"`
	// PodCIDR are the addresses of its pods.
	PodCIDR string `json:"podCIDR"`
	// Up is false from Crash to Restart.
	Up bool `json:"up"`
}

// Settings decide how fast the cluster notices that a node is gone.
type Settings struct {
	// NodeMonitorPeriod is how often the controller manager looks at nodes.
	NodeMonitorPeriod time.Duration `json:"nodeMonitorPeriod"`
	// NodeMonitorGracePeriod is for how long a node may be silent until it is NotReady.
	NodeMonitorGracePeriod time.Duration `json:"nodeMonitorGracePeriod"`
	// NodeStatusUpdate is how often a node tells that it is there.
	NodeStatusUpdate time.Duration `json:"nodeStatusUpdate"`
	// Toleration is for how long pods stay on a node that is NotReady, by default.
	Toleration time.Duration `json:"toleration"`
	// MediaImage is the media server's, and NextMediaImage the same program as an image of
	// another digest.
	MediaImage     string `json:"mediaImage"`
	NextMediaImage string `json:"nextMediaImage"`
	// OperatorImage is the operator's.
	OperatorImage string `json:"operatorImage"`
}

// A Cut is how connections end.
type Cut string

const (
	// Reset answers each packet with a TCP reset, as a host does whose program has gone.
	Reset Cut = "reset"
	// BlackHole answers nothing.
	BlackHole Cut = "blackhole"
)

// Client asks one cluster. Its methods return when what they are to do is done. They may be
// called by several goroutines at a time.
type Client struct {
	http *http.Client
}

// Dial returns a client of the cluster whose socket is given.
func Dial(socket string) (*Client, error) {
	if _, err := os.Stat(socket); err != nil {
		return nil, fmt.Errorf("the test cluster does not run: %w", err)
	}
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}, nil
}

// Nodes returns the cluster's nodes, by name.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var nodes []Node
	return nodes, c.call(ctx, "nodes", Request{}, &nodes)
}

// Settings returns what the cluster is set to.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var s Settings
	return s, c.call(ctx, "settings", Request{}, &s)
}

// Partition pulls a node's network cable.
func (c *Client) Partition(ctx context.Context, node string) error {
	return c.call(ctx, "partition", Request{Node: node}, nil)
}

// CutAPI drops all packets between a node, with its pods, and the API server, and no other.
func (c *Client) CutAPI(ctx context.Context, node string) error {
	return c.call(ctx, "cut-api", Request{Node: node}, nil)
}

// Heal ends Partition and CutAPI of a node.
func (c *Client) Heal(ctx context.Context, node string) error {
	return c.call(ctx, "heal", Request{Node: node}, nil)
}

// Crash cuts a node's power: all of its processes are gone at once.
func (c *Client) Crash(ctx context.Context, node string) error {
	return c.call(ctx, "crash", Request{Node: node}, nil)
}

// Restart starts a node that has crashed, with the disk it had. It does not wait until the
// node is Ready.
func (c *Client) Restart(ctx context.Context, node string) error {
	return c.call(ctx, "restart", Request{Node: node}, nil)
}

// CutRelay cuts TCP to ports 5080 and 9092 between two pods, whoever of them connects, given by their
// addresses: connections that are there and later ones.
func (c *Client) CutRelay(ctx context.Context, pod, other string, how Cut) error {
	return c.call(ctx, "cut-relay", Request{Pods: []string{pod, other}, Cut: how}, nil)
}

// HealRelay ends CutRelay of the two pods.
func (c *Client) HealRelay(ctx context.Context, pod, other string) error {
	return c.call(ctx, "heal-relay", Request{Pods: []string{pod, other}}, nil)
}

// StopAPIServer kills the API server, which stays away until StartAPIServer.
func (c *Client) StopAPIServer(ctx context.Context) error {
	return c.call(ctx, "stop-api-server", Request{}, nil)
}

// StartAPIServer starts the API server after StopAPIServer, and waits until it is ready.
func (c *Client) StartAPIServer(ctx context.Context) error {
	return c.call(ctx, "start-api-server", Request{}, nil)
}

// HealAll ends all of these faults, and waits until all nodes are Ready.
func (c *Client) HealAll(ctx context.Context) error {
	return c.call(ctx, "heal-all", Request{}, nil)
}

// KillContainer kills the first process of a container by SIGKILL. The id is as in the pod's
// status, such as containerd://0123…
func (c *Client) KillContainer(ctx context.Context, id string) error {
	return c.call(ctx, "kill-container", Request{Container: id}, nil)
}

// FreezeContainer stops the first process of a container by SIGSTOP: its connections stay,
// and nothing comes by them.
func (c *Client) FreezeContainer(ctx context.Context, id string) error {
	return c.call(ctx, "freeze-container", Request{Container: id}, nil)
}

// ThawContainer ends FreezeContainer.
func (c *Client) ThawContainer(ctx context.Context, id string) error {
	return c.call(ctx, "thaw-container", Request{Container: id}, nil)
}

// Load loads the images of a tarball into all nodes that are up.
func (c *Client) Load(ctx context.Context, tarball string) error {
	return c.call(ctx, "load", Request{Tarball: tarball}, nil)
}

// Install installs the repository's chart again, with values in YAML laid over the cluster's
// own (may be empty), and waits until the operator is rolled out. It does to objects what
// helm upgrade does: those that the chart no longer makes are deleted.
func (c *Client) Install(ctx context.Context, values string) error {
	return c.InstallChart(ctx, "", values)
}

// InstallChart is Install of the chart in the given folder, an absolute path, which may be
// that of another version. helm rollback does the same with the chart of before.
func (c *Client) InstallChart(ctx context.Context, folder, values string) error {
	return c.call(ctx, "install", Request{Chart: folder, Values: values}, nil)
}

// Request is what the socket's requests carry in JSON.
type Request struct {
	Node      string   `json:"node,omitempty"`
	Pods      []string `json:"pods,omitempty"`
	Cut       Cut      `json:"cut,omitempty"`
	Container string   `json:"container,omitempty"`
	Tarball   string   `json:"tarball,omitempty"`
	Chart     string   `json:"chart,omitempty"`
	Values    string   `json:"values,omitempty"`
}

func (c *Client) call(ctx context.Context, what string, request Request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cluster/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask the test cluster for %s: %w", what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("ask the test cluster for %s: %w", what, err)
	case resp.StatusCode != http.StatusOK:
		return errors.New(strings.TrimSpace(string(content)))
	case answer == nil:
		return nil
	}
	return json.Unmarshal(content, answer)
}
