package pods

import (
	"strings"
	"testing"
	"time"
)

// The kubelet delivers a renewed Secret to the pod a minute or two after the operator has it.
func TestAPodIsReachedWhileItsSecretIsRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		before := f.pod
		_, certificate := fakeCertificate(t)
		target := before.target(sundayPrimary)
		target.Certificate, target.Token = certificate, "renewed-token"
		f.Follow(sunday, []Target{target})
		if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a")); err != nil {
			t.Errorf("with the certificate before: %v", err)
		}
		// The old keys work until the pod has the new ones, but not for ever.
		time.Sleep(replacedFor - 8*time.Second)
		f.pod.out <- ":\n"
		f.hinted()
		f.pod.send(playing("Backup"))
		f.hinted()
		if s := f.State(sundayPrimary); !s.Connected {
			t.Fatalf("a stream that ended was not opened with the certificate before: %q", s.Err)
		}
		time.Sleep(10 * time.Second)
		if err := f.PutConfig(t.Context(), sundayPrimary, []byte("b")); err == nil {
			t.Error("the certificate before is good for ever")
		}
	})
}

func TestACertificateThatWasReplacedIsGoodNoLonger(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		renewed := newFakePod(t)
		renewed.token = "renewed-token"
		target := renewed.target(sundayPrimary)
		target.Token = renewed.token
		f.Follow(sunday, []Target{target})
		again := newFakePod(t) // whoever has the old key
		again.certificate = f.pod.certificate
		renewed.serve(t, f.network.listen("192.0.2.1:9091"))
		_ = f.pod.server.Close()
		renewed.send(playing("Primary"))
		f.hinted()
		if s := f.State(sundayPrimary); !s.Connected {
			t.Fatalf("the pod with the new certificate is not reached: %q", s.Err)
		}
		again.serve(t, f.network.listen("192.0.2.1:9091"))
		_ = renewed.server.Close()
		time.Sleep(10 * time.Second)
		if s := f.State(sundayPrimary); s.Connected || !strings.Contains(s.Err, "shows another certificate") {
			t.Errorf("the certificate before is good though the pod has shown the new one: %+v", s)
		}
	})
}
