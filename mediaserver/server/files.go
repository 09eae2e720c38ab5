package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"github.com/streampair/streampair/mediaserver/control"
)

// tls returns the configuration for HTTPS and RTMPS; nil: both are off.
func (s *Server) tls() (*tls.Config, error) {
	if s.cfg.HTTPSAddress == "" && s.cfg.RTMPSAddress == "" {
		return nil, nil
	}
	s.ports.certs = newCertificates(s.cfg.TLSCert, s.cfg.TLSKey, s.log)
	s.ports.certs.loaded = func(leaf *x509.Certificate) {
		s.pairs.metrics.TLSNotAfter.WithLabelValues().Set(float64(leaf.NotAfter.Unix()))
	}
	switch err := s.ports.certs.load(); {
	case s.cfg.Role != "" && err != nil:
		// In a pod the TLS Secret may be missing now, and be made or corrected later.
		// A pod that did not start without it would lose RTMP and the relay too. A
		// user who runs the server by hand has mistyped a name, and gets an error.
		s.log.Warn("HTTPS uses a self-signed certificate until there is one that can be used", "error", err)
	case err != nil:
		return nil, err
	case s.cfg.TLSCert == "":
		s.log.Warn("no certificate given: HTTPS uses a self-signed one, which browsers warn of; set --tls-cert and --tls-key")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.ports.certs.get}, nil
}

// loadControlFiles reads the files that protect the command port, if there are any.
func (s *Server) loadControlFiles() error {
	files := s.cfg.Control
	if files.TLSCert != "" && s.ports.controlCerts == nil {
		s.ports.controlCerts = newCertificates(files.TLSCert, files.TLSKey, s.log)
	}
	var errs []error
	if s.ports.controlCerts != nil {
		errs = append(errs, s.ports.controlCerts.load())
	}
	if own := s.ports.controlCerts.current(); own != nil { // otherwise loading the files has reported why
		errs = append(errs, s.peer.SetIdentity(own, s.cfg.PeerTLSCert))
	}
	if files.TokenFile != "" {
		errs = append(errs, s.peer.Token.Load(files.TokenFile))
	}
	return errors.Join(errs...)
}

// controlHandler serves the command port. Clients need
// the token. Without a token only this machine is served.
func (s *Server) controlHandler() http.Handler {
	h := control.NewCommands(s)
	if s.ports.controlCerts == nil {
		return s.withRoom(loopbackOnly(h))
	}
	return s.withRoom(control.RequireToken(h, s.peer.Token.Is, s.pairs.metrics.HTTPRequestRefusal.WithLabelValues("control_token")))
}

// watched returns the files that may change while the server runs.
func (s *Server) watched() []*watched {
	sets := []*watched{{
		names:   func() []string { return s.cfg.Files.Names(s.Manifest()) },
		changed: s.config.reload,
	}}
	if s.ports.certs != nil && s.cfg.TLSCert != "" {
		sets = append(sets, &watched{
			names: func() []string { return []string{s.cfg.TLSCert, s.cfg.TLSKey} },
			changed: func() {
				said := s.ports.certs.status().Error
				if err := s.ports.certs.load(); err != nil && err.Error() != said {
					s.log.Error("the new certificate cannot be used; the old one is still served", "error", err)
				}
				s.changes.notify()
			},
		})
	}
	if files := s.cfg.Control; s.ports.controlCerts != nil {
		sets = append(sets, &watched{
			names: func() []string {
				names := []string{files.TLSCert, files.TLSKey, files.TokenFile}
				if s.cfg.PeerTLSCert != "" {
					names = append(names, s.cfg.PeerTLSCert)
				}
				return names
			},
			changed: func() { s.config.reportMistakes(&s.config.faults.control, lines(s.loadControlFiles())) },
		})
	}
	return sets
}
