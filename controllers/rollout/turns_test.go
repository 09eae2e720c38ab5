package rollout

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

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/metrics/metricstest"
	"github.com/streampair/streampair/hack/eventually"
)

func namedPair(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "live", Name: name}
}

// Decisions about a pair, for Note.
var (
	updating = Rollout{NeedsTurn: true}
	waiting  = Rollout{NeedsTurn: true, WaitsForTurn: true}
	done     = Rollout{}
)

func TestAsManyPairsAreUpdatedAsTheLimitSays(t *testing.T) {
	registry := prometheus.NewRegistry()
	turns := NewTurns(2, metrics.New(registry))
	monday, tuesday, friday := namedPair("monday"), namedPair("tuesday"), namedPair("friday")
	for _, pair := range []types.NamespacedName{monday, tuesday} {
		if !turns.Take(pair) {
			t.Fatalf("%s waits, though nobody else is there", pair)
		}
		turns.Note(pair, updating)
	}
	for range 2 { // asking twice is waiting once
		if turns.Take(friday) {
			t.Fatal("a third pair is updated")
		}
		turns.Note(friday, waiting)
	}
	want := map[string]float64{"state=running": 2, "state=waiting": 1}
	if diff := cmp.Diff(want, metricstest.Gathered(t, registry, "streampair_updates")); diff != "" {
		t.Errorf("metrics -want +got:\n%s", diff)
	}
	if !turns.Take(monday) || !turns.Has(monday) || turns.Has(friday) {
		t.Error("who has a turn does not keep it, or who waits has one")
	}
	if hinted := hintedBy(turns); len(hinted) > 0 {
		t.Errorf("%v are hinted at though no turn is free", hinted)
	}
	turns.Note(tuesday, done)
	if diff := cmp.Diff([]types.NamespacedName{friday}, hintedBy(turns)); diff != "" {
		t.Errorf("hinted at -want +got:\n%s", diff)
	}
	if !turns.Take(friday) {
		t.Error("a turn is free and not given")
	}
	turns.Note(friday, updating)
	// A pair that has begun continues, whatever the limit. A deleted pair frees its turn.
	turns.Note(tuesday, updating)
	if !turns.Has(tuesday) || turns.Take(namedPair("saturday")) {
		t.Error("a pair that has begun is not counted")
	}
	turns.Forget(monday)
	turns.Forget(friday)
	if !turns.Take(namedPair("saturday")) {
		t.Error("pairs that are gone keep their turns")
	}
}

// hintedBy returns the pairs in the queue of hints, and empties it.
func hintedBy(turns *Turns) []types.NamespacedName {
	var hinted []types.NamespacedName
	for pair, found := turns.hints.Next(); found; pair, found = turns.hints.Next() {
		hinted = append(hinted, pair)
	}
	return hinted
}

func TestWithoutALimitNobodyWaits(t *testing.T) {
	turns := NewTurns(0, metrics.New(prometheus.NewRegistry()))
	for i := range 100 {
		if !turns.Take(namedPair(fmt.Sprintf("pair%d", i))) {
			t.Fatalf("pair %d waits", i)
		}
	}
}

// A starting operator meets the pairs in any order. A pair
// that has not begun must not get the turn of one that has.
func TestTurnsOutliveTheOperator(t *testing.T) {
	pair := func(name, reason string) v1alpha1.StreamPair {
		return v1alpha1.StreamPair{
			ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: name},
			Status:     v1alpha1.StreamPairStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionProgressing, Reason: reason}}},
		}
	}
	turns := NewTurns(2, metrics.New(prometheus.NewRegistry()))
	if turns.IsSeeded() {
		t.Fatal("it knows the pairs before it has been told")
	}
	turns.Seed([]v1alpha1.StreamPair{
		pair("monday", v1alpha1.ReasonRollingOutUpdate), pair("tuesday", v1alpha1.ReasonWaitingForStandbyPublisher),
		pair("wednesday", v1alpha1.ReasonRollingOut), pair("thursday", v1alpha1.ReasonWaitingForIdle),
		pair("friday", v1alpha1.ReasonWaitingForOtherRollouts), {ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "new"}},
	})
	turns.Seed([]v1alpha1.StreamPair{pair("saturday", v1alpha1.ReasonRollingOutUpdate)}) // another worker, a moment later
	for name, want := range map[string]bool{"monday": true, "tuesday": true, "wednesday": false, "thursday": false, "friday": false, "saturday": false} {
		if got := turns.Has(namedPair(name)); got != want {
			t.Errorf("%s has a turn: %v, want %v", name, got, want)
		}
	}
	if turns.Take(namedPair("friday")) {
		t.Error("friday is updated beside two that had begun")
	}
	turns.Note(namedPair("tuesday"), done) // it waited with a change of its spec
	if !turns.Take(namedPair("friday")) {
		t.Error("friday waits for nobody")
	}
}

// All workers of the controller share the turns.
func TestTurnsAreCountedRightAmongWorkers(t *testing.T) {
	const limit, pairs = 3, 40
	turns := NewTurns(limit, metrics.New(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(t.Context())
	var delivering sync.WaitGroup
	delivering.Go(func() { _ = turns.Start(ctx) })
	var running, most, through atomic.Int32
	var updated sync.Map
	reconciles := map[types.NamespacedName]*sync.Mutex{} // a pair has one reconcile at a time
	for i := range pairs {
		reconciles[namedPair(fmt.Sprintf("pair%d", i))] = &sync.Mutex{}
	}
	update := func(pair types.NamespacedName) {
		reconciles[pair].Lock()
		defer reconciles[pair].Unlock()
		if !turns.Take(pair) {
			turns.Note(pair, waiting)
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
		turns.Note(pair, done)
	}
	var workers sync.WaitGroup
	for i := range pairs {
		workers.Go(func() { update(namedPair(fmt.Sprintf("pair%d", i))) })
	}
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case e := <-turns.hints.Delivered():
					update(e.Object)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	eventually.Seen(t, eventually.Patience, fmt.Sprintf("all %d pairs are hinted at, and through", pairs), func() (int32, bool) {
		return through.Load(), through.Load() == pairs
	})
	cancel()
	workers.Wait()
	delivering.Wait()
	if most.Load() > limit {
		t.Errorf("%d pairs at a time, and the limit is %d", most.Load(), limit)
	}
	t.Logf("at most %d at a time", most.Load())
}
