package controllers

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

func namedPair(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "live", Name: name}
}

// What a pair decided, for turns.
var (
	updating = Rollout{NeedsTurn: true}
	waiting  = Rollout{NeedsTurn: true, WaitsForTurn: true}
	done     = Rollout{}
)

func TestAsManyPairsAreUpdatedAsTheLimitSays(t *testing.T) {
	registry := prometheus.NewRegistry()
	turns := newTurns(2, NewMetrics(registry))
	monday, tuesday, friday := namedPair("monday"), namedPair("tuesday"), namedPair("friday")
	for _, pair := range []types.NamespacedName{monday, tuesday} {
		if !turns.take(pair) {
			t.Fatalf("%s waits, though nobody else is there", pair)
		}
		turns.settle(pair, updating)
	}
	for range 2 { // asking twice is waiting once
		if turns.take(friday) {
			t.Fatal("a third pair is updated")
		}
		turns.settle(friday, waiting)
	}
	want := map[string]float64{"state=running": 2, "state=waiting": 1}
	if diff := cmp.Diff(want, gathered(t, registry, "streampair_updates")); diff != "" {
		t.Errorf("metrics -want +got:\n%s", diff)
	}
	if !turns.take(monday) || !turns.has(monday) || turns.has(friday) {
		t.Error("who has a turn does not keep it, or who waits has one")
	}
	if hinted := hintedBy(t, turns); len(hinted) > 0 {
		t.Errorf("%v are hinted at though no turn is free", hinted)
	}
	turns.settle(tuesday, done)
	if diff := cmp.Diff([]types.NamespacedName{friday}, hintedBy(t, turns)); diff != "" {
		t.Errorf("hinted at -want +got:\n%s", diff)
	}
	if !turns.take(friday) {
		t.Error("a turn is free and not given")
	}
	turns.settle(friday, updating)
	// A pair that has begun goes on, whatever the limit; one that is deleted frees its turn.
	turns.settle(tuesday, updating)
	if !turns.has(tuesday) || turns.take(namedPair("saturday")) {
		t.Error("a pair that has begun is not counted")
	}
	turns.forget(monday)
	turns.forget(friday)
	if !turns.take(namedPair("saturday")) {
		t.Error("pairs that are gone keep their turns")
	}
}

// hintedBy returns the pairs in the queue of hints, and empties it.
func hintedBy(t *testing.T, turns *turns) []types.NamespacedName {
	t.Helper()
	q := turns.hints
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queue
	q.queue = nil
	clear(q.queued)
	return queue
}

func TestWithoutALimitNobodyWaits(t *testing.T) {
	turns := newTurns(0, NewMetrics(prometheus.NewRegistry()))
	for i := range 100 {
		if !turns.take(namedPair(fmt.Sprintf("pair%d", i))) {
			t.Fatalf("pair %d waits", i)
		}
	}
}

// An operator that starts meets the pairs in any order: one that has not begun must not get
// the turn of one that has.
func TestTurnsOutliveTheOperator(t *testing.T) {
	pair := func(name, reason string) v1alpha1.StreamPair {
		return v1alpha1.StreamPair{
			ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: name},
			Status:     v1alpha1.StreamPairStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionProgressing, Reason: reason}}},
		}
	}
	turns := newTurns(2, NewMetrics(prometheus.NewRegistry()))
	if turns.isSeeded() {
		t.Fatal("it knows the pairs before it has been told")
	}
	turns.seed([]v1alpha1.StreamPair{
		pair("monday", v1alpha1.ReasonRollingOutUpdate), pair("tuesday", v1alpha1.ReasonWaitingForStandbyPublisher),
		pair("wednesday", v1alpha1.ReasonRollingOut), pair("thursday", v1alpha1.ReasonWaitingForIdle),
		pair("friday", v1alpha1.ReasonWaitingForOtherRollouts), {ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "new"}},
	})
	turns.seed([]v1alpha1.StreamPair{pair("saturday", v1alpha1.ReasonRollingOutUpdate)}) // another worker, a moment later
	for name, want := range map[string]bool{"monday": true, "tuesday": true, "wednesday": false, "thursday": false, "friday": false, "saturday": false} {
		if got := turns.has(namedPair(name)); got != want {
			t.Errorf("%s has a turn: %v, want %v", name, got, want)
		}
	}
	if turns.take(namedPair("friday")) {
		t.Error("friday is updated beside two that had begun")
	}
	turns.settle(namedPair("tuesday"), done) // it waited with a change of its spec
	if !turns.take(namedPair("friday")) {
		t.Error("friday waits for nobody")
	}
}

