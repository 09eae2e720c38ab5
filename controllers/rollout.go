package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// AnnotationSpecHash is on a leg's Deployment, of what the pair's spec put into its pod
// template. When the template has to change and this has not, the change is the operator's:
// a new default image, say.
const AnnotationSpecHash = "media.streampair.dev/spec-hash"

// A Rollout says which legs' pods may be replaced now.
type Rollout struct {
	// Running legs have a pod that is being made or replaced.
	Running []v1alpha1.Role
	// Held legs are not to be written yet.
	Held []v1alpha1.Role
	// WaitsForIdle: a change of the operator's waits until nobody publishes or watches.
	WaitsForIdle bool
	// WaitsForStandby: the leg on air waits until the other one is live.
	WaitsForStandby bool
	// NeedsTurn: a change of the operator's is under way, or may begin, which is limited.
	// WaitsForTurn: it may not begin yet.
	NeedsTurn, WaitsForTurn bool
}

func (r Rollout) mayWrite(role v1alpha1.Role) bool {
	for _, held := range r.Held {
		if held == role {
			return false
		}
	}
	return true
}

// A legRollout is what the order of a rollout depends on, for one leg.
type legRollout struct {
	role v1alpha1.Role
	// exists: it has a Deployment; else there is nothing to lose by making it.
	exists bool
	// outdated: its Deployment has another pod template than it should.
	outdated bool
	// ours: what makes it outdated came with the operator, not with the spec.
	ours bool
	// settled: a pod of its Deployment's template is ready.
	settled bool
	// live: media arrives with which viewers can begin, at a pod that stays. ending: it
	// arrives at a pod that is ending, and nowhere else.
	live, ending bool
	// used: somebody publishes to it, or that can't be ruled out; watched likewise.
	used, watched bool
	// unheard: it has a pod, of which this operator has heard nothing yet. lost: it has one,
	// which has been silent for too long.
	unheard, lost bool
	// forsaken: it has been settled for standbyPatience.
	forsaken bool
}

// standbyPatience is how long a pair keeps its turn while its standby's encoder stays away.
// It goes on without a turn when the encoder comes: one that never does, as nobody uses that
// leg, must not hold up all other pairs.
const standbyPatience = 5 * time.Minute

func decideRollout(pair *v1alpha1.StreamPair, want *wanted, seen *Observation, legs *views, now time.Time) Rollout {
	var state [2]legRollout
	for i, role := range Roles() {
		v := legs.of(role)
		s := legRollout{role: role, unheard: v.reach == reachStarting, lost: v.reach == reachLost}
		s.used, s.watched = v.used()
		for j := range seen.Pods[role] {
			// Not what speaks for the leg: that may be a pod that is on its way out, and the
			// encoder on its way to the new one.
			pod := &seen.Pods[role][j]
			if one := viewPod(pair, role, pod, now); one.live() && one.leg.EntryPoint {
				s.live = s.live || pod.DeletionTimestamp.IsZero()
				s.ending = s.ending || !pod.DeletionTimestamp.IsZero()
			}
		}
		s.ending = s.ending && !s.live
		if d := seen.deployment(pair, role); d != nil {
			s.exists = true
			s.outdated = want.changesTemplate(want.deployments[i], d)
			s.ours = d.Annotations[AnnotationSpecHash] == want.specHash
			for _, pod := range seen.Pods[role] {
				if isReady(pod.Pod) && pod.DeletionTimestamp.IsZero() &&
					pod.Annotations[AnnotationTemplateHash] == d.Spec.Template.Annotations[AnnotationTemplateHash] {
					s.settled, s.forsaken = true, now.Sub(readySince(pod.Pod)) >= standbyPatience
				}
			}
		}
		state[i] = s
	}
	active := onAir(legs)
	if last := pair.Status.ActiveStream; active == "" && last != nil && legs.of(last.Role).reach == reachLost {
		active = last.Role // its pod may well serve viewers
	}
	return rollout(state, active, pair.Spec.Paused, pair.Spec.MediaServer.UpdatePolicy, seen.Turn)
}

// rollout orders the replacement of the legs' pods: the standby first, and the leg on air
// when the standby is ready and live. Never both at once and never the only live leg, but
// when nobody publishes there is no picture to lose. The planned switch between the two is
// the media pods' own: one that is told to end leaves its leg first.
//
// turn says that the pair is among those that the operator updates now.
func rollout(legs [2]legRollout, active v1alpha1.Role, paused bool, policy v1alpha1.UpdatePolicy, turn bool) Rollout {
	var r Rollout
	for _, leg := range legs {
		if !paused && (!leg.settled || leg.outdated) {
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
	// Half a rollout is worse than either: what has begun goes on.
	begun := outdated(legs[0]) != outdated(legs[1])
	ours := (!outdated(legs[0]) || legs[0].ours) && (!outdated(legs[1]) || legs[1].ours)
	if ours && !begun && !idle && policy != v1alpha1.UpdateAuto {
		return Rollout{Running: unsettled(legs), Held: Roles(), WaitsForIdle: true}
	}
	if ours && !begun && !turn {
		return Rollout{Running: unsettled(legs), Held: Roles(), NeedsTurn: true, WaitsForTurn: true}
	}
	r.NeedsTurn = ours
	if !used {
		return r
	}
	if legs[0].unheard || legs[1].unheard {
		// An operator that has just started may not guess which leg is on air. It hears of
		// it in a moment, or knows after UnreachableAfter that it does not.
		for _, leg := range legs {
			if outdated(leg) {
				r.Held = append(r.Held, leg.role)
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
		r.Held = append(r.Held, last.role)
		if last.ending {
			// Its pod was deleted or its node drained: viewers are on their way here.
			r.Held = Roles()
		}
	case outdated(last):
		if !first.settled {
			r.Held = append(r.Held, last.role)
		} else if last.used && !first.live {
			r.Held, r.WaitsForStandby, r.Running = append(r.Held, last.role), true, unsettled(legs)
			r.NeedsTurn = r.NeedsTurn && !first.forsaken
		}
	case outdated(first):
		// The leg on air is up to date; this one may go unless that one is not there yet.
		// Even if nobody publishes to it: viewers of the other pod may be on their way here.
		if !last.settled || last.ending {
			r.Held = append(r.Held, first.role)
		}
	}
	return r
}

// isOnlyLive says that the leg is live and the other one is not, as far as anybody knows: it
// is the last to be replaced, whatever leg the pods said last that they play.
func isOnlyLive(leg, other legRollout) bool { return leg.live && !other.live && !other.lost }

func unsettled(legs [2]legRollout) []v1alpha1.Role {
	var roles []v1alpha1.Role
	for _, leg := range legs {
		if !leg.settled {
			roles = append(roles, leg.role)
		}
	}
	return roles
}

// specHash is of the parts of the spec that stand in the pod templates.
func specHash(pair *v1alpha1.StreamPair) string {
	spec := pair.Spec
	server := spec.MediaServer
	server.UpdatePolicy, server.Egress = "", ""
	text, err := json.Marshal([]any{
		spec.App, spec.Primary, spec.Backup, server,
		spec.Publish.TokenSecretRef, spec.Playback.TokenSecretRef, spec.Playback.TLSSecretName,
		spec.Exposure.WebRTC.HostPorts,
	})
	if err != nil {
		panic(fmt.Sprintf("write the spec of %s/%s: %v", pair.Namespace, pair.Name, err)) // came as JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
