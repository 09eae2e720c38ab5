// Package hints says when to reconcile a pair again:
// now, through a [Queue], or after some time.
package hints

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// A Queue makes a controller reconcile pairs. A hint carries no data, and one
// hint stands for any number of changes until it is taken. The queue therefore
// never has more entries than there are pairs, however slow the reconciler is.
type Queue struct {
	hints chan event.TypedGenericEvent[types.NamespacedName]
	wake  chan struct{} // has an element if queue has

	mu     sync.Mutex
	queue  []types.NamespacedName            // guarded by mu
	queued map[types.NamespacedName]struct{} // the same as a set, guarded by mu
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{
		hints: make(chan event.TypedGenericEvent[types.NamespacedName]), wake: make(chan struct{}, 1),
		queued: map[types.NamespacedName]struct{}{},
	}
}

// Source makes a controller reconcile the pairs that Deliver sends.
func (q *Queue) Source() source.Source {
	return source.Channel(q.Delivered(), handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			q.Add(reconcile.Request{NamespacedName: e.Object})
		},
	})
}

// Add adds the pair to the queue, unless it is there.
func (q *Queue) Add(pair types.NamespacedName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.queued[pair]; ok {
		return
	}
	q.queued[pair] = struct{}{}
	q.queue = append(q.queue, pair)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next removes the pair that has been in the queue
// longest and returns it; false: the queue is empty.
func (q *Queue) Next() (types.NamespacedName, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		return types.NamespacedName{}, false
	}
	next := q.queue[0]
	q.queue = q.queue[1:]
	delete(q.queued, next)
	return next, true
}

// Delivered returns the channel to which Deliver sends hints, and from which Source reads them.
func (q *Queue) Delivered() <-chan event.TypedGenericEvent[types.NamespacedName] { return q.hints }

// Deliver sends the pairs of the queue to Source, one at a time, until ctx ends. A
// pair leaves the queue before it is sent, so that a later change sends another hint.
func (q *Queue) Deliver(ctx context.Context) {
	for {
		next, found := q.Next()
		if !found {
			select {
			case <-q.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case q.hints <- event.TypedGenericEvent[types.NamespacedName]{Object: next}:
		case <-ctx.Done():
			return
		}
	}
}

// Earliest returns the shorter of two waits; 0 means no wait.
func Earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
