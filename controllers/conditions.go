package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// A verdict is a condition without its name and its times.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
	// keep says that nobody knows better yet than what was reported before, if anything was.
	keep bool
}

func yes(reason, message string, args ...any) verdict {
	return verdict{status: metav1.ConditionTrue, reason: reason, message: fmt.Sprintf(message, args...)}
}

func no(reason, message string, args ...any) verdict {
	return verdict{status: metav1.ConditionFalse, reason: reason, message: fmt.Sprintf(message, args...)}
}

func unknown(reason, message string, args ...any) verdict {
	return verdict{status: metav1.ConditionUnknown, reason: reason, message: fmt.Sprintf(message, args...)}
}

// ready: publishers and viewers are accepted. What a person has to put right comes before
// what comes right by waiting.
func (w *statusWriter) ready(exposed verdict) verdict {
	conflicts := w.outcome.Conflicts
	switch {
	case len(conflicts) > 0:
		return no(v1alpha1.ReasonNameConflict, "%s: not an object of this pair; delete or rename it, or this pair.", keyList(conflicts))
	case len(w.outcome.Refused) > 0:
		return no(v1alpha1.ReasonApplyFailed, "The API server refused: %s", sentences(w.outcome.Refused))
	case w.refused.Image:
		return no(v1alpha1.ReasonImageNotAllowed,
			"spec.mediaServer.image is not allowed by the operator (--allow-pod-images); media pods are made with its default image.")
	case w.pair.Spec.Paused && (w.legs.primary.pod != nil || w.legs.backup.pod != nil):
		return no(v1alpha1.ReasonPaused, "spec.paused is true, and the media pods are ending.")
	case w.pair.Spec.Paused:
		// What the spec asks for is done: who waits for that, as helm and Flux do, need not wait.
		return yes(v1alpha1.ReasonPaused, "spec.paused is true: there are no media pods, and nobody can publish or watch.")
	}
	if v, bad := w.configErrors(); bad {
		return v
	}
	var waiting []string
	for _, v := range w.legs.each() {
		if !v.ready {
			waiting = append(waiting, fmt.Sprintf("the %s's pod is not ready%s", LegName(v.role), w.whyNotReady(v)))
		}
	}
	if len(waiting) > 0 {
		return no(v1alpha1.ReasonPodsNotReady, "%s", sentences(waiting))
	}
	if exposed.status != metav1.ConditionTrue {
		return no(v1alpha1.ReasonNotExposed, "%s", exposed.message)
	}
	return yes(v1alpha1.ReasonReady, "Publishers and viewers are accepted.")
}

// configErrors reports what the pods say of the manifest and the Secrets they were given.
func (w *statusWriter) configErrors() (verdict, bool) {
	var mistakes []string
	for _, v := range w.legs.each() {
		if v.status != nil {
			mistakes = append(mistakes, v.status.ConfigErrors...)
		}
	}
	if len(mistakes) == 0 {
		return verdict{}, false
	}
	slices.Sort(mistakes)
	mistakes = slices.Compact(mistakes)
	reason := v1alpha1.ReasonInvalidConfiguration
	if slices.ContainsFunc(mistakes, func(m string) bool { return strings.Contains(m, "Secret") }) {
		reason = v1alpha1.ReasonInvalidSecret
	}
	return no(reason, "%s", sentences(mistakes)), true
}

// whyNotReady adds what keeps a pod from being ready, as far as its objects tell.
func (w *statusWriter) whyNotReady(v *legView) string {
	if v.pod == nil {
		if d := w.seen.deployment(w.pair, v.role); d != nil {
			for _, c := range d.Status.Conditions {
				if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
					return ": " + c.Message
				}
			}
		}
		return ": there is none yet"
	}
	if end := v.pod.DeletionTimestamp; end != nil && end.Time.Before(w.now) {
		return fmt.Sprintf(": it should have ended on node %s; if that node is gone for good, delete the node", v.pod.Spec.NodeName)
	}
	for _, c := range v.pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return ": " + c.Message
		}
	}
	for _, c := range v.pod.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating":
			return ": " + strings.TrimSuffix(c.State.Waiting.Reason+": "+c.State.Waiting.Message, ": ")
		case c.State.Terminated != nil:
			return fmt.Sprintf(": it ended with code %d", c.State.Terminated.ExitCode)
		}
	}
	return ""
}

// onAir: viewers get a live picture.
func (w *statusWriter) onAir(active *v1alpha1.ActiveStream) verdict {
	switch {
	case w.pair.Spec.Paused:
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case len(playingPairs(w.legs)) > 0 && active != nil:
		return yes(v1alpha1.ReasonOnAir, "Viewers get the %s.", LegName(active.Role))
	case w.anyReach(reachStarting):
		v := no(v1alpha1.ReasonNoLiveStream, "The media pods have not been heard yet.")
		v.keep = true
		return v
	case w.anyReach(reachLost):
		return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.unreachable())
	}
	return no(v1alpha1.ReasonNoLiveStream, "Neither leg has media.")
}

