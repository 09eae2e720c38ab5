package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/tcp"
)

// limits bound what unknown clients may use.
type limits struct {
	// connections bounds the connections of each HTTP port. The peers have as many
	// of their own. Idle connections use file descriptors that media needs too.
	connections int
	// eventStreams bounds the event streams of players.
	eventStreams int
	// onDemand bounds the pairs made from viewers' URLs.
	onDemand int
}

func defaultLimits() *limits { return &limits{connections: 8192, eventStreams: 4096, onDemand: 64} }

const (
	// idleTimeout is how long a connection without a request stays while places
	// are free. idleTimeoutFull is how long it stays while none are free.
	idleTimeout     = 2 * time.Minute
	idleTimeoutFull = 15 * time.Second
)

// ports are the open ports of HTTP; nil: the port is off.
type ports struct {
	http, https, probe, health, control, monitor, relay net.Listener

	certs        *certificates // of HTTPS and RTMPS; nil: both are off
	controlCerts *certificates // of the command port; nil: only this machine may use the port
}

func (p *ports) close() {
	for _, l := range []net.Listener{p.http, p.https, p.probe, p.health, p.control, p.monitor, p.relay} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// openPorts opens the ports of HTTP. tlsConfig is for HTTPS; nil: HTTPS is off.
func (s *Server) openPorts(tlsConfig *tls.Config) error {
	for _, l := range []struct {
		name    string
		address string
		proxies *admission.Proxies
		to      *net.Listener
	}{
		{"http", s.cfg.HTTPAddress, &s.proxies, &s.ports.http},
		{"https", s.cfg.HTTPSAddress, &s.proxies, &s.ports.https},
		{"probe", s.cfg.ProbeAddress, nil, &s.ports.probe},
		{"control", s.cfg.ControlAddress, nil, &s.ports.control},
	} {
		if l.address == "" {
			continue
		}
		opened, err := s.listen(l.name, l.address, l.proxies)
		if err != nil {
			return err
		}
		*l.to = opened
	}
	if s.cfg.RelayAddress != "" {
		l, err := net.Listen("tcp", s.cfg.RelayAddress)
		if err != nil {
			return fmt.Errorf("open the relay port: %w", err)
		}
		s.ports.relay = s.peer.Listen(l)
	}
	if err := errors.Join(s.openHealth(), s.openMonitor()); err != nil {
		return err
	}
	protocols := []string{"h2", "http/1.1"}
	if s.ports.https != nil {
		https := tlsConfig.Clone()
		https.NextProtos = protocols
		s.ports.https = tls.NewListener(s.ports.https, https)
	}
	if s.ports.control != nil && s.ports.controlCerts != nil {
		s.ports.control = tls.NewListener(s.ports.control, &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: s.ports.controlCerts.get, NextProtos: protocols,
		})
	}
	return nil
}

// listen opens an HTTP port. The peers have places of their own: however many
// viewers connect, the relay need not wait for one of them to leave. proxies may
// name, by the PROXY protocol, the clients that they speak for; nil: nobody may.
func (s *Server) listen(name, address string, proxies *admission.Proxies) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the %s port: %w", name, err)
	}
	door := func(name string) *admission.Door {
		return admission.NewDoor(admission.DoorConfig{
			Name: name, Limits: admission.Limits{Max: s.cfg.limits.connections, MaxLeaving: s.cfg.limits.connections},
			IdleLimit: idleTimeout, IdleLimitFull: idleTimeoutFull, Metrics: s.counters,
		})
	}
	peers := door(name + "_peers")
	return admission.NewListener(tcp.NewListener(l, tcp.DefaultLimits()), admission.ListenerConfig{
		Door: door(name), Proxies: proxies, Metrics: s.counters,
		SeparateDoor: func(a netip.Addr) *admission.Door {
			if s.peer.Includes(a) {
				return peers
			}
			return nil
		},
	}), nil
}

const (
	// The kubelet opens a connection for each probe and then closes it.
	// It may use any address of its node, so no address is trusted. Each
	// address has few places, and a new connection always gets one.
	healthConnections           = 64
	healthConnectionsPerAddress = 8
	healthIdle                  = 5 * time.Second
	healthIdleFull              = time.Second
)

// openHealth opens the port of the kubelet's probes. A media pod opens it by
// default, so that a new pod needs no new argument. If another process has
// the default port, such as another server of a test, the port is left out.
func (s *Server) openHealth() error {
	if s.cfg.HealthAddress == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.cfg.HealthAddress)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && s.cfg.HealthAddress == config.DefaultHealthAddress:
		s.log.Warn("the health port is not opened: another process has it", "address", s.cfg.HealthAddress)
		return nil
	case err != nil:
		return fmt.Errorf("open the health port: %w", err)
	}
	s.ports.health = admission.NewListener(l, admission.ListenerConfig{Metrics: s.counters, Door: admission.NewDoor(admission.DoorConfig{
		Name: "health", Metrics: s.counters, IdleLimit: healthIdle, IdleLimitFull: healthIdleFull,
		Limits: admission.Limits{Max: healthConnections, MaxPerNetwork: healthConnectionsPerAddress},
	})})
	return nil
}
