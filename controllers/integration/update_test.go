package integration_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// A pod on a lost node stays for ever, because nobody can confirm
// its end. Its leg must get another pod, now and at the next change.
func TestALostNodeHoldsNoRollout(t *testing.T) {
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
	lost := w.podNames("sunday")
	k.loseNode(lost["primary"])
	took := eventually.True(w.t, "another pod", func() bool {
		name := w.podNames("sunday")["primary"]
		return name != "" && name != lost["primary"] && w.pair("sunday").Status.Ingest[0].PodName == name
	})
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged", "Progressing=False/UpToDate")
	t.Logf("replaced %v after the eviction", took.Round(time.Millisecond))
	second := w.podNames("sunday")
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { seconds := int32(31); s.MediaServer.DrainTimeoutSeconds = &seconds })
	took = eventually.True(w.t, "both replaced", func() bool {
		now := w.podNames("sunday")
		return len(now) == 2 && now["primary"] != second["primary"] && now["backup"] != second["backup"]
	})
	t.Logf("rolled within %v", took.Round(time.Millisecond))
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged", "Progressing=False/UpToDate")
	if !w.get(lost["primary"], &corev1.Pod{}) {
		t.Error("the lost pod is gone: it held nothing up")
	}
}

// One pair at a time gets a new default image, even if the operator is replaced meanwhile.
func TestUpdatesTakeTurns(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t, func(w *world) { w.settings.MaxConcurrentRollouts = 1 })
	k := w.runPods()
	w.create("monday", func(s *v1alpha1.StreamPairSpec) { s.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
	w.create("friday", nil)
	w.waitFor("monday", "Ready=True/Ready")
	w.waitFor("friday", "Ready=True/Ready")
	k.publish("monday", "primary", "primary")
	encoder := k.publish("friday", "primary", "primary")
	w.waitFor("monday", "PrimaryLive=True/Live", "Progressing=False/UpToDate")
	w.waitFor("friday", "PrimaryLive=True/Live", "Progressing=False/UpToDate")
	before := w.podNames("friday")
	w.stop()
	w.settings.Objects.DefaultImage = "media:2"
	w.start()
	// The pair monday has begun and waits for its standby. The pair friday
	// waits until nobody publishes or watches, and then for monday.
	w.waitFor("monday", "Progressing=False/WaitingForStandbyPublisher")
	w.waitFor("friday", "Progressing=False/WaitingForIdle")
	encoder.Kill()
	w.waitFor("friday", "Progressing=False/WaitingForOtherRollouts")
	w.stop()
	w.start()
	time.Sleep(3 * time.Second)
	w.waitFor("friday", "Progressing=False/WaitingForOtherRollouts")
	if now := w.podNames("friday"); now["primary"] != before["primary"] || now["backup"] != before["backup"] {
		t.Errorf("friday is updated beside monday: pods were %v and are %v", before, now)
	}
	k.publish("monday", "backup", "backup")
	took := eventually.True(w.t, "friday updated", func() bool {
		now := w.podNames("friday")
		return len(now) == 2 && now["primary"] != before["primary"] && now["backup"] != before["backup"]
	})
	t.Logf("friday was updated %v after monday's standby was back", took.Round(time.Millisecond))
	w.waitFor("monday", "Progressing=False/UpToDate", "Ready=True/Ready", "OnAir=True/OnAir")
	w.waitFor("friday", "Progressing=False/UpToDate", "Ready=True/Ready")
}
