package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/streampair/streampair/hack/cluster/client"
)

// listen serves package client until ctx ends.
func (c *Cluster) listen(ctx context.Context) error {
	_ = os.Remove(c.Socket()) // left by a cluster that was killed
	listener, err := net.Listen("unix", c.Socket())
	if err != nil {
		return err
	}
	c.socket = listener
	if err := os.Chmod(c.Socket(), 0o600); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           c.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	c.work.Go(func() error {
		if err := server.Serve(listener); ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

func (c *Cluster) handler() http.Handler {
	calls := map[string]func(context.Context, client.Request) (any, error){
		"nodes":            func(context.Context, client.Request) (any, error) { return c.describe(), nil },
		"settings":         func(context.Context, client.Request) (any, error) { return settings(), nil },
		"partition":        func(ctx context.Context, r client.Request) (any, error) { return nil, c.partition(ctx, r.Node) },
		"cut-api":          func(ctx context.Context, r client.Request) (any, error) { return nil, c.cutAPI(ctx, r.Node) },
		"heal":             func(ctx context.Context, r client.Request) (any, error) { return nil, c.heal(ctx, r.Node) },
		"crash":            func(ctx context.Context, r client.Request) (any, error) { return nil, c.crash(ctx, r.Node) },
		"restart":          func(ctx context.Context, r client.Request) (any, error) { return nil, c.restart(ctx, r.Node) },
		"cut-relay":        func(ctx context.Context, r client.Request) (any, error) { return nil, c.cutRelay(ctx, r.Pods, r.Cut) },
		"heal-relay":       func(ctx context.Context, r client.Request) (any, error) { return nil, c.healRelay(ctx, r.Pods) },
		"stop-api-server":  func(context.Context, client.Request) (any, error) { return nil, c.stopAPIServer() },
		"start-api-server": func(ctx context.Context, _ client.Request) (any, error) { return nil, c.startAPIServer(ctx) },
		"heal-all":         func(ctx context.Context, _ client.Request) (any, error) { return nil, c.healAll(ctx) },
		"kill-container": func(ctx context.Context, r client.Request) (any, error) {
			return nil, c.signalContainer(ctx, r.Container, "SIGKILL")
		},
		"freeze-container": func(ctx context.Context, r client.Request) (any, error) {
			return nil, c.freezeContainer(ctx, r.Container)
		},
		"thaw-container": func(ctx context.Context, r client.Request) (any, error) {
			return nil, c.thawContainer(ctx, r.Container)
		},
		"load": func(ctx context.Context, r client.Request) (any, error) { return nil, c.load(ctx, r.Tarball) },
		"install": func(ctx context.Context, r client.Request) (any, error) {
			return nil, c.install(ctx, cmp.Or(r.Chart, c.ownChart()), r.Values)
		},
	}
	mux := http.NewServeMux()
	for name, call := range calls {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			var request client.Request
			if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			answer, err := call(r.Context(), request)
			if err != nil {
				http.Error(w, name+": "+err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	return mux
}

func (c *Cluster) describe() []client.Node {
	var nodes []client.Node
	for _, n := range c.nodes {
		nodes = append(nodes, client.Node{
			Name: n.plan.Name, Address: n.plan.Address, PodCIDR: n.plan.PodCIDR, Up: n.host != nil,
		})
	}
	return nodes
}
