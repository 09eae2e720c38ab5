package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// reports keeps the status written last of each pair until the cache has it. Without it a
// reconcile that follows fast would compare with the status before, and write it, count it
// and record its Events again. Its zero value is ready for use.
type reports struct {
	mu    sync.Mutex
	pairs map[types.NamespacedName]reportedStatus // guarded by mu
}

type reportedStatus struct {
	uid     types.UID
	version string // of the pair with this status
	status  *v1alpha1.StreamPairStatus
}

// last returns the status that the pair has: what was written last, or what the pair says
// if it is newer, by somebody else's hand. It is not to be changed.
func (r *reports) last(pair *v1alpha1.StreamPair) *v1alpha1.StreamPairStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, known := r.pairs[client.ObjectKeyFromObject(pair)]
	if known && own.uid == pair.UID {
		if order, err := resourceversion.CompareResourceVersion(pair.ResourceVersion, own.version); err == nil && order < 0 {
			return own.status
		}
	}
	return &pair.Status
}

func (r *reports) wrote(pair *v1alpha1.StreamPair, status *v1alpha1.StreamPairStatus, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pairs == nil {
		r.pairs = map[types.NamespacedName]reportedStatus{}
	}
	r.pairs[client.ObjectKeyFromObject(pair)] = reportedStatus{pair.UID, version, status}
}

func (r *reports) forget(pair types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pairs, pair)
}

func sameStatus(a, b *v1alpha1.StreamPairStatus) bool { return equality.Semantic.DeepEqual(a, b) }
