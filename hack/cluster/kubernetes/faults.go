package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/streampair/streampair/hack/cluster/client"
)

// Callers of the following functions hold mu.

// up returns the node of that name, which must be powered on.
func (c *Cluster) up(name string) (*node, error) {
	n, err := c.node(name)
	if err == nil && n.host == nil {
		err = fmt.Errorf("%s has crashed; restart it first", name)
	}
	return n, err
}

func (c *Cluster) node(name string) (*node, error) {
	for _, n := range c.nodes {
		if n.plan.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

func (c *Cluster) partition(ctx context.Context, name string) error {
	if _, err := c.up(name); err != nil {
		return err
	}
	return c.control.network(ctx, "link set to-"+name+" down")
}

func (c *Cluster) cutAPI(ctx context.Context, name string) error {
	n, err := c.up(name)
	if err != nil {
		return err
	}
	n.isolated = true
	return n.filter(ctx, c.cuts, fromBoth)
}

func (c *Cluster) heal(ctx context.Context, name string) error {
	n, err := c.up(name)
	if err != nil {
		return err
	}
	n.isolated = false
	return errors.Join(c.control.network(ctx, "link set to-"+name+" up"), n.filter(ctx, c.cuts, fromBoth))
}

func (c *Cluster) crash(ctx context.Context, name string) error {
	n, err := c.up(name)
	if err != nil {
		return err
	}
	// The link goes first. A machine without power closes no
	// connections, but a kernel that ends a process does.
	if err := c.control.network(ctx, "link del to-"+name); err != nil {
		return err
	}
	n.host.powerOff()
	n.host, n.isolated = nil, false
	return nil
}

func (c *Cluster) restart(ctx context.Context, name string) error {
	n, err := c.node(name)
	if err != nil {
		return err
	}
	if n.host != nil {
		return fmt.Errorf("%s runs; crash it first", name)
	}
	if err := n.start(ctx, c); err != nil {
		return err
	}
	return n.filter(ctx, c.cuts, fromBoth)
}

// between returns the key in cuts for two pods.
func between(pods []string) ([2]string, error) {
	if len(pods) != 2 {
		return [2]string{}, errors.New("a relay is between two pods")
	}
	for _, pod := range pods {
		if a, err := netip.ParseAddr(pod); err != nil || !netip.MustParsePrefix(podCIDR).Contains(a) {
			return [2]string{}, fmt.Errorf("%q is not a pod's address", pod)
		}
	}
	return [2]string{min(pods[0], pods[1]), max(pods[0], pods[1])}, nil
}

func (c *Cluster) cutRelay(ctx context.Context, pods []string, how client.Cut) error {
	key, err := between(pods)
	if err != nil {
		return err
	}
	switch how {
	case client.BlackHole:
	case client.Reset:
		// At first only packets of the side that connected are answered with resets. The other
		// side's packets still reach that side. It acknowledges them and gets a reset for that,
		// even if it has nothing to send. After that the other side gets its reset.
		c.cuts[key] = how
		if err := c.filterAll(ctx, fromClients); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	default:
		return fmt.Errorf("a relay cannot be cut by %q", how)
	}
	c.cuts[key] = how
	return c.filterAll(ctx, fromBoth)
}

func (c *Cluster) healRelay(ctx context.Context, pods []string) error {
	key, err := between(pods)
	if err != nil {
		return err
	}
	delete(c.cuts, key)
	return c.filterAll(ctx, fromBoth)
}

func (c *Cluster) filterAll(ctx context.Context, which side) error {
	var errs []error
	for _, n := range c.nodes {
		if n.host != nil {
			errs = append(errs, n.filter(ctx, c.cuts, which))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) stopAPIServer() error {
	if !c.control.stop(apiServer) {
		return errors.New("the API server does not run")
	}
	return nil
}

func (c *Cluster) healAll(ctx context.Context) error {
	clear(c.cuts)
	var errs []error
	for id := range c.frozen {
		_ = c.thawContainer(ctx, id) // unless the container has gone in the meantime
	}
	if c.control.services[apiServer] == nil {
		errs = append(errs, c.startAPIServer(ctx))
	}
	var names []string
	for _, n := range c.nodes {
		names = append(names, n.plan.Name)
		if n.host == nil {
			errs = append(errs, c.restart(ctx, n.plan.Name))
		} else {
			errs = append(errs, c.heal(ctx, n.plan.Name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.awaitReady(ctx, names...)
}

// signalContainer sends a signal to the first process of a container.
func (c *Cluster) signalContainer(ctx context.Context, id, signal string) error {
	id = id[strings.LastIndex(id, "/")+1:]
	for _, n := range c.nodes {
		if n.host != nil && n.has(ctx, id) {
			return n.signal(ctx, id, signal)
		}
	}
	return fmt.Errorf("no node runs the container %q", id)
}

func (c *Cluster) freezeContainer(ctx context.Context, id string) error {
	err := c.signalContainer(ctx, id, "SIGSTOP")
	if err == nil {
		c.frozen[id] = true
	}
	return err
}

func (c *Cluster) thawContainer(ctx context.Context, id string) error {
	delete(c.frozen, id)
	return c.signalContainer(ctx, id, "SIGCONT")
}

func (c *Cluster) load(ctx context.Context, tarball string) error {
	for _, n := range c.nodes {
		if n.host != nil {
			if err := n.load(ctx, tarball); err != nil {
				return err
			}
		}
	}
	return nil
}
