// Package client lets tests in the test cluster request what the Kubernetes
// API cannot do: faults, images, and another installation of the chart.
//
// Dial is where to start. The cluster's side is in hack/cluster/kubernetes.
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

// SocketVariable is the environment variable with the path for Dial.
const SocketVariable = "STREAMPAIR_CLUSTER"

// A Node is a node of the cluster.
type Node struct {
	// Name is also the name of the Node object.
	Name string `json:"name"`
	// Address is the node's InternalIP.
	Address string `json:"address"`
	// PodCIDR has the addresses of the node's pods.
	PodCIDR string `json:"podCIDR"`
	// Up is false from Crash to Restart.
	Up bool `json:"up"`
}

// Settings determine how fast the cluster notices that a node is gone.
type Settings struct {
	// NodeMonitorPeriod is how often the controller manager checks nodes.
	NodeMonitorPeriod time.Duration `json:"nodeMonitorPeriod"`
	// NodeMonitorGracePeriod is how long a node may be silent before it is NotReady.
	NodeMonitorGracePeriod time.Duration `json:"nodeMonitorGracePeriod"`
	// NodeStatusUpdate is how often a node reports that it is alive.
	NodeStatusUpdate time.Duration `json:"nodeStatusUpdate"`
	// Toleration is how long pods stay on a NotReady node by default.
	Toleration time.Duration `json:"toleration"`
	// MediaImage is the media server's image. NextMediaImage
	// is the same program in an image with another digest.
	MediaImage     string `json:"mediaImage"`
	NextMediaImage string `json:"nextMediaImage"`
	// OperatorImage is the operator's.
	OperatorImage string `json:"operatorImage"`
}

// A Cut is a way to end connections.
type Cut string

const (
	// Reset answers each packet with a TCP reset, like a host whose program is gone.
	Reset Cut = "reset"
	// BlackHole drops each packet without an answer.
	BlackHole Cut = "blackhole"
)

// A Client requests things of one cluster. Its methods return when the
// request is carried out. Several goroutines may call them at once.
type Client struct {
	http *http.Client
}

// Dial returns a client of the cluster with this socket.
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

// Settings returns the cluster's settings.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var s Settings
	return s, c.call(ctx, "settings", Request{}, &s)
}

// Partition disconnects a node from the network.
func (c *Client) Partition(ctx context.Context, node string) error {
	return c.call(ctx, "partition", Request{Node: node}, nil)
}

// CutAPI drops all packets between a node with its
// pods and the API server, but no other packets.
func (c *Client) CutAPI(ctx context.Context, node string) error {
	return c.call(ctx, "cut-api", Request{Node: node}, nil)
}

// Heal ends Partition and CutAPI of a node.
func (c *Client) Heal(ctx context.Context, node string) error {
	return c.call(ctx, "heal", Request{Node: node}, nil)
}

// Crash powers a node off: all its processes are gone at once.
func (c *Client) Crash(ctx context.Context, node string) error {
	return c.call(ctx, "crash", Request{Node: node}, nil)
}

// Restart starts a crashed node again, with its old
// disk. It does not wait until the node is Ready.
func (c *Client) Restart(ctx context.Context, node string) error {
	return c.call(ctx, "restart", Request{Node: node}, nil)
}

// CutRelay cuts TCP to ports 5080 and 9092 between two pods, whichever of them connects.
// The pods are given by their addresses. Existing and later connections are cut.
func (c *Client) CutRelay(ctx context.Context, pod, other string, how Cut) error {
	return c.call(ctx, "cut-relay", Request{Pods: []string{pod, other}, Cut: how}, nil)
}

// HealRelay ends CutRelay of the two pods.
func (c *Client) HealRelay(ctx context.Context, pod, other string) error {
	return c.call(ctx, "heal-relay", Request{Pods: []string{pod, other}}, nil)
}

// StopAPIServer kills the API server, which is not restarted until StartAPIServer.
func (c *Client) StopAPIServer(ctx context.Context) error {
	return c.call(ctx, "stop-api-server", Request{}, nil)
}

// StartAPIServer starts the API server again, and waits until it is ready.
func (c *Client) StartAPIServer(ctx context.Context) error {
	return c.call(ctx, "start-api-server", Request{}, nil)
}

// HealAll ends all these faults, and waits until all nodes are Ready.
func (c *Client) HealAll(ctx context.Context) error {
	return c.call(ctx, "heal-all", Request{}, nil)
}

// KillContainer kills the first process of a container with SIGKILL.
// The id is the one in the pod's status, such as containerd://0123…
func (c *Client) KillContainer(ctx context.Context, id string) error {
	return c.call(ctx, "kill-container", Request{Container: id}, nil)
}

// FreezeContainer stops the first process of a container with
// SIGSTOP. Its connections stay open, but nothing is sent on them.
func (c *Client) FreezeContainer(ctx context.Context, id string) error {
	return c.call(ctx, "freeze-container", Request{Container: id}, nil)
}

// ThawContainer ends FreezeContainer.
func (c *Client) ThawContainer(ctx context.Context, id string) error {
	return c.call(ctx, "thaw-container", Request{Container: id}, nil)
}

// Load loads the images of a tarball into all running nodes.
func (c *Client) Load(ctx context.Context, tarball string) error {
	return c.call(ctx, "load", Request{Tarball: tarball}, nil)
}

// Install installs the repository's chart again, and waits until the operator
// is rolled out. values are YAML, override the cluster's own, and may be empty.
// As with helm upgrade, objects that the chart no longer makes are deleted.
func (c *Client) Install(ctx context.Context, values string) error {
	return c.InstallChart(ctx, "", values)
}

// InstallChart is Install with the chart in the given folder, an absolute path. The
// chart may be of another version. helm rollback does the same with the earlier chart.
func (c *Client) InstallChart(ctx context.Context, folder, values string) error {
	return c.call(ctx, "install", Request{Chart: folder, Values: values}, nil)
}

// Request is the JSON body of the socket's requests.
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
