package pods

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Source makes a controller reconcile a pair when one of its pods connects
// or is lost, and again when the pod has been lost for UnreachableAfter. It
// also does so when a pod reports a change that the pair's status shows.
func (p *Streams) Source() source.Source { return p.hints.Source() }

// expectAgain hints at the pair once more if the pod stays
// away until it counts as unreachable. Streams.mu is held.
func (p *Streams) expectAgain(d *pod) {
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

// hint adds the pair to the queue.
func (p *Streams) hint(pair types.NamespacedName) { p.hints.Add(pair) }
