package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/mediaserver/control"
)

// openRoom makes the control room of a standalone server. The pods of a cluster have none: there
// kubectl streampair monitor serves the room.
func (s *Server) openRoom() {
	if s.cfg.Role != "" || s.cfg.ControlAddress == "" {
		return
	}
	cfg := controlroom.Config{Source: roomSource{s}}
	if s.ports.controlCerts != nil {
		cfg.Bearer = s.peer.Token.Is
		cfg.IsHost = s.ports.controlCerts.covers
	}
	s.room = controlroom.New(cfg)
}

// RoomURL returns the URL of the control room with a new key, which opens one browser. The URL must be
// shown once, and not in the log. It is empty if the server has no control room.
func (s *Server) RoomURL() string {
	if s.room == nil || s.ports.control == nil {
		return ""
	}
	scheme := "http"
	if s.ports.controlCerts != nil {
		scheme = "https"
	}
	return s.room.URL(scheme + "://" + reachable(s.ports.control.Addr()))
}

// reachable returns the host and port by which this machine reaches a port.
func reachable(a net.Addr) string {
	bound, err := netip.ParseAddrPort(a.String())
	if err != nil || !bound.Addr().IsUnspecified() {
		return a.String()
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port()).String()
}

// withRoom serves the control room beside the commands. Measures and pictures need its cookie where the
// commands need no token: whoever has an account on this machine may not look for that alone. A browser
// sends the cookie to the room's folder only, where the page has its own ways to both.
func (s *Server) withRoom(commands http.Handler) http.Handler {
	if s.room == nil {
		return commands
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", commands)
	if s.ports.controlCerts == nil {
		readings := s.room.Admit(control.NewReadings(s))
		mux.Handle("/v1/measures", readings)
		mux.Handle("/v1/thumbnails/", readings)
	}
	mux.Handle("/", s.room.Handler())
	return mux
}

// roomSource tells the control room of the declared pairs of a server.
type roomSource struct{ *Server }

// State implements controlroom.Source.
func (s roomSource) State(context.Context) controlroom.State {
	place, _ := os.Hostname() // without a name the page shows none
	state := controlroom.State{Place: place, Time: time.Now().UTC(), Pairs: []controlroom.Pair{}}
	status, measures := s.Status(), s.Measures()
	var credentials []controlroom.Credential
	for _, one := range []struct {
		name  string
		certs *certificates
	}{{"certificate of HTTPS", s.ports.certs}, {"certificate of the command port", s.ports.controlCerts}} {
		if one.certs == nil {
			continue
		}
		if t := one.certs.status(); t.NotAfter != nil && !t.SelfSigned {
			credentials = append(credentials, controlroom.Credential{Name: one.name, NotAfter: *t.NotAfter})
		}
	}
	for i := range status.Pairs {
		p := &status.Pairs[i]
		if !p.Declared {
			continue
		}
		one := controlroom.Pair{Name: p.Name, Status: p, Credentials: append(slices.Clone(credentials), controlroom.TokensOf(p, status.Streams)...)}
		if at := slices.IndexFunc(measures.Pairs, func(m api.PairMeasures) bool { return m.Name == p.Name }); at >= 0 {
			one.Measures = &measures.Pairs[at]
		}
		for _, mistake := range status.ConfigMistakes {
			one.Warnings = append(one.Warnings, mistake.Message)
		}
		state.Pairs = append(state.Pairs, one)
	}
	return state
}

// Thumbnail implements controlroom.Source.
func (s roomSource) Thumbnail(_ context.Context, pair, role string) ([]byte, error) {
	for _, p := range s.pairs.all() {
		if p.name != pair || !p.declared.Load() {
			continue
		}
		id := p.key.Primary
		if role == "Backup" {
			id = p.key.Backup
		}
		jpeg, _ := s.Server.Thumbnail(p.key.App, id)
		return jpeg, nil
	}
	return nil, nil
}

// Take implements controlroom.Source.
func (s roomSource) Take(_ context.Context, pair, selection string) error {
	err := s.Select(pair, selection)
	if errors.Is(err, control.ErrUnknownPair) {
		return controlroom.ErrUnknownPair
	}
	return err
}
