package controllers

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// reach says what the operator knows of a leg's pod.
type reach int

const (
	// reachNone: there is no pod that could say anything.
	reachNone reach = iota
	// reachStarting: there is a ready pod, of which this operator has heard nothing yet.
	// What was reported before still stands: an operator that starts must not say that
	// streams are gone because it has not asked yet.
	reachStarting
	// reachLost: there has been no word for UnreachableAfter. The pod may well serve
	// viewers, so what it does is unknown and not a failure.
	reachLost
	// reachOpen: the pod says what it does, or did so less than UnreachableAfter ago and is
	// ready.
	reachOpen
)

// A legView is what can be said of one leg, from the pod that speaks for it.
type legView struct {
	role  v1alpha1.Role
	pod   *ObservedPod // speaks for the leg; nil: the leg has none
	ready bool         // a pod that is not ending is ready
	reach reach
	// Set with reachOpen, if the pod knows the pair.
	status *control.Status
	pair   *control.Pair
	leg    *control.Leg // its own leg
}

// views has both legs.
type views struct{ primary, backup legView }

func (v *views) of(role v1alpha1.Role) *legView {
	if role == v1alpha1.RoleBackup {
		return &v.backup
	}
	return &v.primary
}

func (v *views) each() [2]*legView { return [2]*legView{&v.primary, &v.backup} }

// viewLegs condenses the pods of both legs at now.
func viewLegs(pair *v1alpha1.StreamPair, seen *Observation, now time.Time) *views {
	return &views{
		primary: viewLeg(pair, v1alpha1.RolePrimary, seen.Pods[v1alpha1.RolePrimary], now),
		backup:  viewLeg(pair, v1alpha1.RoleBackup, seen.Pods[v1alpha1.RoleBackup], now),
	}
}

func viewLeg(pair *v1alpha1.StreamPair, role v1alpha1.Role, pods []ObservedPod, now time.Time) legView {
	best := legView{role: role}
	ready := false
	for i := range pods {
		one := viewPod(pair, role, &pods[i], now)
		ready = ready || one.ready
		if best.pod == nil || one.speaksBefore(best) {
			best = one
		}
	}
	best.ready = ready
	return best
}

func viewPod(pair *v1alpha1.StreamPair, role v1alpha1.Role, pod *ObservedPod, now time.Time) legView {
	v := legView{role: role, pod: pod, ready: isReady(pod.Pod) && pod.DeletionTimestamp.IsZero()}
	silent := !pod.State.Connected && !pod.State.Since.IsZero() && now.Sub(pod.State.Since) >= UnreachableAfter
	switch {
	case hasEnded(pod.Pod):
		return v
	case pod.State.Connected && pod.State.Status != nil:
		v.reach = reachOpen
	case !isReady(pod.Pod):
		return v // it has ended, or its node has gone: what it said is past
	case pod.State.Status != nil && !silent:
		v.reach = reachOpen
	case silent:
		v.reach = reachLost
		return v
	default:
		v.reach = reachStarting
		return v
	}
	v.status = pod.State.Status
	for i := range v.status.Pairs {
		if p := &v.status.Pairs[i]; p.Declared && p.Name == pair.Name {
			v.pair = p
			v.leg = legOf(p, role)
		}
	}
	return v
}

// speaksBefore decides between two pods of a leg, of which one is ending or starting: the
// one that has the encoder's media, then the one that answers, then the newer one.
func (v legView) speaksBefore(o legView) bool {
	switch {
	case v.live() != o.live():
		return v.live()
	case v.pod.DeletionTimestamp.IsZero() != o.pod.DeletionTimestamp.IsZero():
		return v.pod.DeletionTimestamp.IsZero()
	case v.ready != o.ready:
		return v.ready
	case v.reach != o.reach:
		return v.reach > o.reach
	}
	return o.pod.CreationTimestamp.Before(&v.pod.CreationTimestamp)
}

// live says that the leg's media arrives.
func (v *legView) live() bool { return v.leg != nil && v.leg.Live }

// full says that all the media arrives that the encoder announced.
func (v *legView) full() bool { return v.live() && v.leg.Rank == rankFull && v.leg.EntryPoint }

// rankFull is control.Leg.Rank of a leg that lacks nothing.
const rankFull = "Full"

// playing returns the leg that the leg's pod plays to its viewers; empty: none, or
// nobody knows.
func (v *legView) playing() v1alpha1.Role {
	if v.pair == nil || !v.pair.OnAir {
		return ""
	}
	return v1alpha1.Role(v.pair.Active)
}

// readySince returns since when the leg's pod is ready.
func (v *legView) readySince() time.Time {
	if v.pod == nil {
		return time.Time{}
	}
	return readySince(v.pod.Pod)
}

func readySince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sees returns the leg of role as this pod has it; nil: it does not say.
func (v *legView) sees(role v1alpha1.Role) *control.Leg {
	if v.pair == nil {
		return nil
	}
	return legOf(v.pair, role)
}

// used says that somebody publishes to the pod or watches at it, or that this can't be
// ruled out.
func (v *legView) used() (publishing, watched bool) {
	switch v.reach {
	case reachStarting, reachLost:
		return true, true
	case reachNone:
		return false, false
	}
	publishing = v.live() || v.leg != nil && v.leg.Publishing
	for _, s := range v.status.Streams {
		// Not by the pair's ids alone: a pod may still serve those of the spec before.
		publishing = publishing || s.Publishing && !s.Relayed
	}
	return publishing, v.status.Viewers > 0
}

func legOf(p *control.Pair, role v1alpha1.Role) *control.Leg {
	for i := range p.Legs {
		if p.Legs[i].Role == string(role) {
			return &p.Legs[i]
		}
	}
	return nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// hasEnded says that the pod will never run again, though it is still there.
func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
