package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/hack/eventually"
)

const webhookKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// An inbox is a receiver of events, over TLS. It may be down for a while.
type inbox struct {
	t       *testing.T
	address string
	server  *httptest.Server // nil: it is down

	mu       sync.Mutex
	received []delivery // guarded by mu
}

// A delivery is what the receiver was sent.
type delivery struct {
	id   string
	what string // kind and leg
}

func newInbox(t *testing.T) *inbox {
	b := &inbox{t: t}
	b.up()
	b.address = b.server.Listener.Addr().String()
	t.Cleanup(b.down)
	return b
}

func (b *inbox) up() {
	b.t.Helper()
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(b.take))
	b.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if b.address != "" {
		_ = b.server.Listener.Close()
		eventually.True(b.t, "the receiver's port is free", func() bool {
			l, err := net.Listen("tcp", b.address)
			b.server.Listener = l
			return err == nil
		})
	}
	b.server.StartTLS()
}

func (b *inbox) down() {
	if b.server != nil {
		b.server.Close()
		b.server = nil
	}
}

// trusted trusts the certificate of all receivers of httptest.
func (b *inbox) trusted() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Certificate())
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func (b *inbox) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	checker, wrong := standardwebhooks.NewWebhook(webhookKey)
	if err != nil || wrong != nil || checker.Verify(body, r.Header) != nil {
		b.t.Errorf("a request that is not signed: %v, %v", err, wrong)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var message struct {
		Data struct{ Kind, Leg string }
	}
	if err := json.Unmarshal(body, &message); err != nil {
		b.t.Errorf("%v: %s", err, body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.received = append(b.received, delivery{r.Header.Get("webhook-id"), message.Data.Kind + " " + message.Data.Leg})
	w.WriteHeader(http.StatusNoContent)
}

// all returns what was received, each id once.
func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	seen := map[string]bool{}
	for _, d := range b.received {
		if !seen[d.id] {
			list = append(list, d.what)
		}
		seen[d.id] = true
	}
	return list
}

// The receiver is down, the operator is killed, and the API server is away with three switches.
func TestEveryEventArrivesInOrder(t *testing.T) {
	needFFmpeg(t)
	t.Parallel()
	b := newInbox(t)
	w := newWorldIn(t, kubetest.StartOwn(t), func(w *world) { w.receivers = b.trusted() })
	k := w.runPods()
	w.must(w.admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "hook"},
		StringData: map[string]string{"webhookKey": webhookKey, "webhookURL": "https://" + b.address + "/"},
	}))
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		hook := v1alpha1.SecretReference{Name: "hook"}
		s.Notifications = []v1alpha1.Notification{
			{Name: "studio", URLSecretRef: &hook, KeySecretRef: hook},
			{Name: "other", URL: "https://" + b.address + "/", KeySecretRef: v1alpha1.SecretReference{Name: "missing"}},
		}
	})
	w.waitFor("sunday", "Ready=True/Ready")
	primary, backup := k.publishBoth("sunday")
	eventually.Seen(t, eventually.Patience, "the first events arrive", func() ([]string, bool) {
		return b.all(), slices.Contains(b.all(), "OnAir Primary") && slices.Contains(b.all(), "Redundant Backup")
	})
	w.waitUntilQuiet()

	b.down()
	o := k.newOutage("sunday", primary, backup)
	o.failOver("sunday", "primary", "backup")
	o.failOver("sunday", "backup", "primary")
	o.failOver("sunday", "primary", "backup")
	w.cluster.StartAPIServer(t)
	w.start()
	eventually.Seen(t, eventually.Patience, "the history has the switches", func() ([]string, bool) {
		switches := switchesOf(w.pair("sunday"))
		return switches, len(switches) == 3
	})
	// This operator has found the receiver down. The next one goes on.
	w.stop()
	w.start()
	b.up()
	var pair *v1alpha1.StreamPair
	eventually.Seen(t, 2*eventually.Patience, "the receiver has all events", func() (string, bool) {
		pair = w.pair("sunday")
		newest := pair.Status.History[0].Number
		for _, e := range pair.Status.History {
			newest = max(newest, e.Number)
		}
		s := pair.Status.Notifications[slices.IndexFunc(pair.Status.Notifications, func(s v1alpha1.NotificationStatus) bool { return s.Name == "studio" })]
		return fmt.Sprintf("%+v of %d", s, newest), s.Position == newest && s.Undelivered == 0 && s.LastStatusCode == http.StatusNoContent
	})
	byNumber := slices.Clone(pair.Status.History)
	slices.SortFunc(byNumber, func(a, b v1alpha1.HistoryEntry) int { return int(a.Number - b.Number) })
	var want []string
	for _, e := range byNumber {
		want = append(want, fmt.Sprint(e.Kind, " ", e.Leg))
	}
	if diff := cmp.Diff(want, b.all()); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	for _, s := range pair.Status.Notifications {
		if s.Name == "other" && (s.Position != 0 || s.LastStatusCode != 0 || s.LastDeliveredID != "") {
			t.Errorf("the receiver without a Secret has %+v", s)
		}
	}
	text, err := json.Marshal(pair.Status.Notifications)
	w.must(err)
	if strings.Contains(string(text), b.address) || strings.Contains(string(text), "https") {
		t.Errorf("the status tells the URL: %s", text)
	}

}
