// Package ownership decides what an operator does about
// a pair that another operator has marked as its own.
package ownership

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Two operators that serve one pair undo each other's work without end.
// The status of a pair therefore has a mark: the Lease of the release
// whose operator serves it. Every other operator leaves the pair alone.
//
// A release that was moved has another Lease, and nobody is left to release its pairs. An
// operator finds out whether the marked operator still runs by a question in the status of one
// pair of each namespace. This needs no heartbeat and no right to read the other Lease. An
// operator that runs removes the question as soon as its watch delivers it. If nobody removes
// the question, the operator is gone and its pairs are taken over. Only an operator that has
// seen a foreign mark for a while asks. The pairs of a single operator have no such writes.
const (
	// claimAfter is how long a foreign mark must have been seen before
	// a question is asked. After an answer the wait begins again.
	claimAfter = 45 * time.Second
	// ClaimPatience is how long the other operator has to answer, because it may be restarting.
	ClaimPatience = 105 * time.Second
	// claimValid is for how long the pairs of an operator
	// that is gone are taken over without another question.
	claimValid = time.Minute
	// Recheck is how often a pair with a foreign mark is looked at.
	Recheck = 15 * time.Second
)

// An Action is what an operator does about a pair with a foreign mark.
type Action int

const (
	// LeaveAlone writes nothing.
	LeaveAlone Action = iota
	// Ask writes a question into the pair's status.
	Ask
	// TakeOver makes the pair this operator's.
	TakeOver
)

// Others are the other operators whose marks were found. The zero value is ready for use.
type Others struct {
	mu sync.Mutex
	// of has what is known of each other operator, by namespace, because
	// an operator may serve only some namespaces. Guarded by mu.
	of map[operatorKey]*operator
}

type operatorKey struct{ operator, namespace string }

// An operator is another operator in one namespace.
type operator struct {
	// alive is when the mark was first seen, or when the operator last answered.
	alive time.Time
	// asked is the pair that has had the question since askedAt.
	// version is the resource version of that pair with the question.
	asked   types.NamespacedName
	askedAt time.Time
	version string
	// gone is when the time to answer a question ran out.
	gone time.Time
}

// Decide returns what to do about a pair with a foreign mark.
func (o *Others) Decide(pair *v1alpha1.StreamPair, self string, now time.Time) Action {
	o.mu.Lock()
	defer o.mu.Unlock()
	other := o.get(pair, now)
	name := client.ObjectKeyFromObject(pair)
	claim := pair.Status.OperatorClaim
	switch {
	case !other.gone.IsZero() && now.Sub(other.gone) < claimValid:
		return TakeOver
	case claim != nil && claim.Operator == self:
		if now.Sub(claim.Time.Time) < ClaimPatience {
			other.asked, other.askedAt = name, claim.Time.Time
			return LeaveAlone
		}
		other.gone, other.asked = now, types.NamespacedName{}
		return TakeOver
	case claim != nil && now.Sub(claim.Time.Time) < ClaimPatience+claimValid:
		return LeaveAlone // a third operator asks
	case other.asked == name && older(pair.ResourceVersion, other.version):
		return LeaveAlone // the cache does not have the question yet
	case other.asked == name:
		other.asked, other.alive = types.NamespacedName{}, now // it was answered
		return LeaveAlone
	case other.asked != (types.NamespacedName{}) && now.Sub(other.askedAt) < ClaimPatience+claimValid:
		return LeaveAlone // another pair has the question
	case now.Sub(other.alive) < claimAfter:
		return LeaveAlone
	}
	return Ask
}

// get returns the operator that the pair's mark names. o.mu is held.
func (o *Others) get(pair *v1alpha1.StreamPair, now time.Time) *operator {
	key := operatorKey{pair.Status.Operator, pair.Namespace}
	other := o.of[key]
	if other == nil {
		other = &operator{alive: now}
		if o.of == nil {
			o.of = map[operatorKey]*operator{}
		}
		o.of[key] = other
	}
	return other
}

// HasAsked notes that the pair has the question.
// version is the pair's resource version with it.
func (o *Others) HasAsked(pair *v1alpha1.StreamPair, version string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	other := o.get(pair, now)
	other.asked, other.askedAt, other.version = client.ObjectKeyFromObject(pair), now, version
}

// Forget drops the question in a pair that is gone or has no foreign mark any more.
func (o *Others) Forget(pair types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, other := range o.of {
		if other.asked == pair {
			other.asked = types.NamespacedName{}
		}
	}
}

// older reports whether a version of an object is known to be older than another.
func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}
