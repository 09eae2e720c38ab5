package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

func TestARealFailoverIsReported(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	// The objects are ready although nobody publishes.
	w.waitFor("sunday", "Ready=True/Ready", "OnAir=False/NoLiveStream", "PrimaryLive=False/WaitingForPublisher",
		"BackupLive=False/WaitingForPublisher", "Redundant=False/PrimaryNotLive", "Converged=True/Converged",
		"Progressing=False/UpToDate")

	primary := k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "OnAir=True/OnAir", "PrimaryLive=True/Live")
	k.publish("sunday", "backup", "backup")
	pair := w.waitFor("sunday", "BackupLive=True/Live", "Redundant=True/Redundant")
	if a := pair.Status.ActiveStream; a == nil || a.Role != v1alpha1.RolePrimary || a.StreamID != "primary" {
		t.Fatalf("active is %+v", a)
	}
	for _, ingest := range pair.Status.Ingest {
		if ingest.State != v1alpha1.IngestLive || ingest.PodName == "" || ingest.NodeName == "" {
			t.Errorf("ingest %+v", ingest)
		}
	}

	time.Sleep(2 * time.Second)
	began := time.Now()
	primary.Kill()
	eventually.True(w.t, "the backup active", func() bool {
		pair = w.pair("sunday")
		return pair.Status.ActiveStream != nil && pair.Status.ActiveStream.Role == v1alpha1.RoleBackup
	})
	t.Logf("status.activeStream changed %v after the encoder was killed", time.Since(began).Round(time.Millisecond))
	pair = w.waitFor("sunday", "OnAir=True/OnAir", "PrimaryLive=False/InputLost", "BackupLive=True/Live", "Redundant=False/PrimaryNotLive")
	if s := pair.Status.LastSwitch; s == nil || s.From != v1alpha1.RolePrimary || s.To != v1alpha1.RoleBackup ||
		s.Reason != v1alpha1.SwitchPrimaryDisconnected {
		t.Errorf("last switch %+v", s)
	}
	eventually.True(w.t, "the Events", func() bool {
		events := w.events("sunday")
		return slices.Contains(events, v1alpha1.EventWentOnAir) && slices.Contains(events, v1alpha1.EventFailedOver) &&
			slices.Contains(events, v1alpha1.EventInputLost)
	})

	k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "PrimaryLive=True/Live", "Redundant=True/Redundant")
	eventually.True(w.t, "the Event of its return", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventInputRecovered) })
	if a := w.pair("sunday").Status.ActiveStream; a.Role != v1alpha1.RoleBackup {
		t.Errorf("a sticky pair went back by itself: %+v", a)
	}
	t.Log(w.events("sunday"))
	t.Log(describe(w.pair("sunday")))
	want := []string{"Redundant Primary", "RedundancyLost Primary", "Switched Backup", "Redundant Backup", "OnAir Primary"}
	eventually.Seen(w.t, eventually.Patience, fmt.Sprintf("the history is %q", want), func() ([]string, bool) {
		// A slow machine may start no backup within ten seconds.
		got := slices.DeleteFunc(historyOf(w.pair("sunday")), func(e string) bool { return e == "RedundancyLost Backup" })
		return got, slices.Equal(want, got)
	})
	w.metricIs("streampair_active_leg", map[string]string{"pair": "sunday", "role": "Backup"}, 1)
	w.metricIs("streampair_switches_total", map[string]string{"pair": "sunday", "reason": "PrimaryDisconnected"}, 1)
}

// historyOf returns the kinds and legs of the pair's events, the newest first.
func historyOf(pair *v1alpha1.StreamPair) []string {
	var list []string
	for _, e := range pair.Status.History {
		list = append(list, fmt.Sprint(e.Kind, " ", e.Leg))
	}
	return list
}

func (w *world) metricIs(name string, labels map[string]string, want float64) {
	w.t.Helper()
	families, err := w.metrics.Gather()
	w.must(err)
	for _, family := range families {
		for _, metric := range family.Metric {
			matched := 0
			for _, label := range metric.Label {
				if labels[label.GetName()] == label.GetValue() {
					matched++
				}
			}
			if family.GetName() != name || matched != len(labels) {
				continue
			}
			if got := metric.Gauge.GetValue() + metric.Counter.GetValue(); got != want {
				w.t.Errorf("%s%v is %v, want %v", name, labels, got, want)
			}
			return
		}
	}
	w.t.Errorf("no %s%v", name, labels)
}

