package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"

	"github.com/streampair/streampair/mediaserver/control"
)

// tls returns the configuration for HTTPS and RTMPS; nil when neither is wanted.
func (s *Server) tls() (*tls.Config, error) {
	if s.cfg.HTTPSAddress == "" && s.cfg.RTMPSAddress == "" {
		return nil, nil
	}
	s.certs = newCertificates(s.cfg.TLSCert, s.cfg.TLSKey, s.log)
	s.certs.loaded = func(leaf *x509.Certificate) {
		s.pairs.metrics.TLSNotAfter.WithLabelValues().Set(float64(leaf.NotAfter.Unix()))
	}
	switch err := s.certs.load(); {
	case s.cfg.Role != "" && err != nil:
		// A pod's TLS Secret is mounted where it will be, and may come later or be mended
		// later: a pod that did not start for it would take RTMP and the relay with it.
		// Whoever runs the server by hand has mistyped a name, and is told so.
		s.log.Warn("HTTPS uses a self-signed certificate until there is one that can be used", "error", err)
	case err != nil:
		return nil, err
	case s.cfg.TLSCert == "":
		s.log.Warn("no certificate given: HTTPS uses a self-signed one, which browsers warn of; set --tls-cert and --tls-key")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certs.get}, nil
}

// loadControlFiles reads what protects the command port, if there is anything.
func (s *Server) loadControlFiles() error {
	files := s.cfg.Control
	if files.TLSCert != "" && s.controlCerts == nil {
		s.controlCerts = newCertificates(files.TLSCert, files.TLSKey, s.log)
	}
	var errs []error
	if s.controlCerts != nil {
		errs = append(errs, s.controlCerts.load())
	}
	if s.controlCerts != nil {
		errs = append(errs, s.loadIdentity())
	}
	if files.TokenFile != "" {
		s.clusterToken.name = files.TokenFile
		errs = append(errs, s.clusterToken.load())
	}
	return errors.Join(errs...)
}

// controlHandler serves the command port: to whoever has the token, or without one to
// this machine.
func (s *Server) controlHandler() http.Handler {
	h := control.NewCommands(s)
	if s.controlCerts == nil {
		return loopbackOnly(h)
	}
	return control.RequireToken(h, s.clusterToken.is, s.pairs.metrics.HTTPRequestRefusal.WithLabelValues("control_token"))
}

// watched are the files that may change while the server runs.
func (s *Server) watched() []*watched {
	sets := []*watched{{
		names:   func() []string { return s.cfg.Files.Names(s.Manifest()) },
		changed: s.reload,
	}}
	if s.certs != nil && s.cfg.TLSCert != "" {
		sets = append(sets, &watched{
			names: func() []string { return []string{s.cfg.TLSCert, s.cfg.TLSKey} },
			changed: func() {
				said := s.certs.status().Error
				if err := s.certs.load(); err != nil && err.Error() != said {
					s.log.Error("the new certificate cannot be used; the old one is still served", "error", err)
				}
				s.changes.notify()
			},
		})
	}
	if files := s.cfg.Control; s.controlCerts != nil {
		sets = append(sets, &watched{
			names: func() []string {
				names := []string{files.TLSCert, files.TLSKey, files.TokenFile}
				if s.cfg.PeerTLSCert != "" {
					names = append(names, s.cfg.PeerTLSCert)
				}
				return names
			},
			changed: func() { s.complain(&s.complaints.control, lines(s.loadControlFiles())) },
		})
	}
	return sets
}
