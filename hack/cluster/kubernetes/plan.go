package kubernetes

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/streampair/streampair/hack/cluster/client"
)

// All of these addresses are in the cluster's own
// network namespaces, so they conflict with nothing.
const (
	controlAddress      = "10.99.0.1"
	viewersAddress      = "10.99.0.50"
	apiPort             = 6443
	serviceCIDR         = "10.96.0.0/16"
	apiServiceAddress   = "10.96.0.1"
	dnsAddress          = "10.96.0.10"
	loadBalancerAddress = "10.98.0.0/16"
	podCIDR             = "10.244.0.0/16"

	// ImageTag is the tag of the product's images in the cluster.
	// NextImageTag is the tag of a media server's image with another digest.
	ImageTag     = "cluster"
	NextImageTag = "cluster-next"

	maxNodes = 9
)

// settings make the cluster notice a lost node within half a
// minute. With Kubernetes' defaults that takes six minutes.
func settings() client.Settings {
	return client.Settings{
		NodeMonitorPeriod:      2 * time.Second,
		NodeMonitorGracePeriod: 20 * time.Second,
		NodeStatusUpdate:       4 * time.Second,
		Toleration:             5 * time.Second,
		MediaImage:             "ghcr.io/streampair/mediaserver:" + ImageTag,
		NextMediaImage:         "ghcr.io/streampair/mediaserver:" + NextImageTag,
		OperatorImage:          "ghcr.io/streampair/operator:" + ImageTag,
	}
}

// A nodePlan has what a node's files are rendered from.
type nodePlan struct {
	Name       string
	Address    string
	PodCIDR    string
	PodCIDRs   string // of all nodes
	DNSAddress string
	CgroupRoot string
	Kubeconfig string // of kube-proxy
	ImageTag   string
	Settings   client.Settings
}

// planNode returns the plan of the nth node, from 1.
func planNode(cluster string, n int) nodePlan {
	name := fmt.Sprintf("node%d", n)
	return nodePlan{
		Name:       name,
		Address:    fmt.Sprintf("10.99.0.%d", 10+n),
		PodCIDR:    fmt.Sprintf("10.244.%d.0/24", n),
		PodCIDRs:   podCIDR,
		DNSAddress: dnsAddress,
		CgroupRoot: cgroup(cluster, name),
		Kubeconfig: "/run/cluster/pki/kube-proxy.kubeconfig",
		ImageTag:   ImageTag,
		Settings:   settings(),
	}
}

// LeaseSeconds returns a lease duration with which the kubelet renews the
// lease as often as it reports its status. The kubelet renews after a
// quarter of the duration. The grace period counts from the later of both.
func (p nodePlan) LeaseSeconds() int { return int(4 * p.Settings.NodeStatusUpdate / time.Second) }

//go:embed files
var files embed.FS

// render renders one of the files.
func render(name string, plan nodePlan) (string, error) {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%ds", int(d/time.Second)) }
	t, err := template.New(name).Funcs(template.FuncMap{"seconds": seconds}).ParseFS(files, "files/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, plan)
	return b.String(), err
}
