// Package rollout decides which media pods may be replaced now.
// [Decide] orders the two legs of a pair. [Turns] limits how many
// pairs are updated at a time. The package replaces nothing itself.
package rollout

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// A Rollout says which legs' pods may be replaced now.
type Rollout struct {
	// Running are the legs whose pod is being made or replaced.
	Running []v1alpha1.Role
	// MustWait are the legs whose Deployment must not be written yet.
	MustWait []v1alpha1.Role
	// WaitsForIdle says that a change by the operator waits until nobody publishes or watches.
	WaitsForIdle bool
	// WaitsForStandby says that the leg on air waits until the other leg is live.
	WaitsForStandby bool
	// NeedsTurn says that a change by the operator, which is limited to some pairs at
	// a time, is under way or may begin. WaitsForTurn says that it may not begin yet.
	NeedsTurn, WaitsForTurn bool
}

// MayWrite reports whether the Deployment of the leg may be written now.
func (r Rollout) MayWrite(role v1alpha1.Role) bool {
	for _, leg := range r.MustWait {
		if leg == role {
			return false
		}
	}
	return true
}

// A legRollout is what the order of a rollout depends on, for one leg.
type legRollout struct {
	role v1alpha1.Role
	// exists says that the leg has a Deployment. Without one, making it replaces nothing.
	exists bool
	// outdated says that the Deployment has another pod template than it should.
	outdated bool
	// operatorChange says that the operator changed the template, and not the spec.
	operatorChange bool
	// rolledOut says that a pod of the Deployment's template is ready.
	rolledOut bool
	// live says that media with an entry point arrives at a pod that
	// stays. ending says that it arrives only at a pod that is ending.
	live, ending bool
	// used says that somebody publishes to the leg, or that
	// this is unknown. watched says the same of viewers.
	used, watched bool
	// notHeardYet says that this operator has not heard the leg's pod
	// yet. lost says that the leg's pod has been silent for too long.
	notHeardYet, lost bool
	// idleTooLong says that the leg has been rolled out for standbyPatience.
	idleTooLong bool
}

// standbyPatience is how long a pair keeps its turn while the standby has
// no encoder. After that the pair goes on without a turn when the encoder
// comes. A leg that nobody uses must not hold up all other pairs.
const standbyPatience = 5 * time.Minute

// Decide returns which legs' pods may be replaced at now.
// outdated reports whether the pod template of a leg's Deployment
// has to change. specHash is the hash of the pair's current spec.
func Decide(pair *v1alpha1.StreamPair, seen *observed.Pair, legs *observed.Legs, specHash string,
	outdated func(role v1alpha1.Role, live *appsv1.Deployment) bool, now time.Time,
) Rollout {
	var state [2]legRollout
	for i, role := range objects.Roles() {
		v := legs.Of(role)
		s := legRollout{role: role, notHeardYet: v.Reach == observed.ReachStarting, lost: v.Reach == observed.ReachLost}
		s.used, s.watched = v.Used()
		for j := range seen.Pods[role] {
			// All pods of the leg count, not only the one that speaks for the
			// leg. That pod may be ending while the encoder moves to the new pod.
			pod := &seen.Pods[role][j]
			if one := observed.ViewPod(pair, role, pod, now); one.Live() && one.Own.EntryPoint {
				s.live = s.live || pod.DeletionTimestamp.IsZero()
				s.ending = s.ending || !pod.DeletionTimestamp.IsZero()
			}
		}
		s.ending = s.ending && !s.live
		if d := seen.Deployment(pair, role); d != nil {
			s.exists = true
			s.outdated = outdated(role, d)
			s.operatorChange = d.Annotations[objects.AnnotationSpecHash] == specHash
			for _, pod := range seen.Pods[role] {
				if isRolledOut(d) && observed.IsReady(pod.Pod) && pod.DeletionTimestamp.IsZero() &&
					pod.Annotations[objects.AnnotationTemplateHash] == d.Spec.Template.Annotations[objects.AnnotationTemplateHash] {
					s.rolledOut, s.idleTooLong = true, now.Sub(observed.ReadySince(pod.Pod)) >= standbyPatience
				}
			}
		}
		state[i] = s
	}
	active := observed.OnAir(legs)
	if last := pair.Status.ActiveStream; active == "" && last != nil && legs.Of(last.Role).Reach == observed.ReachLost {
		active = last.Role // its pod may still serve viewers
	}
	return order(state, active, pair.Spec.Paused, pair.Spec.MediaServer.UpdatePolicy, seen.Turn)
}

