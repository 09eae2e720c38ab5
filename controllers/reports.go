package controllers

import (
	"sync"
	"time"

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
	blind map[types.NamespacedName]time.Time      // since when they can't be read, guarded by mu
	// heard are the states of legs that are Unknown now: what they were before. Guarded by mu.
	heard map[types.NamespacedName]heardStates
}

// heardStates are of legs that can't be asked now. It outlives the pair in the map only until
// they can.
type heardStates map[v1alpha1.Role]v1alpha1.IngestState

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
	delete(r.blind, pair)
	delete(r.heard, pair)
}

// before returns the last status with what was known of legs before they could not be asked:
// what is lost while nobody can ask is lost all the same.
func (r *reports) before(pair *v1alpha1.StreamPair) *v1alpha1.StreamPairStatus {
	last := r.last(pair)
	r.mu.Lock()
	defer r.mu.Unlock()
	return recalled(last, r.heard[client.ObjectKeyFromObject(pair)])
}

// recalled returns the status with the states that were heard last in place of Unknown.
func recalled(last *v1alpha1.StreamPairStatus, heard heardStates) *v1alpha1.StreamPairStatus {
	if len(heard) == 0 {
		return last
	}
	last = last.DeepCopy()
	for i, leg := range last.Ingest {
		if state := heard[leg.Role]; leg.State == v1alpha1.IngestUnknown && state != "" {
			last.Ingest[i].State = state
		}
	}
	return last
}

// remember notes the states before Unknown. before has them for legs that were Unknown
// already.
func (r *reports) remember(pair types.NamespacedName, before, after *v1alpha1.StreamPairStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.heard, pair)
	for _, role := range Roles() {
		if ingestOf(after, role).State != v1alpha1.IngestUnknown {
			continue
		}
		if r.heard == nil {
			r.heard = map[types.NamespacedName]heardStates{}
		}
		if r.heard[pair] == nil {
			r.heard[pair] = heardStates{}
		}
		r.heard[pair][role] = ingestOf(before, role).State
	}
}

// blindSince returns since when the pair can't be read, and notes that it can't.
func (r *reports) blindSince(pair *v1alpha1.StreamPair, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(pair)
	if since, blind := r.blind[name]; blind {
		return since
	}
	if r.blind == nil {
		r.blind = map[types.NamespacedName]time.Time{}
	}
	r.blind[name] = now
	return now
}

// sees notes that the pair can be read.
func (r *reports) sees(pair *v1alpha1.StreamPair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blind, client.ObjectKeyFromObject(pair))
}

func sameStatus(a, b *v1alpha1.StreamPairStatus) bool { return equality.Semantic.DeepEqual(a, b) }
