package observed

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/pods"
)

// Reach is how much the operator knows of a leg's pod.
type Reach int

const (
	// ReachNone means that no pod of the leg can report anything.
	ReachNone Reach = iota
	// ReachStarting means that there is a ready pod, but this operator has
	// not heard it yet. What was reported before stays. A starting operator
	// must not report streams as gone because it has not asked yet.
	ReachStarting
	// ReachLost means that the pod has been silent for UnreachableAfter. The pod may
	// still serve viewers. Its state is therefore unknown, which is not a failure.
	ReachLost
	// ReachOpen means that the pod reports its state, or that
	// it is ready and reported less than UnreachableAfter ago.
	ReachOpen
)

// A Leg is what is known of one leg, from the pod that speaks for it.
type Leg struct {
	Role  v1alpha1.Role
	Pod   *Pod // the pod that speaks for the leg; nil: there is none
	Ready bool // a pod of the leg that is not ending is ready
	Reach Reach
	// Status, Pair and Own are set with ReachOpen. Pair
	// and Own are only set if the pod knows the pair.
	Status *control.Status
	Pair   *control.Pair
	Own    *control.Leg // the pod's own leg
}

// Legs are both legs of a pair.
type Legs struct{ Primary, Backup Leg }

// Of returns the leg of that role.
func (v *Legs) Of(role v1alpha1.Role) *Leg {
	if role == v1alpha1.RoleBackup {
		return &v.Backup
	}
	return &v.Primary
}

// Each returns both legs, the primary first.
func (v *Legs) Each() [2]*Leg { return [2]*Leg{&v.Primary, &v.Backup} }

// ViewLegs sums up the pods of both legs at now.
func ViewLegs(pair *v1alpha1.StreamPair, seen *Pair, now time.Time) *Legs {
	return &Legs{
		Primary: viewLeg(pair, v1alpha1.RolePrimary, seen.Pods[v1alpha1.RolePrimary], now),
		Backup:  viewLeg(pair, v1alpha1.RoleBackup, seen.Pods[v1alpha1.RoleBackup], now),
	}
}

func viewLeg(pair *v1alpha1.StreamPair, role v1alpha1.Role, pods []Pod, now time.Time) Leg {
	best := Leg{Role: role}
	ready := false
	for i := range pods {
		one := ViewPod(pair, role, &pods[i], now)
		ready = ready || one.Ready
		if best.Pod == nil || one.outranks(best) {
			best = one
		}
	}
	best.Ready = ready
	return best
}

// ViewPod returns what is known of a leg from one of its pods at now.
func ViewPod(pair *v1alpha1.StreamPair, role v1alpha1.Role, pod *Pod, now time.Time) Leg {
	v := Leg{Role: role, Pod: pod, Ready: IsReady(pod.Pod) && pod.DeletionTimestamp.IsZero()}
	silent := !pod.State.Connected && !pod.State.Since.IsZero() && now.Sub(pod.State.Since) >= pods.UnreachableAfter
	switch {
	case HasEnded(pod.Pod):
		return v
	case pod.State.Connected && pod.State.Status != nil:
		v.Reach = ReachOpen
	case !IsReady(pod.Pod):
		return v // it has ended or its node is gone, so its last report is outdated
	case pod.State.Status != nil && !silent:
		v.Reach = ReachOpen
	case silent:
		v.Reach = ReachLost
		return v
	default:
		v.Reach = ReachStarting
		return v
	}
	v.Status = pod.State.Status
	if v.Pair = DeclaredPair(pair, v.Status); v.Pair != nil {
		v.Own = LegOf(v.Pair, role)
	}
	return v
}

// DeclaredPair returns the pair as a pod reports it; nil: the pod does not know it.
func DeclaredPair(pair *v1alpha1.StreamPair, status *control.Status) *control.Pair {
	if status == nil {
		return nil
	}
	for i := range status.Pairs {
		if p := &status.Pairs[i]; p.Declared && p.Name == pair.Name {
			return p
		}
	}
	return nil
}

