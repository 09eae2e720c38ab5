package integration_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestARealFailoverIsReported(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	// Nobody needs to publish.
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
	primary.kill()
	w.eventually("the backup active", func() bool {
		pair = w.pair("sunday")
		return pair.Status.ActiveStream != nil && pair.Status.ActiveStream.Role == v1alpha1.RoleBackup
	})
	t.Logf("status.activeStream changed %v after the encoder was killed", time.Since(began).Round(time.Millisecond))
	pair = w.waitFor("sunday", "OnAir=True/OnAir", "PrimaryLive=False/InputLost", "BackupLive=True/Live", "Redundant=False/PrimaryNotLive")
	if s := pair.Status.LastSwitch; s == nil || s.From != v1alpha1.RolePrimary || s.To != v1alpha1.RoleBackup ||
		s.Reason != v1alpha1.SwitchPrimaryDisconnected {
		t.Errorf("last switch %+v", s)
	}
	w.eventually("the Events", func() bool {
		events := w.events("sunday")
		return slices.Contains(events, v1alpha1.EventFailedOver) && slices.Contains(events, v1alpha1.EventInputLost)
	})

	k.publish("sunday", "primary", "primary")
	w.waitFor("sunday", "PrimaryLive=True/Live", "Redundant=True/Redundant")
	w.eventually("the Event of its return", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventInputRecovered) })
	if a := w.pair("sunday").Status.ActiveStream; a.Role != v1alpha1.RoleBackup {
		t.Errorf("a sticky pair went back by itself: %+v", a)
	}
	t.Log(w.events("sunday"))
	t.Log(describe(w.pair("sunday")))
	w.metricIs("streampair_active_leg", map[string]string{"pair": "sunday", "role": "Backup"}, 1)
	w.metricIs("streampair_switches_total", map[string]string{"pair": "sunday", "reason": "PrimaryDisconnected"}, 1)
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
