package kubernetes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/streampair/streampair/hack/cluster/machine"
)

// A host is a machine with its services.
type host struct {
	*machine.Machine
	services map[string]*service
	// say tells a user what a service does that it should not do.
	say func(format string, args ...any)
	// logs is the folder of the services' logs.
	logs string
}

// A service is a program that is restarted when it ends.
type service struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func boot(config machine.Config, logs string, say func(string, ...any)) (*host, error) {
	m, err := machine.Boot(config)
	if err != nil {
		return nil, err
	}
	return &host{Machine: m, services: map[string]*service{}, say: say, logs: logs}, nil
}

// serve starts a service, which runs until stop or powerOff.
func (h *host) serve(name, path string, args ...string) error {
	log, err := os.OpenFile(h.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{cancel: cancel, ended: make(chan struct{})}
	h.services[name] = s
	go func() {
		defer close(s.ended)
		defer func() { _ = log.Close() }()
		for {
			cmd := exec.CommandContext(ctx, path, args...)
			cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
			cmd.Env = []string{"PATH=/run/node:/run/kube:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"}
			// Ctrl-C is only for this program, which ends the services in order.
			cmd.SysProcAttr = ownGroup()
			err := h.Run(cmd)
			if ctx.Err() != nil {
				return
			}
			h.say("%s on %s has ended (%v) and is started again; see %s", name, h.Hostname(), err, h.log(name))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return nil
}

func (h *host) log(service string) string {
	return filepath.Join(h.logs, h.Hostname()+"-"+service+".log")
}

// stop kills a service. It reports whether the service was running.
func (h *host) stop(name string) bool {
	s := h.services[name]
	if s == nil {
		return false
	}
	delete(h.services, name)
	s.cancel()
	<-s.ended
	return true
}

// powerOff ends the machine and all that runs on it, at once.
func (h *host) powerOff() {
	for _, s := range h.services {
		s.cancel() // otherwise it would be restarted
	}
	h.PowerOff()
	for _, s := range h.services {
		<-s.ended
	}
}

// network runs commands of the ip program in the machine, one for each line.
func (h *host) network(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := h.Output(ctx, nil, "sh", "-c", "exec ip "+line); err != nil {
			return err
		}
	}
	return nil
}

// sysctl sets values of the machine's own network namespace.
func (h *host) sysctl(ctx context.Context, values map[string]string) error {
	for path, value := range values {
		if _, err := h.Output(ctx, nil, "sh", "-c", fmt.Sprintf("echo %s >/proc/sys/%s", value, path)); err != nil {
			return err
		}
	}
	return nil
}
