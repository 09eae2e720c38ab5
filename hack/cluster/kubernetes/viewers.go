package kubernetes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/streampair/streampair/hack/cluster/machine"
)

// startViewers boots the machine for viewers, which is not a node.
// With its own kube-proxy it acts like a cloud's load balancer: it
// reaches Services by their addresses, without passing through a node.
func (c *Cluster) startViewers(ctx context.Context) error {
	disk := filepath.Join(c.config.State, "viewers")
	plan := planNode(c.config.Name, 1)
	plan.Name, plan.Address = "viewers", viewersAddress
	plan.Kubeconfig = filepath.Join(c.config.State, "pki/kube-proxy.kubeconfig")
	config, err := render("kube-proxy.yaml", plan)
	if err != nil {
		return err
	}
	resolver := "nameserver " + dnsAddress + "\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:3\n"
	if err := errors.Join(
		os.MkdirAll(disk, 0o755),
		os.WriteFile(filepath.Join(disk, "kube-proxy.yaml"), []byte(config), 0o644),
		os.WriteFile(filepath.Join(disk, "resolv.conf"), []byte(resolver), 0o644),
	); err != nil {
		return err
	}
	// Tests see the host's files, except for the name server's address.
	c.viewers, err = boot(machine.Config{
		Hostname: plan.Name,
		Mounts:   []machine.Mount{{Source: filepath.Join(disk, "resolv.conf"), Target: "/etc/resolv.conf"}},
	}, c.logs(), c.say)
	if err != nil {
		return err
	}
	if err := c.link(ctx, c.viewers, viewersAddress); err != nil {
		return err
	}
	// An encoder whose packets a dead node does not answer must give up within seconds,
	// not after a quarter of an hour. Encoders for live streams are configured like that.
	if err := c.viewers.sysctl(ctx, map[string]string{"net/ipv4/tcp_retries2": "5"}); err != nil {
		return err
	}
	if err := c.viewers.serve("kube-proxy", filepath.Join(c.config.Root, ".cache/kube/kube-proxy"),
		"--config="+filepath.Join(disk, "kube-proxy.yaml")); err != nil {
		return err
	}
	// kube-proxy waits half a minute for its Node, and then continues without it.
	err = until(ctx, "Services seen by viewers; see "+c.viewers.log("kube-proxy"), 2*time.Minute, func(ctx context.Context) error {
		conn, err := c.viewers.Dial(ctx, "tcp", apiServiceAddress+":443")
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err == nil {
		c.say("viewers see Services")
	}
	return err
}