// live: the leg's media arrives, and viewers can begin with it.
func (w *statusWriter) live(role v1alpha1.Role) verdict {
	v := w.legs.of(role)
	switch {
	case w.pair.Spec.Paused:
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case v.reach == reachLost:
		return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
	case v.reach == reachStarting:
		verdict := no(v1alpha1.ReasonPodNotReady, "The pod has not been heard yet.")
		verdict.keep = true
		return verdict
	case v.reach == reachNone:
		return no(v1alpha1.ReasonPodNotReady, "The leg's media pod is not ready.")
	case v.leg == nil:
		return no(v1alpha1.ReasonPodNotReady, "The leg's media pod does not serve this pair yet.")
	case v.live() && !v.leg.EntryPoint:
		return no(v1alpha1.ReasonNoEntryPoint, "Media arrives, but no key frame that viewers can begin with. %s",
			cmp.Or(advice(v.leg), "Set a key frame interval of 1 or 2 seconds at the encoder."))
	case v.live() && v.leg.Conflict:
		return yes(v1alpha1.ReasonPublisherConflict, "A second encoder publishes to this stream id and is refused.")
	case v.live() && v.leg.Rank != rankFull && len(v.leg.Warnings) > 0:
		return yes(v1alpha1.ReasonDegraded, "Media arrives, but not all of it can be played. %s", advice(v.leg))
	case v.live():
		return yes(v1alpha1.ReasonLive, "%s", strings.TrimSpace("Media arrives. "+advice(v.leg)))
	case v.leg.Conflict:
		return no(v1alpha1.ReasonPublisherConflict, "Two encoders publish to this stream id.")
	case w.ingestState(v) == v1alpha1.IngestLost && v.leg.Publishing:
		return no(v1alpha1.ReasonInputLost, "The encoder is connected and silent.")
	case w.ingestState(v) == v1alpha1.IngestLost:
		return no(v1alpha1.ReasonInputLost, "The encoder went.")
	}
	if v.leg.Publishing {
		return no(v1alpha1.ReasonWaitingForPublisher, "An encoder is connected; no media has arrived yet.")
	}
	return no(v1alpha1.ReasonWaitingForPublisher, "Nobody has published yet.")
}

// advice returns what the media server says of a leg's encoder, a sentence or more for each
// warning; empty: nothing.
func advice(leg *control.Leg) string {
	var sentences []string
	for _, w := range leg.Warnings {
		sentences = append(sentences, w.Message)
	}
	return strings.Join(sentences, " ")
}

// redundant: the loss of an encoder, a pod or a node leaves a whole picture.
func (w *statusWriter) redundant() verdict {
	if w.pair.Spec.Paused {
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	}
	reasons := map[v1alpha1.Role]string{
		v1alpha1.RolePrimary: v1alpha1.ReasonPrimaryNotLive,
		v1alpha1.RoleBackup:  v1alpha1.ReasonBackupNotLive,
	}
	for _, v := range w.legs.each() {
		verdict := no(reasons[v.role], "The %s lacks media or a track of it.", LegName(v.role))
		switch {
		case v.reach == reachLost:
			return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
		case v.reach == reachStarting:
			verdict.keep = true
			return verdict
		case !v.full():
			return verdict
		}
	}
	primary, backup := w.legs.primary.pod.Spec.NodeName, w.legs.backup.pod.Spec.NodeName
	if primary == backup {
		return no(v1alpha1.ReasonSameNode, "Both media pods are on node %s.", primary)
	}
	return yes(v1alpha1.ReasonRedundant, "Both legs have all their tracks, on different nodes.")
}

// converged: both pods play the same leg, and by the latest spec.
func (w *statusWriter) converged() verdict {
	if w.pair.Spec.Paused {
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	}
	for _, v := range w.legs.each() {
		switch v.reach {
		case reachLost:
			return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
		case reachStarting:
			verdict := unknown(v1alpha1.ReasonPodNotReady, "The %s's pod has not been heard yet.", LegName(v.role))
			verdict.keep = true
			return verdict
		case reachNone:
			return unknown(v1alpha1.ReasonPodNotReady, "The %s's pod is not ready.", LegName(v.role))
		}
	}
	for _, v := range w.legs.each() {
		if w.pending(v) && v.pod.Annotations[AnnotationStreams] != streamsOf(w.pair) {
			return no(v1alpha1.ReasonDirectivePending,
				"The %s's pod serves the stream ids before until it is replaced.", LegName(v.role))
		}
		if w.pending(v) {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod has not taken over the latest spec yet%s.",
				LegName(v.role), w.outcome.refusal(podKey(w.pair, v.role, v.pod.Pod)))
		}
		if refusal := w.outcome.AddressErrors[podKey(w.pair, v.role, v.pod.Pod)]; refusal != "" {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod has not taken over its media addresses yet: %s.",
				LegName(v.role), strings.TrimSuffix(refusal, "."))
		}
	}
	for _, v := range w.legs.each() {
		other := w.legs.of(OtherRole(v.role))
		if v.pair != nil && v.pair.Peer != nil && !v.pair.Peer.Connected && w.lasts(latest(v.readySince(), other.readySince()), peerGrace) {
			return no(v1alpha1.ReasonRelayDown, "The %s's pod does not reach the %s's pod.", LegName(v.role), LegName(other.role))
		}
		if seen := v.sees(other.role); other.live() && seen != nil && !seen.Live && w.lasts(w.liveSince(other.role), relayGrace) {
			return no(v1alpha1.ReasonRelayDown, "The %s's pod does not get the %s's media from its peer.",
				LegName(v.role), LegName(other.role))
		}
	}
	if v, disagree := w.disagreement(); disagree {
		return v
	}
	return yes(v1alpha1.ReasonConverged, "Both media pods play alike.")
}

