package rollout

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/metrics"
)

// Turns knows which pairs the operator is updating. A new default image reaches
// only some pairs at a time. If the image does not work, the update stops there.
//
// A pair that has begun keeps its turn, whatever the limit, because half an
// update is worse than none or all. The statuses of pairs say which pairs have
// begun. A starting operator reads them before it lets any other pair begin.
type Turns struct {
	limit   int // 0: none
	hints   *hints.Queue
	metrics *metrics.Metrics

	mu      sync.Mutex
	seeded  bool                              // whether Seed has been called; guarded by mu
	holding map[types.NamespacedName]struct{} // pairs that have a turn; guarded by mu
	waiting []types.NamespacedName            // pairs that want a turn, in order; guarded by mu
}

// NewTurns returns Turns for at most limit pairs at a time; 0: no limit. No pair has a turn yet.
func NewTurns(limit int, metrics *metrics.Metrics) *Turns {
	return &Turns{limit: limit, hints: hints.NewQueue(), metrics: metrics, holding: map[types.NamespacedName]struct{}{}}
}

// IsSeeded reports whether Seed has been called.
func (t *Turns) IsSeeded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seeded
}

// Seed gives a turn to each pair that had begun when the previous operator ended. Only the
// first call counts. If a status is out of date, the pair's next reconcile gives the turn back.
func (t *Turns) Seed(pairs []v1alpha1.StreamPair) {
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

// Has reports whether the pair has a turn.
func (t *Turns) Has(pair types.NamespacedName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, has := t.holding[pair]
	return has
}

// Take gives the pair a turn if one is free, and reports whether the pair
// has one now. If not, the pair is hinted at once a turn may be free.
func (t *Turns) Take(pair types.NamespacedName) bool {
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

// Note notes the decision about a pair: it keeps its
// turn, has begun without one, waits, or needs none.
func (t *Turns) Note(pair types.NamespacedName, r Rollout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.WaitsForTurn {
		return // see Take
	}
	t.stopWaiting(pair)
	if r.NeedsTurn {
		t.holding[pair] = struct{}{}
	} else {
		delete(t.holding, pair)
	}
	t.count()
	for i := 0; i < len(t.waiting) && len(t.holding)+i < t.limit; i++ {
		t.hints.Add(t.waiting[i])
	}
}

// Forget drops a pair that is gone.
func (t *Turns) Forget(pair types.NamespacedName) { t.Note(pair, Rollout{}) }

// stopWaiting removes the pair from the waiting ones. mu is held.
func (t *Turns) stopWaiting(pair types.NamespacedName) {
	if i := slices.Index(t.waiting, pair); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
}

// count shows in the metrics how many pairs have a turn and how many wait. mu is held.
func (t *Turns) count() { t.metrics.Updates(len(t.holding), len(t.waiting)) }

// Start delivers hints until ctx ends. Only the manager's leader runs it.
func (t *Turns) Start(ctx context.Context) error {
	t.hints.Deliver(ctx)
	return nil
}

// Source hints at waiting pairs when they may begin.
func (t *Turns) Source() source.Source { return t.hints.Source() }
