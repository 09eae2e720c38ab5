package integration_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/publishtest"
	"github.com/streampair/streampair/hack/eventually"
)

// podUIDs returns the UIDs of the media pods, by name.
func (w *world) podUIDs() map[string]types.UID {
	m := map[string]types.UID{}
	for _, pod := range w.pods() {
		m[pod.Name] = pod.UID
	}
	return m
}

// When a pair is deleted with --cascade=orphan its pods continue, with
// their encoders. The pair that is made again adopts the pods as they are.
func TestTheMediaOfAnOrphanedPairIsNotTouched(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged")
	// The new pair will count its generations from 1 again.
	for mode := range 3 {
		w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.InputLossMilliseconds = int32(2000 + mode) })
	}
	w.waitFor("sunday", "Converged=True/Converged")
	primary, backup := k.publishBoth("sunday")
	pods := w.podUIDs()

	again := w.orphan()
	again.Spec.Failover.InputLossMilliseconds = 3000
	w.must(w.admin.Create(t.Context(), again))
	took := eventually.True(w.t, "all objects the new pair's, and applied", func() bool { return w.allOwned(again) && w.allApplied() })
	w.waitFor("sunday", "Ready=True/Ready", "OnAir=True/OnAir", "Redundant=True/Redundant", "Converged=True/Converged", "Progressing=False/UpToDate")
	t.Logf("adopted after %v", took)
	w.waitUntilQuiet()
	if now := w.podUIDs(); !maps.Equal(now, pods) {
		t.Errorf("pods %v, before %v", now, pods)
	}
	for leg, e := range map[string]*publishtest.Encoder{"primary": primary, "backup": backup} {
		select {
		case <-e.Gone:
			t.Errorf("the encoder of the %s was cut off", leg)
		default:
		}
	}
	if generation := w.pair("sunday").Generation; generation != 1 {
		t.Fatalf("generation %d: this test shows nothing", generation)
	}
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.Select = v1alpha1.SelectBackup })
	w.waitForLeg(v1alpha1.RoleBackup)
}

func (w *world) waitForLeg(role v1alpha1.Role) {
	w.t.Helper()
	eventually.True(w.t, "the "+string(role)+" on air, as it was selected", func() bool {
		active := w.pair("sunday").Status.ActiveStream
		return active != nil && active.Role == role
	})
	w.waitFor("sunday", "Converged=True/Converged", "Ready=True/Ready")
}

// A snapshot of etcd has the pair with the same UID and a lower generation.
func TestTheSpecOfARestoredEtcdIsInForce(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged")
	k.publishBoth("sunday")
	selects := func(leg v1alpha1.Selection, role v1alpha1.Role) {
		w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.Select = leg })
		w.waitForLeg(role)
	}
	selects(v1alpha1.SelectBackup, v1alpha1.RoleBackup)
	key := kubetest.EtcdKey("media.streampair.dev", "streampairs", w.namespace, "sunday")
	snapshot, generation := w.cluster.EtcdValue(t, key), w.pair("sunday").Generation
	selects(v1alpha1.SelectPrimary, v1alpha1.RolePrimary)
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.InputLossMilliseconds = 2000 })
	later := w.waitFor("sunday", "Converged=True/Converged")
	pods := w.podUIDs()

	// The old status is removed, because it says what the spec asks for.
	var stored map[string]any
	w.must(json.Unmarshal(snapshot, &stored))
	delete(stored, "status")
	snapshot, err := json.Marshal(stored)
	w.must(err)
	w.cluster.PutEtcdValue(t, key, snapshot)
	began := time.Now()
	w.waitForLeg(v1alpha1.RoleBackup)
	t.Logf("the restored spec was in force after %v", time.Since(began))
	if pair := w.pair("sunday"); pair.UID != later.UID || pair.Generation != generation || pair.Generation >= later.Generation {
		t.Errorf("UID %s, generation %d; before the restore %s and %d: this test shows nothing", pair.UID, pair.Generation, later.UID, later.Generation)
	}
	// These generations existed before, with another spec.
	selects(v1alpha1.SelectPrimary, v1alpha1.RolePrimary)
	selects(v1alpha1.SelectBackup, v1alpha1.RoleBackup)
	selects(v1alpha1.SelectPrimary, v1alpha1.RolePrimary)
	if now := w.podUIDs(); !maps.Equal(now, pods) {
		t.Errorf("pods %v, before %v", now, pods)
	}
}
