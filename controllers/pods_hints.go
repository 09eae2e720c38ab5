package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Source makes a controller reconcile a pair when one of its pods connects, is lost, has
// been lost for UnreachableAfter, or reports what the pair's status shows. It is a hint to
// look, never the data, and there is one for any number of changes until it is taken.
func (p *Pods) Source() source.Source {
	return source.Channel(p.hints, handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			q.Add(reconcile.Request{NamespacedName: e.Object})
		},
	})
}

// expectAgain hints at the pair once more if the pod stays away. Pods.mu is held.
func (p *Pods) expectAgain(d *pod) {
	if d.overdue != nil {
		d.overdue.Reset(p.times.unreachable)
		return
	}
	d.overdue = time.AfterFunc(p.times.unreachable, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !d.gone && !d.state.Connected {
			p.hint(d.key.pair())
		}
	})
}

// hint puts the pair into the queue. Pods.mu is held.
func (p *Pods) hint(pair types.NamespacedName) {
	if _, ok := p.queued[pair]; ok {
		return
	}
	p.queued[pair] = struct{}{}
	p.queue = append(p.queue, pair)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// deliver sends the queue to Source, one at a time, until ctx ends. A pair leaves the queue
// before it is sent: what changes meanwhile is sent as one more hint.
func (p *Pods) deliver(ctx context.Context) {
	for {
		p.mu.Lock()
		var next *types.NamespacedName
		if len(p.queue) > 0 {
			next = &p.queue[0]
			p.queue = p.queue[1:]
			delete(p.queued, *next)
		}
		p.mu.Unlock()
		if next == nil {
			select {
			case <-p.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case p.hints <- event.TypedGenericEvent[types.NamespacedName]{Object: *next}:
		case <-ctx.Done():
			return
		}
	}
}
