package controllers

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

// A hintQueue makes a controller reconcile pairs. A hint is to look, never the data, and
// there is one for any number of changes until it is taken: the queue is no longer than
// there are pairs, however slow the reconciler is.
type hintQueue struct {
	hints chan event.TypedGenericEvent[types.NamespacedName]
	wake  chan struct{} // has an element if queue has

	mu     sync.Mutex
	queue  []types.NamespacedName            // guarded by mu
	queued map[types.NamespacedName]struct{} // the same as a set, guarded by mu
}

func newHintQueue() *hintQueue {
	return &hintQueue{
		hints: make(chan event.TypedGenericEvent[types.NamespacedName]), wake: make(chan struct{}, 1),
		queued: map[types.NamespacedName]struct{}{},
	}
}

func (q *hintQueue) source() source.Source {
	return source.Channel(q.hints, handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			q.Add(reconcile.Request{NamespacedName: e.Object})
		},
	})
}

// add puts the pair into the queue.
func (q *hintQueue) add(pair types.NamespacedName) {
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

// deliver sends the queue to source, one at a time, until ctx ends. A pair leaves the queue
// before it is sent: what changes meanwhile is sent as one more hint.
func (q *hintQueue) deliver(ctx context.Context) {
	for {
		q.mu.Lock()
		var next *types.NamespacedName
		if len(q.queue) > 0 {
			next = &q.queue[0]
			q.queue = q.queue[1:]
			delete(q.queued, *next)
		}
		q.mu.Unlock()
		if next == nil {
			select {
			case <-q.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case q.hints <- event.TypedGenericEvent[types.NamespacedName]{Object: *next}:
		case <-ctx.Done():
			return
		}
	}
}

// Source makes a controller reconcile a pair when one of its pods connects, is lost, has
// been lost for UnreachableAfter, or reports what the pair's status shows.
func (p *Pods) Source() source.Source { return p.hints.source() }

// expectAgain hints at the pair once more if the pod stays away. Pods.mu is held.
func (p *Pods) expectAgain(d *pod) {
	wait := max(0, p.times.unreachable-time.Since(d.state.Since))
	if d.overdue != nil {
		d.overdue.Reset(wait)
		return
	}
	d.overdue = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !d.gone && !d.state.Connected {
			p.hint(d.key.pair())
		}
	})
}

// hint puts the pair into the queue.
func (p *Pods) hint(pair types.NamespacedName) { p.hints.add(pair) }
