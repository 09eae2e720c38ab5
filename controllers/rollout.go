package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
	// live: media arrives. used: somebody publishes to it, or that can't be ruled out;
	// watched likewise.
	live, used, watched bool
	// unheard: it has a pod, of which this operator has heard nothing yet.
	unheard bool
}

func decideRollout(pair *v1alpha1.StreamPair, want *wanted, seen *Observation, legs *views) Rollout {
	var state [2]legRollout
	for i, role := range Roles() {
		v := legs.of(role)
		s := legRollout{role: role, live: v.live(), unheard: v.reach == reachStarting}
		s.used, s.watched = v.used()
		if d := seen.deployment(pair, role); d != nil {
			s.exists = true
			s.outdated = want.changesTemplate(want.deployments[i], d)
			s.ours = d.Annotations[AnnotationSpecHash] == want.specHash
			for _, pod := range seen.Pods[role] {
				s.settled = s.settled || isReady(pod.Pod) && pod.DeletionTimestamp.IsZero() &&
					pod.Annotations[AnnotationTemplateHash] == d.Spec.Template.Annotations[AnnotationTemplateHash]
			}
		}
		state[i] = s
	}
	active := onAir(legs)
	if last := pair.Status.ActiveStream; active == "" && last != nil && legs.of(last.Role).reach == reachLost {
		active = last.Role // its pod may well serve viewers
	}
	return rollout(state, active, pair.Spec.Paused, pair.Spec.MediaServer.UpdatePolicy)
}

// rollout orders the replacement of the legs' pods: the standby first, and the leg on air
// when the standby is ready and live. Never both at once and never the only live leg, but
// when nobody publishes there is no picture to lose.
func rollout(legs [2]legRollout, active v1alpha1.Role, paused bool, policy v1alpha1.UpdatePolicy) Rollout {
	var r Rollout
	for _, leg := range legs {
		if !paused && (!leg.settled || leg.outdated) {
			r.Running = append(r.Running, leg.role)
		}
	}
	used := legs[0].used || legs[1].used
	idle := !used && !legs[0].watched && !legs[1].watched
	outdated := func(leg legRollout) bool { return leg.exists && leg.outdated }
	if paused || !outdated(legs[0]) && !outdated(legs[1]) {
		return r
	}
	// Half a rollout is worse than either: what has begun goes on.
	begun := outdated(legs[0]) != outdated(legs[1])
	ours := (!outdated(legs[0]) || legs[0].ours) && (!outdated(legs[1]) || legs[1].ours)
	if ours && !begun && !idle && policy != v1alpha1.UpdateAuto {
		return Rollout{Running: unsettled(legs), Held: []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}, WaitsForIdle: true}
	}
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
	onlyBackup := active == "" && legs[1].live && !legs[0].live
	first, last := legs[1], legs[0]
	if active == v1alpha1.RoleBackup || onlyBackup {
		first, last = legs[0], legs[1]
	}
	switch {
	case outdated(first) && outdated(last):
		r.Held = append(r.Held, last.role)
	case outdated(last):
		if !first.settled {
			r.Held = append(r.Held, last.role)
		} else if last.used && !first.live {
			r.Held, r.WaitsForStandby, r.Running = append(r.Held, last.role), true, unsettled(legs)
		}
	case outdated(first):
		// The leg on air is up to date; this one may go unless that one is not there yet.
		if !last.settled && first.used {
			r.Held = append(r.Held, first.role)
		}
	}
	return r
}

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
	server.UpdatePolicy = ""
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
