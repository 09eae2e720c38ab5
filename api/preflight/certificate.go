package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// expiresSoon is how long a certificate must be good for: an event and the days before it.
const expiresSoon = 14 * 24 * time.Hour

// Presented is the certificate that a server presents.
type Presented struct {
	// Host is the name or address by which the server was reached.
	Host string
	// Chain begins with the server's own certificate.
	Chain []*x509.Certificate
}

// Dial reaches a TLS server at host:port, and returns what certificate the server presents. The
// context bounds the time.
func Dial(ctx context.Context, address string) (Presented, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return Presented{}, err
	}
	// A certificate that is not trusted is a finding, so the connection is made all the same.
	// Nothing is sent over the connection.
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}} //nolint:gosec // see above
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return Presented{}, err
	}
	defer conn.Close()
	return Presented{Host: host, Chain: conn.(*tls.Conn).ConnectionState().PeerCertificates}, nil
}

// JudgeCertificate says what is wrong with a certificate at now. roots are the certificates that are
// trusted; nil: those of this machine.
func JudgeCertificate(subject string, p Presented, roots *x509.CertPool, now time.Time) []Finding {
	if len(p.Chain) == 0 {
		return nil
	}
	leaf := p.Chain[0]
	found := func(s Severity, code, remedy, message string, args ...any) []Finding {
		return []Finding{{Severity: s, Code: code, Subject: subject, Message: fmt.Sprintf(message, args...), Remedy: remedy}}
	}
	const renew = "Renew the certificate: see its issuer, or cert-manager's Certificate."
	until := leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return found(Error, "CertificateExpired", renew, "The certificate of %s has expired at %s: browsers refuse the page.", p.Host, until)
	case now.Before(leaf.NotBefore):
		return found(Error, "CertificateNotYetValid", "Compare the clocks of both machines.", "The certificate of %s is not valid yet.", p.Host)
	case leaf.VerifyHostname(p.Host) != nil:
		return found(Error, "CertificateName", fmt.Sprintf("Issue the certificate for %s.", p.Host),
			"The certificate is not for %s: browsers refuse the page.", p.Host)
	case left < expiresSoon:
		return append(found(Warning, "CertificateExpiresSoon", renew, "The certificate of %s expires at %s.", p.Host, until), untrusted(found, p, roots, now)...)
	}
	return untrusted(found, p, roots, now)
}

// untrusted says whether nobody vouches for the certificate.
func untrusted(found func(Severity, string, string, string, ...any) []Finding, p Presented, roots *x509.CertPool, now time.Time) []Finding {
	intermediates := x509.NewCertPool()
	for _, c := range p.Chain[1:] {
		intermediates.AddCert(c)
	}
	leaf := p.Chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown) && leaf.Issuer.String() == leaf.Subject.String():
		return found(Warning, "CertificateSelfSigned", "Use a certificate of an authority that browsers trust.",
			"The certificate of %s is self-signed: browsers warn viewers.", p.Host)
	}
	return found(Warning, "CertificateUntrusted", "Use a certificate of an authority that browsers trust, and serve the whole chain.",
		"This machine does not trust the certificate of %s.", p.Host)
}