// outranks reports whether v's pod speaks for the leg rather than o's, while one of
// them is ending or starting. A pod with the encoder's media comes first, then one that
// is not ending, then a ready one, then the better reached one, then the newer one.
func (v Leg) outranks(o Leg) bool {
	switch {
	case v.Live() != o.Live():
		return v.Live()
	case v.Pod.DeletionTimestamp.IsZero() != o.Pod.DeletionTimestamp.IsZero():
		return v.Pod.DeletionTimestamp.IsZero()
	case v.Ready != o.Ready:
		return v.Ready
	case v.Reach != o.Reach:
		return v.Reach > o.Reach
	}
	return o.Pod.CreationTimestamp.Before(&v.Pod.CreationTimestamp)
}

// Live reports whether the leg's media arrives.
func (v *Leg) Live() bool { return v.Own != nil && v.Own.Live }

// Full reports whether all the media arrives that the encoder announced.
func (v *Leg) Full() bool { return v.Live() && v.Own.Rank == RankFull && v.Own.EntryPoint }

// RankFull is the control.Leg.Rank of a leg that lacks nothing.
const RankFull = "Full"

// Playing returns the leg that this leg's pod plays to its
// viewers. Empty: the pod plays none, or that is unknown.
func (v *Leg) Playing() v1alpha1.Role {
	if v.Pair == nil || !v.Pair.OnAir {
		return ""
	}
	return v1alpha1.Role(v.Pair.Active)
}

// ReadySince returns since when the leg's pod has been ready or not ready.
func (v *Leg) ReadySince() time.Time {
	if v.Pod == nil {
		return time.Time{}
	}
	return ReadySince(v.Pod.Pod)
}

// ReadySince returns since when a pod has been ready or not ready; zero: unknown.
func ReadySince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// Report returns the leg of role as this leg's pod reports it; nil: the pod does not report it.
func (v *Leg) Report(role v1alpha1.Role) *control.Leg {
	if v.Pair == nil {
		return nil
	}
	return LegOf(v.Pair, role)
}

// Used reports whether somebody publishes to the pod, and whether
// somebody watches there. If that is unknown, the answer is yes.
func (v *Leg) Used() (publishing, watched bool) {
	switch v.Reach {
	case ReachStarting, ReachLost:
		return true, true
	case ReachNone:
		return false, false
	}
	publishing = v.Live() || v.Own != nil && v.Own.Publishing
	for _, s := range v.Status.Streams {
		// All streams count, not only those of the spec. The
		// pod may still serve the ids of an earlier spec.
		publishing = publishing || s.Publishing && !s.Relayed
	}
	return publishing, v.Status.Viewers > 0
}

// LegOf returns a leg as p reports it; nil: p does not report it.
func LegOf(p *control.Pair, role v1alpha1.Role) *control.Leg {
	for i := range p.Legs {
		if p.Legs[i].Role == string(role) {
			return &p.Legs[i]
		}
	}
	return nil
}

// IsReady reports whether a pod is ready.
func IsReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// HasEnded reports whether the pod will never run again although it still exists.
func HasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Switching reports whether a planned switch of the leg's pod waits for an IDR.
func (v *Leg) Switching() bool { return v.Pair != nil && v.Pair.SwitchingTo != "" }

// PlayingPairs returns the reports of the pods that play something. The last
// report of a pod that does not answer counts only if no other pod plays.
// The pod may just have died, and viewers do not see what it reported.
func PlayingPairs(legs *Legs) []*control.Pair {
	var said, saidBefore []*control.Pair
	for _, v := range legs.Each() {
		switch {
		case v.Playing() == "":
		case v.Pod.State.Connected:
			said = append(said, v.Pair)
		default:
			saidBefore = append(saidBefore, v.Pair)
		}
	}
	if len(said) > 0 {
		return said
	}
	return saidBefore
}

// OnAir returns the leg that viewers see, by what the pods report now. Empty: no
// pod plays. If the pods disagree, it is the leg that has been on air longer.
func OnAir(legs *Legs) v1alpha1.Role {
	if p := Oldest(PlayingPairs(legs)); p != nil {
		return v1alpha1.Role(p.Active)
	}
	return ""
}

// Oldest returns the report whose leg has been on air longest; nil: there is none.
func Oldest(pairs []*control.Pair) *control.Pair {
	var first *control.Pair
	for _, p := range pairs {
		if first == nil || p.Since != nil && first.Since != nil && p.Since.Before(*first.Since) {
			first = p
		}
	}
	return first
}
