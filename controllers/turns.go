package controllers

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/streampair/streampair/api/v1alpha1"
)

// turns is which pairs are being updated by the operator: a new default image reaches some
// pairs at a time, and one that does not work stops there.
//
// A pair that has begun keeps its turn, whatever the limit: half an update is worse than
// either. Which pairs have begun is in their statuses, so that an operator that starts knows
// it before it lets any other begin.
type turns struct {
	limit   int // 0: none
	hints   *hintQueue
	metrics *Metrics

	mu      sync.Mutex
	seeded  bool                              // guarded by mu
	holding map[types.NamespacedName]struct{} // pairs that have a turn, guarded by mu
	waiting []types.NamespacedName            // pairs that want one, in order, guarded by mu
}

func newTurns(limit int, metrics *Metrics) *turns {
	return &turns{limit: limit, hints: newHintQueue(), metrics: metrics, holding: map[types.NamespacedName]struct{}{}}
}

// isSeeded says whether seed has been called.
func (t *turns) isSeeded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seeded
}

// seed takes over which of the pairs had begun when the operator before ended. The first call
// counts. Where a status says too much, the pair's next reconcile gives the turn back.
func (t *turns) seed(pairs []v1alpha1.StreamPair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seeded {
		return
	}
	t.seeded = true
	for i := range pairs {
		c := meta.FindStatusCondition(pairs[i].Status.Conditions, v1alpha1.ConditionProgressing)
		if c != nil && (c.Reason == v1alpha1.ReasonRollingOutUpdate || c.Reason == v1alpha1.ReasonWaitingForStandbyPublisher) {
			t.holding[client.ObjectKeyFromObject(&pairs[i])] = struct{}{}
		}
	}
	t.count()
}

// has says whether the pair has a turn.
func (t *turns) has(pair types.NamespacedName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, has := t.holding[pair]
	return has
}

// take gives the pair a turn if one is free, and says whether it has one now. If not, the
// pair is hinted at when one may be free.
func (t *turns) take(pair types.NamespacedName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.count()
	if _, has := t.holding[pair]; has {
		return true
	}
	if t.limit > 0 && len(t.holding) >= t.limit {
		if !slices.Contains(t.waiting, pair) {
			t.waiting = append(t.waiting, pair)
		}
		return false
	}
	t.holding[pair] = struct{}{}
	t.stopWaiting(pair)
	return true
}

// settle notes what was decided: the pair keeps its turn, has begun without one, waits, or
// needs none.
func (t *turns) settle(pair types.NamespacedName, r Rollout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.WaitsForTurn {
		return // see take
	}
	t.stopWaiting(pair)
	if r.NeedsTurn {
		t.holding[pair] = struct{}{}
	} else {
		delete(t.holding, pair)
	}
	t.count()
	for i := 0; i < len(t.waiting) && len(t.holding)+i < t.limit; i++ {
		t.hints.add(t.waiting[i])
	}
}

// forget drops a pair that is gone.
func (t *turns) forget(pair types.NamespacedName) { t.settle(pair, Rollout{}) }

// stopWaiting takes the pair out of those that wait. mu is held.
func (t *turns) stopWaiting(pair types.NamespacedName) {
	if i := slices.Index(t.waiting, pair); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
}

// count shows in the metrics how many pairs there are. mu is held.
func (t *turns) count() { t.metrics.Updates(len(t.holding), len(t.waiting)) }

// Start delivers hints until ctx ends. It is of the manager's leader.
func (t *turns) Start(ctx context.Context) error {
	t.hints.deliver(ctx)
	return nil
}

// source hints at pairs that waited, when they may begin.
func (t *turns) source() source.Source { return t.hints.source() }
