package kubernetes

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/hack/cluster/machine"
)

// startControlPlane boots the machine with etcd, the API server, the controller manager
// and the scheduler. That machine also has the bridge that connects all machines.
func (c *Cluster) startControlPlane(ctx context.Context) (err error) {
	for n := range c.config.Nodes {
		c.nodes = append(c.nodes, &node{plan: planNode(c.config.Name, n+1)})
	}
	if err := c.writeKeys(); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	c.control, err = boot(machine.Config{Hostname: "control", Mounts: c.baseMounts()}, c.logs(), c.say)
	if err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		"link add cluster type bridge",
		"addr add " + controlAddress + "/24 dev cluster",
		"link set cluster up",
	}
	if err := c.control.network(ctx, append(lines, c.podRoutes(controlAddress)...)...); err != nil {
		return err
	}
	if err := c.control.serve("etcd", "/run/kube/etcd", "--name=cluster",
		"--data-dir=/run/cluster/control/etcd",
		"--unsafe-no-fsync", // nobody will read the data after a crash of this machine
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=cluster=http://127.0.0.1:2380"); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	s := settings()
	if err := c.control.serve("controllers", "/run/kube/kube-controller-manager",
		"--kubeconfig=/run/cluster/pki/controllers.kubeconfig", "--use-service-account-credentials",
		"--root-ca-file=/run/cluster/pki/ca.crt", "--service-account-private-key-file=/run/cluster/pki/accounts.key",
		"--leader-elect=false", "--allocate-node-cidrs=false", "--bind-address=127.0.0.1",
		"--node-monitor-period="+s.NodeMonitorPeriod.String(),
		"--node-monitor-grace-period="+s.NodeMonitorGracePeriod.String()); err != nil {
		return err
	}
	if err := c.control.serve("scheduler", "/run/kube/kube-scheduler",
		"--kubeconfig=/run/cluster/pki/scheduler.kubeconfig",
		"--authentication-kubeconfig=/run/cluster/pki/scheduler.kubeconfig",
		"--authorization-kubeconfig=/run/cluster/pki/scheduler.kubeconfig",
		"--leader-elect=false", "--bind-address=127.0.0.1"); err != nil {
		return err
	}
	// Pods are refused until their namespace has this account.
	return until(ctx, "service account of the default namespace", time.Minute, func(ctx context.Context) error {
		_, err := c.api.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

const apiServer = "apiserver"

// startAPIServer starts the API server, and returns when it is ready.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	toleration := strconv.Itoa(int(settings().Toleration / time.Second))
	const pki = "/run/cluster/pki/"
	if err := c.control.serve(apiServer, "/run/kube/kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", apiPort), "--advertise-address="+controlAddress,
		"--service-cluster-ip-range="+serviceCIDR, "--allow-privileged",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file="+pki+"ca.crt", "--tls-cert-file="+pki+"api-server.crt", "--tls-private-key-file="+pki+"api-server.key",
		"--service-account-key-file="+pki+"accounts.pub", "--service-account-signing-key-file="+pki+"accounts.key",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--kubelet-client-certificate="+pki+"kubelet-client.crt", "--kubelet-client-key="+pki+"kubelet-client.key",
		"--kubelet-preferred-address-types=InternalIP",
		"--default-not-ready-toleration-seconds="+toleration,
		"--default-unreachable-toleration-seconds="+toleration); err != nil {
		return err
	}
	return until(ctx, "API server; see "+c.control.log(apiServer), 2*time.Minute, func(ctx context.Context) error {
		return c.api.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

func (c *Cluster) writeKeys() error {
	a, err := newAuthority(filepath.Join(c.config.State, "pki"))
	if err != nil {
		return err
	}
	if err := a.keys("accounts"); err != nil {
		return err
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	addresses := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(controlAddress), net.ParseIP(apiServiceAddress)}
	if err := a.server("api-server", names, addresses); err != nil {
		return err
	}
	clients := map[string][]string{ // user and groups
		"admin":          {"admin", "system:masters"},
		"kubelet-client": {"kube-apiserver-kubelet-client", "system:masters"},
		"controllers":    {"system:kube-controller-manager"},
		"scheduler":      {"system:kube-scheduler"},
		"kube-proxy":     {"system:kube-proxy"},
	}
	for _, n := range c.nodes {
		clients[n.plan.Name] = []string{"system:node:" + n.plan.Name, "system:nodes"}
	}
	for name, who := range clients {
		if err := a.client(name, who[0], who[1:]...); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(c.config.State, "resolv.conf.empty"), nil, 0o644)
}