func TestAnOperatorThatWasAwayCatchesUp(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	primary, _ := k.publishBoth("sunday")
	w.waitUntilQuiet()
	versions, writes := w.versions("sunday"), len(w.cluster.Writes(t, w.operator))

	w.stop()
	primary.Kill()
	time.Sleep(time.Second)
	began := time.Now()
	w.start()
	eventually.True(w.t, "the backup active", func() bool {
		a := w.pair("sunday").Status.ActiveStream
		return a != nil && a.Role == v1alpha1.RoleBackup
	})
	t.Logf("the status had caught up %v after the operator's start", time.Since(began).Round(time.Millisecond))
	w.waitFor("sunday", "PrimaryLive=False/InputLost", "BackupLive=True/Live", "OnAir=True/OnAir")
	eventually.True(w.t, "the Event", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventFailedOver) })
	w.waitUntilQuiet()
	delete(versions, "StreamPair")
	after := w.versions("sunday")
	delete(after, "StreamPair")
	if diff := cmp.Diff(versions, after); diff != "" {
		t.Errorf("objects were written to (-before +after):\n%s", diff)
	}
	for _, write := range w.cluster.Writes(t, w.operator)[writes:] {
		if write.Resource != "streampairs/status" && write.Resource != "events" {
			t.Errorf("the operator wrote %+v", write)
		}
	}
}

func TestANewPublishTokenIsEnforced(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	old := &corev1.Secret{}
	w.get("sunday-keys", old)
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Publish.TokenGeneration = 1 })
	eventually.True(w.t, "another token", func() bool {
		fresh := &corev1.Secret{}
		w.get("sunday-keys", fresh)
		return string(fresh.Data[v1alpha1.SecretKeyPublishToken]) != string(old.Data[v1alpha1.SecretKeyPublishToken])
	})
	w.waitFor("sunday", "Converged=True/Converged", "Ready=True/Ready")
	// The pods read their files again. Until then the old token may still be accepted.
	eventually.True(w.t, "the old token refused", func() bool {
		e := k.publishWith("sunday", "primary", "primary", string(old.Data[v1alpha1.SecretKeyPublishToken]))
		select {
		case <-e.Gone:
			return true
		case <-time.After(3 * time.Second):
			e.Kill()
			return false
		}
	})
	k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "PrimaryLive=True/Live")
}

func TestAPodThatIsSilentIsUnknownNotLost(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "PrimaryLive=True/Live")
	k.setBlind(true)
	time.Sleep(2 * time.Second) // a probe may be running
	k.signal("sunday-backup", syscall.SIGSTOP)
	began := time.Now()
	w.waitFor("sunday", "BackupLive=Unknown/PodUnreachable", "Converged=Unknown/PodUnreachable", "OnAir=True/OnAir")
	t.Logf("unknown after %v", time.Since(began).Round(time.Millisecond))
	k.signal("sunday-backup", syscall.SIGCONT)
	k.setBlind(false)
	w.waitFor("sunday", "BackupLive=False/WaitingForPublisher", "Converged=True/Converged")
}

func TestNodePortsAreToldToThePods(t *testing.T) {
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", func(s *v1alpha1.StreamPairSpec) {
		s.Exposure.HTTP.Type, s.Exposure.RTMP.Type, s.Exposure.WebRTC.Type = v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort, v1alpha1.ExposureNodePort
	})
	pair := w.waitFor("sunday", "Ready=True/Ready", "Exposed=True/Exposed")
	play, media := &corev1.Service{}, &corev1.Service{}
	w.get("sunday-play", play)
	w.get("sunday-primary-media", media)
	want := fmt.Sprintf("http://192.0.2.1:%d/live/play.html?", play.Spec.Ports[0].NodePort)
	if !strings.HasPrefix(pair.Status.PlaybackURL, want) {
		t.Errorf("playback URL %q, want %s…", pair.Status.PlaybackURL, want)
	}
	advertised := fmt.Sprintf("192.0.2.1:%d:%d", media.Spec.Ports[0].NodePort, media.Spec.Ports[1].NodePort)
	eventually.True(w.t, "the pod advertises "+advertised, func() bool {
		return slices.Contains(k.status("sunday", "primary").Advertised, advertised)
	})
}

// status requests the status from a leg's pod's command port, as the operator does.
func (k *kubelet) status(pair, role string) control.Status {
	k.t.Helper()
	secret := &corev1.Secret{}
	k.get(pair+"-keys", secret)
	return k.statusWith(secret, pair, role)
}

// statusWith is status with the pair's keys, for a test without an API server.
func (k *kubelet) statusWith(secret *corev1.Secret, pair, role string) control.Status {
	k.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data[v1alpha1.SecretKeyControlCert])
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: objects.ControlServerName(k.namespace, pair)}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "https://"+k.address(pair, role)+":9091/v1/status", nil)
	k.must(err)
	request.Header.Set("Authorization", "Bearer "+string(secret.Data[v1alpha1.SecretKeyClusterToken]))
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	k.must(err)
	defer response.Body.Close()
	var status control.Status
	k.must(json.NewDecoder(response.Body).Decode(&status))
	return status
}
