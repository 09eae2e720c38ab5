package notify

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
)

const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// A site is a receiver at the loopback interface, with a certificate.
type site struct {
	*httptest.Server
	requests []*http.Request
	bodies   []string
	answer   http.HandlerFunc
}

func newSite(t *testing.T) *site {
	s := &site{answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body: %v", err)
		}
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) trusted() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// sender returns a Sender that trusts the site, and knows these Secrets by name and key.
func (s *site) sender(networks []netip.Prefix, secrets map[string]map[string]string) *Sender {
	reader := fake.NewClientBuilder()
	for name, data := range secrets {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: name}, Data: map[string][]byte{}}
		for k, v := range data {
			secret.Data[k] = []byte(v)
		}
		reader.WithObjects(secret)
	}
	return New(Config{Reader: reader.Build(), Networks: networks, TLS: s.trusted(), Metrics: metrics.New(prometheus.NewRegistry())})
}

func receiverOf(target v1alpha1.Notification) *receiver {
	return &receiver{pair: types.NamespacedName{Namespace: "live", Name: "sunday"}, uid: "1-2-3", target: target}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestAReceiverCanCheckWhatItGets(t *testing.T) {
	s := newSite(t)
	sender := s.sender(loopback, map[string]map[string]string{"hook": {"webhookKey": key + "\n", "webhookURL": s.URL + "/hooks/1?a=b\n"}})
	hook := v1alpha1.SecretReference{Name: "hook"}
	r := receiverOf(v1alpha1.Notification{Name: "studio", URLSecretRef: &hook, KeySecretRef: hook})
	e := v1alpha1.HistoryEntry{
		Number: 42, Kind: v1alpha1.HistorySwitched, Time: metav1.NewMicroTime(begin), Leg: v1alpha1.RoleBackup, Reason: "PrimaryInputLost", GapMilliseconds: 990,
	}
	for range 2 {
		if code, err := sender.post(t.Context(), r, e); code != http.StatusNoContent || err != nil {
			t.Fatalf("%d, %v", code, err)
		}
	}
	checker, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	for i, request := range s.requests {
		if err := checker.Verify([]byte(s.bodies[i]), request.Header); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		if id := request.Header.Get("webhook-id"); id != "1-2-3-1795377600000000-Switched-Backup" {
			t.Errorf("request %d has the id %q", i, id)
		}
		if request.Method != http.MethodPost || request.RequestURI != "/hooks/1?a=b" || request.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request %d: %s %s of %s", i, request.Method, request.RequestURI, request.Header.Get("Content-Type"))
		}
	}
	var got any
	if err := json.Unmarshal([]byte(s.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"type": "streampair.Switched", "timestamp": "2026-11-22T20:00:00.000000Z",
		"data": map[string]any{
			"namespace": "live", "pair": "sunday", "uid": "1-2-3", "number": 42.0, "kind": "Switched", "leg": "Backup",
			"reason": "PrimaryInputLost", "gapMilliseconds": 990.0,
		},
	}, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotSent(t *testing.T) {
	ordinary := map[string]map[string]string{"hook": {"webhookKey": key, "webhookURL": "http://events.example.com"}}
	hook := v1alpha1.SecretReference{Name: "hook"}
	for _, tt := range []struct {
		name     string
		networks []netip.Prefix
		target   func(url string) v1alpha1.Notification
		secrets  map[string]map[string]string
		want     string
	}{
		{"a private address", nil, func(u string) v1alpha1.Notification { return v1alpha1.Notification{URL: u, KeySecretRef: hook} }, ordinary, "--notification-networks"},
		{"a name of a private address", nil, func(u string) v1alpha1.Notification {
			return v1alpha1.Notification{URL: strings.Replace(u, "127.0.0.1", "localhost", 1), KeySecretRef: hook}
		}, ordinary, "--notification-networks"},
		{"a URL of a Secret that is not https", loopback, func(string) v1alpha1.Notification {
			return v1alpha1.Notification{URLSecretRef: &hook, KeySecretRef: hook}
		}, ordinary, "webhookURL is no https:// URL"},
		{"no Secret", loopback, func(u string) v1alpha1.Notification {
			return v1alpha1.Notification{URL: u, KeySecretRef: v1alpha1.SecretReference{Name: "other"}}
		}, ordinary, "read the Secret other"},
		{"no key in the Secret", loopback, func(u string) v1alpha1.Notification { return v1alpha1.Notification{URL: u, KeySecretRef: hook} },
			map[string]map[string]string{"hook": {"key": key}}, "the Secret hook has no webhookKey"},
		{"a key that is no base64", loopback, func(u string) v1alpha1.Notification { return v1alpha1.Notification{URL: u, KeySecretRef: hook} },
			map[string]map[string]string{"hook": {"webhookKey": "whsec_secret!"}}, errKey.Error()},
		{"a key that is too short", loopback, func(u string) v1alpha1.Notification { return v1alpha1.Notification{URL: u, KeySecretRef: hook} },
			map[string]map[string]string{"hook": {"webhookKey": "whsec_AAAA"}}, errKey.Error()},
		{"a key without its prefix", loopback, func(u string) v1alpha1.Notification { return v1alpha1.Notification{URL: u, KeySecretRef: hook} },
			map[string]map[string]string{"hook": {"webhookKey": strings.TrimPrefix(key, "whsec_")}}, errKey.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			code, err := s.sender(tt.networks, tt.secrets).post(t.Context(), receiverOf(tt.target(s.URL)), switches(1)[0])
			if code != 0 || err == nil || !strings.Contains(err.Error(), tt.want) || len(s.requests) > 0 {
				t.Errorf("code %d, %d requests, error %v, want …%s…", code, len(s.requests), err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "https://127") || strings.Contains(err.Error(), "MfKQ9r8G") || strings.Contains(err.Error(), "secret!")) {
				t.Errorf("the error tells the URL or the key: %v", err)
			}
		})
	}
}

func TestWhatAReceiverMayAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(s *site) http.HandlerFunc
		want   int
	}{
		{"a redirect, which is not followed", func(s *site) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, s.URL+"/other", http.StatusTemporaryRedirect)
			}
		}, http.StatusTemporaryRedirect},
		{"a body without end", func(*site) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			}
		}, http.StatusOK},
		{"a header without end", func(*site) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }
		}, 0},
		{"a mistake", func(*site) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
		}, http.StatusInternalServerError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.answer = tt.answer(s)
			hook := v1alpha1.SecretReference{Name: "hook"}
			sender := s.sender(loopback, map[string]map[string]string{"hook": {"webhookKey": key}})
			code, err := sender.post(t.Context(), receiverOf(v1alpha1.Notification{URL: s.URL, KeySecretRef: hook}), switches(1)[0])
			if code != tt.want || (err == nil) != (tt.want != 0) {
				t.Errorf("code %d, want %d; error %v", code, tt.want, err)
			}
			s.Close() // waits for the handler
			if len(s.requests) != 1 {
				t.Errorf("%d requests, want 1", len(s.requests))
			}
		})
	}
}

// The example of the specification's own tests.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	raw, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := standardwebhooks.NewWebhookRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", metav1.Unix(1614265330, 0).Time, []byte(`{"test": 2432232314}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
