package controllers

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/status"
)

// A memory is all that is kept about one pair from one reconcile to the next. An operator
// that starts has none. It belongs to the reconcile of its pair. A pair has one reconcile
// at a time, so a memory needs no lock.
type memory struct {
	uid types.UID
	// desired is what the spec asked for last, and what is known
	// of its objects. The many media events do not change it.
	desired *desired
	// written is the status written last. It counts until the cache has it. A reconcile that
	// compared with the older status of the cache would write and count the new one again,
	// and record its Events again. Nil: none was written. version is the pair's resource
	// version with it.
	written *v1alpha1.StreamPairStatus
	version string
	// secret is the pair's Secret as read at secretRead. Nil: it has to be read.
	secret     *corev1.Secret
	secretRead time.Time
	// knownStates are the last known states of the legs that are Unknown now.
	knownStates knownStates
	// unreadableSince is since when the pair's objects cannot be read. Zero: they can.
	unreadableSince time.Time
	// otherOperator is the operator that serves the pair, as last reported. Empty: this one.
	otherOperator string
}

// memories has the memory of each pair. The zero value is ready for use.
type memories struct {
	mu    sync.Mutex
	pairs map[types.NamespacedName]*memory // guarded by mu
}

// of returns the memory of a pair. A pair that
// was made again under its name has a new one.
func (m *memories) of(pair *v1alpha1.StreamPair) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := client.ObjectKeyFromObject(pair)
	if known := m.pairs[name]; known != nil && known.uid == pair.UID {
		return known
	}
	if m.pairs == nil {
		m.pairs = map[types.NamespacedName]*memory{}
	}
	m.pairs[name] = &memory{uid: pair.UID}
	return m.pairs[name]
}

func (m *memories) forget(pair types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pairs, pair)
}

// desiredOf returns what the pair's spec asks for now.
func (m *memory) desiredOf(pair *v1alpha1.StreamPair, s objects.Settings) *desired {
	if m.desired == nil || m.desired.generation != pair.Generation {
		m.desired = newDesired(pair, s)
	}
	return m.desired
}

// last returns the status that the pair has: the status written last,
// or the one in pair if that is newer. Callers must not change it.
func (m *memory) last(pair *v1alpha1.StreamPair) *v1alpha1.StreamPairStatus {
	if m.written != nil {
		if order, err := resourceversion.CompareResourceVersion(pair.ResourceVersion, m.version); err == nil && order < 0 {
			return m.written
		}
	}
	return &pair.Status
}

// before returns the last status, in which the state of an Unknown leg is the state
// known before. A leg that is lost while nobody can ask is thereby reported as lost.
func (m *memory) before(pair *v1alpha1.StreamPair) *v1alpha1.StreamPairStatus {
	return m.knownStates.in(m.last(pair))
}

// noteReadable notes that the pair's objects can be read.
func (m *memory) noteReadable() { m.unreadableSince = time.Time{} }

// noteUnreadable notes that the pair's objects cannot be read now. It returns since when.
func (m *memory) noteUnreadable(now time.Time) time.Time {
	if m.unreadableSince.IsZero() {
		m.unreadableSince = now
	}
	return m.unreadableSince
}

// knownStates are the last known states of legs that cannot be
// asked now. A leg's entry goes once the leg can be asked again.
type knownStates map[v1alpha1.Role]v1alpha1.IngestState

// in returns the status with the known states in place of Unknown.
func (k knownStates) in(last *v1alpha1.StreamPairStatus) *v1alpha1.StreamPairStatus {
	if len(k) == 0 {
		return last
	}
	last = last.DeepCopy()
	for i, leg := range last.Ingest {
		if state := k[leg.Role]; leg.State == v1alpha1.IngestUnknown && state != "" {
			last.Ingest[i].State = state
		}
	}
	return last
}

// knownStatesOf returns the known state of each leg that is Unknown in after.
// For a leg that was Unknown already, before has that state.
func knownStatesOf(before, after *v1alpha1.StreamPairStatus) knownStates {
	known := knownStates{}
	for _, role := range objects.Roles() {
		if status.IngestOf(after, role).State == v1alpha1.IngestUnknown {
			known[role] = status.IngestOf(before, role).State
		}
	}
	return known
}

func sameStatus(a, b *v1alpha1.StreamPairStatus) bool { return equality.Semantic.DeepEqual(a, b) }