// lasts says whether something that began at since has lasted for a while; if not, the status
// is looked at again when it has.
func (w *statusWriter) lasts(since time.Time, grace time.Duration) bool {
	rest := grace - w.now.Sub(since)
	if rest > 0 {
		w.changesIn(rest)
	}
	return rest <= 0
}

// liveSince returns since when the leg's media arrives, as reported, to a second; now if that
// is news.
func (w *statusWriter) liveSince(role v1alpha1.Role) time.Time {
	c := legCondition(w.last, role)
	if c.Status == metav1.ConditionTrue || c.Reason == v1alpha1.ReasonNoEntryPoint {
		return c.LastTransitionTime.Time
	}
	return w.now
}

// disagreement says that the pods play different legs, once that has lasted.
func (w *statusWriter) disagreement() (verdict, bool) {
	primary, backup := w.legs.primary.playing(), w.legs.backup.playing()
	if primary == backup || primary == "" || backup == "" || len(playingPairs(w.legs)) < 2 {
		return verdict{}, false
	}
	var switched time.Time
	for _, v := range w.legs.each() {
		if v.pair.Since != nil {
			switched = latest(switched, *v.pair.Since)
		}
	}
	if !w.lasts(switched, disagreementGrace) {
		return verdict{}, false
	}
	return no(v1alpha1.ReasonPodsDisagree, "The primary's pod plays the %s, the backup's the %s.",
		LegName(primary), LegName(backup)), true
}

// pending says that the pod works by an earlier spec.
func (w *statusWriter) pending(v *legView) bool {
	return v.status.ConfigGeneration < w.pair.Generation && !w.outcome.Accepted[podKey(w.pair, v.role, v.pod.Pod)]
}

// progressing: a rollout or a planned switch is under way.
func (w *statusWriter) progressing() verdict {
	rollout := w.plan.Rollout
	switch {
	case len(rollout.Running) > 0:
		var legs []string
		for _, role := range rollout.Running {
			legs = append(legs, LegName(role))
		}
		reason := v1alpha1.ReasonRollingOut
		if rollout.NeedsTurn && !rollout.WaitsForTurn {
			reason = v1alpha1.ReasonRollingOutUpdate
		}
		return yes(reason, "The pod of the %s is being made or replaced.", strings.Join(legs, " and of the "))
	case w.legs.primary.switching() || w.legs.backup.switching():
		return yes(v1alpha1.ReasonSwitchingOver, "A planned switch waits for the next key frame.")
	case rollout.WaitsForStandby:
		return no(v1alpha1.ReasonWaitingForStandbyPublisher, "The leg on air is replaced once the other one is live.")
	case rollout.WaitsForIdle:
		return no(v1alpha1.ReasonWaitingForIdle, "The media pods are replaced once nobody publishes or watches (spec.mediaServer.updatePolicy).")
	case rollout.WaitsForTurn:
		return no(v1alpha1.ReasonWaitingForOtherRollouts,
			"The media pods are replaced after those of other pairs: the operator updates as many at a time as --max-concurrent-rollouts says.")
	}
	return no(v1alpha1.ReasonUpToDate, "Nothing is left to do.")
}

func (v *legView) switching() bool { return v.pair != nil && v.pair.SwitchingTo != "" }

func (w *statusWriter) unreachable() string {
	var lost []string
	for _, v := range w.legs.each() {
		if v.reach == reachLost {
			lost = append(lost, LegName(v.role))
		}
	}
	return fmt.Sprintf("No word from the media pod of the %s.", strings.Join(lost, " and of the "))
}

func (w *statusWriter) silence(v *legView) string {
	message := fmt.Sprintf("No word from the media pod of the %s", LegName(v.role))
	if err := v.pod.State.Err; err != "" {
		message += ": " + strings.TrimSuffix(err, ".")
	}
	return message + "."
}