// isRolledOut reports whether the Deployment's controller says that all
// pods are made from the latest template. The template's hash does not
// show a change by which the operator removed what somebody had added.
func isRolledOut(d *appsv1.Deployment) bool {
	if d.Generation == 0 || d.Spec.Replicas == nil {
		return true
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= *d.Spec.Replicas
}

// order decides in which order the legs' pods are replaced. The standby comes first. The leg
// on air follows once the standby is ready and live. Both are never replaced at once, and the
// only live leg never, unless nobody publishes, so that no picture can be lost. The media
// pods make the planned switch themselves: a pod that is told to end leaves its leg first.
//
// turn says that the operator may update this pair now.
func order(legs [2]legRollout, active v1alpha1.Role, paused bool, policy v1alpha1.UpdatePolicy, turn bool) Rollout {
	var r Rollout
	for _, leg := range legs {
		if !paused && (!leg.rolledOut || leg.outdated) {
			r.Running = append(r.Running, leg.role)
		}
	}
	used := legs[0].used || legs[1].used
	idle := !used && !legs[0].watched && !legs[1].watched
	outdated := func(leg legRollout) bool { return leg.exists && leg.outdated }
	if paused {
		return r
	}
	if !outdated(legs[0]) && !outdated(legs[1]) {
		r.NeedsTurn = turn && len(r.Running) > 0
		return r
	}
	// Half a rollout is worse than none or all, so a rollout that has begun goes on.
	begun := outdated(legs[0]) != outdated(legs[1])
	operatorChange := (!outdated(legs[0]) || legs[0].operatorChange) && (!outdated(legs[1]) || legs[1].operatorChange)
	if operatorChange && !begun && !idle && policy != v1alpha1.UpdateAuto {
		return Rollout{Running: notRolledOut(legs), MustWait: objects.Roles(), WaitsForIdle: true}
	}
	if operatorChange && !begun && !turn {
		return Rollout{Running: notRolledOut(legs), MustWait: objects.Roles(), NeedsTurn: true, WaitsForTurn: true}
	}
	r.NeedsTurn = operatorChange
	if !used {
		return r
	}
	if legs[0].notHeardYet || legs[1].notHeardYet {
		// An operator that has just started must not guess which leg is on air. It hears
		// that in a moment, or knows after UnreachableAfter that the pod is silent.
		for _, leg := range legs {
			if outdated(leg) {
				r.MustWait = append(r.MustWait, leg.role)
			}
		}
		return r
	}
	first, last := legs[1], legs[0]
	if isOnlyLive(legs[1], legs[0]) || active == v1alpha1.RoleBackup && !isOnlyLive(legs[0], legs[1]) {
		first, last = legs[0], legs[1]
	}
	switch {
	case outdated(first) && outdated(last):
		r.MustWait = append(r.MustWait, last.role)
		if last.ending {
			// The last leg's pod was deleted or its node drained.
			// Viewers are moving to the first leg's pod.
			r.MustWait = objects.Roles()
		}
	case outdated(last):
		if !first.rolledOut {
			r.MustWait = append(r.MustWait, last.role)
		} else if last.used && !first.live {
			r.MustWait, r.WaitsForStandby, r.Running = append(r.MustWait, last.role), true, notRolledOut(legs)
			r.NeedsTurn = r.NeedsTurn && !first.idleTooLong
		}
	case outdated(first):
		// The leg on air is up to date. The other leg may be replaced unless
		// the leg on air is not rolled out. This holds even if nobody publishes
		// to the other leg, because viewers may be moving to its pod.
		if !last.rolledOut || last.ending {
			r.MustWait = append(r.MustWait, first.role)
		}
	}
	return r
}

// isOnlyLive reports whether the leg is live and the other one, as far as known,
// is not. Such a leg is replaced last, whichever leg the pods said they play.
func isOnlyLive(leg, other legRollout) bool { return leg.live && !other.live && !other.lost }

func notRolledOut(legs [2]legRollout) []v1alpha1.Role {
	var roles []v1alpha1.Role
	for _, leg := range legs {
		if !leg.rolledOut {
			roles = append(roles, leg.role)
		}
	}
	return roles
}