// The workers of the controller share the turns.
func TestTurnsAreCountedRightAmongWorkers(t *testing.T) {
	const limit, pairs = 3, 40
	turns := newTurns(limit, NewMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(t.Context())
	var delivering sync.WaitGroup
	delivering.Go(func() { _ = turns.Start(ctx) })
	var running, most, through atomic.Int32
	var updated sync.Map
	reconciles := map[types.NamespacedName]*sync.Mutex{} // of a pair there is one at a time
	for i := range pairs {
		reconciles[namedPair(fmt.Sprintf("pair%d", i))] = &sync.Mutex{}
	}
	update := func(pair types.NamespacedName) {
		reconciles[pair].Lock()
		defer reconciles[pair].Unlock()
		if !turns.take(pair) {
			turns.settle(pair, waiting)
			return
		}
		n := running.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Millisecond)
		running.Add(-1)
		if _, twice := updated.LoadOrStore(pair, true); !twice {
			through.Add(1)
		}
		turns.settle(pair, done)
	}
	var workers sync.WaitGroup
	for i := range pairs {
		workers.Go(func() { update(namedPair(fmt.Sprintf("pair%d", i))) })
	}
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case e := <-turns.hints.hints:
					update(e.Object)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); through.Load() < pairs; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d pairs are through: the others were not hinted at", through.Load(), pairs)
		}
	}
	cancel()
	workers.Wait()
	delivering.Wait()
	if most.Load() > limit {
		t.Errorf("%d pairs at a time, and the limit is %d", most.Load(), limit)
	}
	t.Logf("at most %d at a time", most.Load())
}

// What the status says is by what the next operator knows.
func TestAnUpdateIsTold(t *testing.T) {
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
	s.objects.DefaultImage = "media:next"
	progressing := func() string { status, _ := s.report(); return shown(status)["Progressing"] }
	if got := progressing(); got != "False/WaitingForOtherRollouts" {
		t.Errorf("not its turn: Progressing is %s", got)
	}
	if plan := s.decide(); len(written(plan)) > 0 {
		t.Errorf("not its turn: writes %v", written(plan))
	}
	s.seen.Turn = true
	if got := progressing(); got != "True/RollingOutUpdate" {
		t.Errorf("its turn: Progressing is %s", got)
	}
	if diff := cmp.Diff([]string{"apply Deployment sunday-backup"}, written(s.decide())); diff != "" {
		t.Errorf("its turn: writes -want +got:\n%s", diff)
	}
}

// The pod before may hold the encoder for as long as it drains: the leg on air must not go
// before the encoder has come to the new pod.
func TestALegIsBackWhenItsNewPodHasTheMedia(t *testing.T) {
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.PriorityClassName = "before" })
	s.pair.Spec.MediaServer.PriorityClassName = "now"
	before := s.seen.Objects[ObjectKey{KindDeployment, "sunday-primary"}]
	s.settle() // the backup's Deployment is written
	s.seen.Objects[ObjectKey{KindDeployment, "sunday-primary"}] = before
	s.at(rolePrimary).Annotations[AnnotationTemplateHash] = "before"
	old := s.seen.Pods[roleBackup][0]
	old.Pod = old.DeepCopy()
	now := metav1.NewTime(s.now)
	old.DeletionTimestamp, old.Annotations[AnnotationTemplateHash] = &now, "before"
	fresh := s.pod(roleBackup, 1)
	fresh.Name, fresh.UID = "sunday-backup-2", "backup-2"
	*legOf(&fresh.State.Status.Pairs[0], roleBackup) = control.Leg{Role: "Backup", StreamID: "backup", Rank: "None", LossReason: control.LossNotPublished}
	s.seen.Pods[roleBackup] = []ObservedPod{old, fresh}
	if r := s.decide().Rollout; !r.WaitsForStandby || r.mayWrite(rolePrimary) {
		t.Errorf("the encoder is at the pod that ends: %+v", r)
	}
	*legOf(&fresh.State.Status.Pairs[0], roleBackup) = *legOf(s.reports(rolePrimary), roleBackup)
	if r := s.decide().Rollout; !r.mayWrite(rolePrimary) {
		t.Errorf("the encoder is at the new pod: %+v", r)
	}
	legOf(&fresh.State.Status.Pairs[0], roleBackup).EntryPoint = false
	if r := s.decide().Rollout; r.mayWrite(rolePrimary) {
		t.Errorf("the encoder has sent no key frame yet: %+v", r)
	}
}
