package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

func TestASecretOfTheUsersOwnMayComeLate(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Publish.TokenSecretRef = &v1alpha1.SecretReference{Name: "mine"}
	})
	pair := w.waitFor("sunday", "Ready=False/InvalidSecret")
	t.Log(describe(pair))
	w.must(w.admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "mine"},
		StringData: map[string]string{v1alpha1.SecretKeyPublishToken: "my-own-token"},
	}))
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged")
}

func TestACertificateMayComeLate(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Playback.TLSSecretName = "live-tls"
		s.Playback.ExternalURL = "https://live.example.com"
	})
	w.waitFor("sunday", "Ready=False/NotExposed", "Exposed=False/InvalidTLSSecret")
	certificate, key := selfSigned(t)
	w.must(w.admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "live-tls"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
	}))
	pair := w.waitFor("sunday", "Ready=True/Ready", "Exposed=True/MediaClusterOnly")
	if !strings.HasPrefix(pair.Status.PlaybackURL, "https://live.example.com/live/play.html?") {
		t.Errorf("playback URL %s", pair.Status.PlaybackURL)
	}
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "live.example.com"}, DNSNames: []string{"live.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// names is a name server.
type names struct {
	mu        sync.Mutex
	addresses []netip.Addr // guarded by mu
}

func (n *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.addresses) == 0 {
		return nil, errors.New("no such host")
	}
	return n.addresses, nil
}

func TestALoadBalancerWithANameIsResolvedForBrowsers(t *testing.T) {
	server := &names{}
	w := newWorld(t, func(w *world) { w.resolver = server })
	k := w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) { s.Exposure.WebRTC.Type = v1alpha1.ExposureLoadBalancer })
	w.waitFor("sunday", "Exposed=False/AddressPending")
	for _, name := range []string{"sunday-primary-media", "sunday-primary-media-tcp", "sunday-backup-media", "sunday-backup-media-tcp"} {
		service := &corev1.Service{}
		eventually.True(w.t, name, func() bool { return w.get(name, service) })
		before := service.DeepCopy()
		service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "media.elb.example.com"}}
		w.must(w.admin.Status().Patch(t.Context(), service, client.MergeFrom(before)))
	}
	eventually.True(w.t, "it says that the name does not resolve", func() bool {
		pair := w.pair("sunday")
		return slices.ContainsFunc(pair.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionExposed && strings.Contains(c.Message, "does not resolve")
		})
	})
	server.mu.Lock()
	server.addresses = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	server.mu.Unlock()
	w.waitFor("sunday", "Ready=True/Ready", "Exposed=True/ClusterOnly")
	eventually.True(w.t, "the pods tell browsers", func() bool {
		return slices.Contains(k.status("sunday", "backup").Advertised, "198.51.100.7:8189:8189")
	})
}

func TestAnOutageOfTheAPIServerIsSurvived(t *testing.T) {
	needFFmpeg(t)
	t.Parallel()
	w := newWorldIn(t, kubetest.StartOwn(t))
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	primary, _ := k.publishBoth("sunday")
	w.waitUntilQuiet()

	w.cluster.StopAPIServer(t)
	primary.Kill()
	time.Sleep(3 * time.Second)
	w.cluster.StartAPIServer(t)
	began := time.Now()
	pair := w.waitFor("sunday", "OnAir=True/OnAir", "PrimaryLive=False/InputLost", "BackupLive=True/Live")
	t.Logf("the status was right %v after the API server's return", time.Since(began).Round(time.Millisecond))
	if a := pair.Status.ActiveStream; a == nil || a.Role != v1alpha1.RoleBackup {
		t.Errorf("active %+v", a)
	}
}
