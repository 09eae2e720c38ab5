package preflight

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 1, time.UTC)

var (
	both   = Finding{Severity: Info, Code: "ChannelsDiffer", Subject: "both", Message: "They differ.", OBS: "the same", FFmpeg: "-ac 2"}
	failed = Finding{Severity: Error, Code: "BFrames", Subject: "primary", Message: "It has B-frames.", OBS: "0", FFmpeg: "-bf 0"}
	hint   = Finding{Severity: Warning, Code: "SameZone", Subject: "nodes", Message: "One zone.", Remedy: "Add a zone."}
)

func TestPrint(t *testing.T) {
	r := NewReport(now, []Subject{{"primary", "H.264"}, {"nodes", "n1, n2"}}, []Finding{both, hint, failed})
	for form, want := range map[string]string{
		Text: `primary   H.264
nodes     n1, n2

ERROR BFrames (primary)
  It has B-frames.
  OBS:    0
  ffmpeg: -bf 0

WARNING SameZone (nodes)
  One zone.
  to do:  Add a zone.

INFO ChannelsDiffer (both)
  They differ.
  OBS:    the same
  ffmpeg: -ac 2

1 error, 1 warning, 1 for information.
`,
		JSON: `{
  "time": "2026-11-22T18:00:00Z",
  "subjects": [
    {
      "name": "primary",
      "summary": "H.264"
    },
    {
      "name": "nodes",
      "summary": "n1, n2"
    }
  ],
  "findings": [
    {
      "severity": "Error",
      "code": "BFrames",
      "subject": "primary",
      "message": "It has B-frames.",
      "obs": "0",
      "ffmpeg": "-bf 0"
    },
    {
      "severity": "Warning",
      "code": "SameZone",
      "subject": "nodes",
      "message": "One zone.",
      "remedy": "Add a zone."
    },
    {
      "severity": "Info",
      "code": "ChannelsDiffer",
      "subject": "both",
      "message": "They differ.",
      "obs": "the same",
      "ffmpeg": "-ac 2"
    }
  ]
}
`,
	} {
		t.Run(form, func(t *testing.T) {
			var b strings.Builder
			if err := r.Print(&b, form); !errors.Is(err, ErrFound) {
				t.Errorf("got %v, want ErrFound", err)
			}
			if diff := cmp.Diff(want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsWrong(t *testing.T) {
	var text, object strings.Builder
	r := NewReport(now, nil, nil)
	if err := errors.Join(r.Print(&text, Text), r.Print(&object, JSON)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("\nNothing is wrong.\n", text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(object.String(), `"findings": []`) {
		t.Errorf("got %s, want an empty list", &object)
	}
	if CheckForm("xml") == nil || CheckForm(Text) != nil || CheckForm(JSON) != nil {
		t.Error("the forms are text and json")
	}
}

func TestExitCode(t *testing.T) {
	warned := NewReport(now, nil, []Finding{hint}).Print(&strings.Builder{}, Text)
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {warned, 0}, {ErrFound, 1}, {errors.New("another command"), 1},
		{fmt.Errorf("check: %w", &NotCheckedError{errors.New("no route")}), 2},
	} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("%v ends with %d, want %d", tt.err, got, tt.want)
		}
	}
}

// authority is a certificate authority.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	a.cert = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
	})
	return a
}

// issue returns a certificate; the first one is self-signed.
func (a authority) issue(t *testing.T, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestJudgeCertificate(t *testing.T) {
	trusted, alone := newAuthority(t), authority{key: newAuthority(t).key}
	roots := x509.NewCertPool()
	roots.AddCert(trusted.cert)
	const host = "live.example.com"
	leaf := func(a authority, name string, from, to time.Time) Presented {
		return Presented{Host: host, Chain: []*x509.Certificate{a.issue(t, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})}}
	}
	before, later := now.AddDate(0, -1, 0), now.AddDate(0, 2, 0)
	for name, tt := range map[string]struct {
		presented Presented
		want      string
	}{
		"good for two months":    {leaf(trusted, host, before, later), ""},
		"by a wildcard":          {leaf(trusted, "*.example.com", before, later), ""},
		"no certificate":         {Presented{Host: host}, ""},
		"expired":                {leaf(trusted, host, before, now.Add(-time.Minute)), "Error CertificateExpired"},
		"not valid yet":          {leaf(trusted, host, now.Add(time.Hour), later), "Error CertificateNotYetValid"},
		"good for 13 days":       {leaf(trusted, host, before, now.AddDate(0, 0, 13)), "Warning CertificateExpiresSoon"},
		"for another host":       {leaf(trusted, "other.example.com", before, later), "Error CertificateName"},
		"self-signed":            {leaf(alone, host, before, later), "Warning CertificateSelfSigned"},
		"self-signed, ends soon": {leaf(alone, host, before, now.AddDate(0, 0, 3)), "Warning CertificateExpiresSoon, Warning CertificateSelfSigned"},
		"of an unknown authority": {
			Presented{Host: host, Chain: []*x509.Certificate{newAuthority(t).issue(t, &x509.Certificate{DNSNames: []string{host}, NotBefore: before, NotAfter: later})}},
			"Warning CertificateUntrusted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range JudgeCertificate("page", tt.presented, roots, now) {
				got = append(got, string(f.Severity)+" "+f.Code)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDialReturnsTheCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	got, err := Dial(t.Context(), s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != "127.0.0.1" || len(got.Chain) != 1 || !got.Chain[0].Equal(s.Certificate()) {
		t.Errorf("got %+v", got)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if _, err := Dial(t.Context(), closed.Addr().String()); err == nil {
		t.Error("a closed port answers")
	}
}
