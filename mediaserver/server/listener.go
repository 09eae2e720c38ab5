package server

import (
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

// limits are the places of strangers.
type limits struct {
	// connections of each HTTP port, and as many of the peers: idle ones cost descriptors
	// that media need too.
	connections int
	// eventStreams of players.
	eventStreams int
	// onDemand bounds the pairs made from viewers' URLs.
	onDemand int
}

func defaultLimits() limits { return limits{connections: 8192, eventStreams: 4096, onDemand: 64} }

const (
	// idleTimeout is how long a connection without a request stays while there is room, and
	// idleTimeoutFull while there is none.
	idleTimeout     = 2 * time.Minute
	idleTimeoutFull = 15 * time.Second
)

// listen opens an HTTP port. The peers have places of their own: however many viewers come,
// the relay must not wait for one of them to go. Proxies are those who may tell, by the PROXY
// protocol, whom they speak for; nil: nobody.
func (s *Server) listen(name, address string, proxies *admission.Proxies) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the %s port: %w", name, err)
	}
	door := func(name string) *admission.Door {
		return admission.NewDoor(admission.DoorConfig{
			Name: name, Limits: admission.Limits{Max: s.limits.connections, MaxLeaving: s.limits.connections},
			IdleLimit: idleTimeout, IdleLimitFull: idleTimeoutFull, Metrics: s.counters,
		})
	}
	peers := door(name + "_peers")
	return admission.NewListener(tcp.NewListener(l, tcp.DefaultLimits()), admission.ListenerConfig{
		Door: door(name), Proxies: proxies, Metrics: s.counters,
		Apart: func(a netip.Addr) *admission.Door {
			if s.isPeer(a) {
				return peers
			}
			return nil
		},
	}), nil
}

// isPeer says whether an address is one of the other leg's servers.
func (s *Server) isPeer(a netip.Addr) bool { return s.peers != nil && s.peers.Includes(a) }

const (
	// The kubelet opens a connection for each probe, and closes it. It has any address of its
	// node, so no address is trusted: each has few places, and a newcomer always gets one.
	healthConnections           = 64
	healthConnectionsPerAddress = 8
	healthIdle                  = 5 * time.Second
	healthIdleFull              = time.Second
)

// openHealth opens the port of the kubelet's probes. A media pod has it though nobody asked, so
// that a new pod needs no new argument; on a machine where the port is taken, as by another
// server of a test, it is left out.
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
	s.health = admission.NewListener(l, admission.ListenerConfig{Metrics: s.counters, Door: admission.NewDoor(admission.DoorConfig{
		Name: "health", Metrics: s.counters, IdleLimit: healthIdle, IdleLimitFull: healthIdleFull,
		Limits: admission.Limits{Max: healthConnections, MaxPerNetwork: healthConnectionsPerAddress},
	})})
	return nil
}
