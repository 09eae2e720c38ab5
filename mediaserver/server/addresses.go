package server

import (
	"fmt"
	"net"

	"github.com/pion/webrtc/v4"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/rtc"
)

// maxAdvertised bounds the addresses that browsers are told. Each address
// becomes two candidates, and every viewer checks each candidate.
const maxAdvertised = 16

func advertised(addresses []v1alpha1.MediaAddress) []rtc.AdvertisedAddress {
	var out []rtc.AdvertisedAddress
	for _, a := range addresses {
		out = append(out, rtc.AdvertisedAddress{IP: a.IP, UDPPort: a.UDPPort, TCPPort: a.TCPPort})
	}
	return out
}

// Advertise implements control.Backend.
func (s *Server) Advertise(told api.MediaAddresses) error {
	if len(told.WebRTC) > maxAdvertised {
		return fmt.Errorf("webrtc: %d addresses, and at most %d are taken", len(told.WebRTC), maxAdvertised)
	}
	var parsed []v1alpha1.MediaAddress
	var mistakes config.Mistakes
	for i, text := range told.WebRTC {
		address, err := v1alpha1.ParseMediaAddress(text)
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("webrtc[%d]: %q: %v", i, text, err))
		}
		parsed = append(parsed, address)
	}
	mistakes = append(mistakes, checkBaseURLs(told.HTTP)...)
	if len(mistakes) > 0 {
		return mistakes
	}
	s.engine.Advertise(advertised(parsed))
	s.baseURLs.set(told.HTTP)
	s.log.Info("viewers are told other addresses", "advertised", s.advertised(), "baseURLs", told.HTTP)
	s.changes.notify()
	return nil
}

// advertised returns the addresses that browsers are
// told, in the form of v1alpha1.ParseMediaAddress.
func (s *Server) advertised() []string {
	var out []string
	for _, a := range s.engine.Advertised() {
		out = append(out, v1alpha1.MediaAddress{IP: a.IP, UDPPort: a.UDPPort, TCPPort: a.TCPPort}.String())
	}
	return out
}

// iceServers returns the STUN and TURN servers of the pair that has
// the stream. Viewers and publishers of the stream are told of them.
func (s *Server) iceServers(app, streamID, backupID string) []webrtc.ICEServer {
	for _, p := range s.Manifest().Pairs {
		primary, backup := p.Spec.Primary.StreamID, p.Spec.Backup.StreamID
		if p.Spec.App != app || streamID != primary && streamID != backup || backupID != "" && backupID != backup {
			continue
		}
		var out []webrtc.ICEServer
		for _, server := range p.ICEServers {
			one := webrtc.ICEServer{URLs: server.URLs}
			if server.Username != "" {
				one.Username, one.Credential = server.Username, server.Credential
			}
			out = append(out, one)
		}
		return out
	}
	return nil
}

// Addresses returns the bound addresses.
func (s *Server) Addresses() api.Addresses {
	address := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	a := api.Addresses{HTTP: address(s.ports.http), HTTPS: address(s.ports.https), WebRTC: s.engine.Addr().String(),
		Probe: address(s.ports.probe), Health: address(s.ports.health), Control: address(s.ports.control), Monitor: address(s.ports.monitor), Relay: address(s.ports.relay)}
	if s.srt != nil {
		a.SRT = s.srt.Addr().String()
	}
	if s.rtmp == nil {
		return a
	}
	if addr := s.rtmp.Addr(); addr != nil {
		a.RTMP = addr.String()
	}
	if addr := s.rtmp.TLSAddr(); addr != nil {
		a.RTMPS = addr.String()
	}
	return a
}
