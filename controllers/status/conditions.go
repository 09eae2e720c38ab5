package status

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
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/pods"
)

// A verdict is a condition without its type and times.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
	// keep says to keep the condition reported before, if
	// there is one, because nothing newer is known yet.
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

// ready returns the condition Ready: publishers and viewers are accepted.
// Faults that a person has to correct come before those that pass by waiting.
func (w *statusWriter) ready(exposed verdict) verdict {
	conflicts := w.applied.Conflicts
	switch {
	case len(conflicts) > 0:
		return no(v1alpha1.ReasonNameConflict, "%s: not an object of this pair. Delete or rename the object, or give this pair another name.%s",
			conflictText(conflicts), keepTokens(w.pair, conflicts))
	case len(w.applied.Refused) > 0:
		return no(v1alpha1.ReasonApplyFailed, "The API server refused: %s", sentences(w.applied.Refused))
	case w.refused.Image:
		return no(v1alpha1.ReasonImageNotAllowed,
			"The operator does not allow spec.mediaServer.image (--allow-pod-images). The media pods run the operator's default image.")
	case len(w.refused.PodMetadata) > 0:
		return no(v1alpha1.ReasonPodMetadataNotAllowed,
			"The operator does not allow %s (--allowed-pod-metadata). The media pods are made without.", strings.Join(w.refused.PodMetadata, ", "))
	case w.pair.Spec.Paused && (w.legs.Primary.Pod != nil || w.legs.Backup.Pod != nil):
		return no(v1alpha1.ReasonPaused, "spec.paused is true, and the media pods are ending.")
	case w.pair.Spec.Paused:
		// The spec is fulfilled. Tools that wait for
		// Ready, such as helm and Flux, need not wait.
		return yes(v1alpha1.ReasonPaused, "spec.paused is true: there are no media pods, and nobody can publish or watch.")
	}
	if v, bad := w.configErrors(); bad {
		return v
	}
	var waiting []string
	for _, v := range w.legs.Each() {
		if !v.Ready {
			waiting = append(waiting, fmt.Sprintf("the %s's pod is not ready%s", objects.LegName(v.Role), w.whyNotReady(v)))
		}
	}
	if len(waiting) > 0 {
		return no(v1alpha1.ReasonPodsNotReady, "%s", sentences(waiting))
	}
	if exposed.status != metav1.ConditionTrue {
		return no(v1alpha1.ReasonNotExposed, "%s", exposed.message)
	}
	return yes(v1alpha1.ReasonReady, "%s", joined("Publishers and viewers are accepted.", w.unreachableOutside(), w.notes()))
}

// configErrors reports the mistakes that the pods found in the manifest and the Secrets.
func (w *statusWriter) configErrors() (verdict, bool) {
	var messages []string
	reason := v1alpha1.ReasonInvalidConfiguration
	for _, v := range w.legs.Each() {
		if v.Status == nil {
			continue
		}
		for _, mistake := range configMistakes(v.Status) {
			messages = append(messages, mistake.Message)
			if mistake.Reason == control.MistakeSecret {
				reason = v1alpha1.ReasonInvalidSecret
			}
		}
	}
	if len(messages) == 0 {
		return verdict{}, false
	}
	slices.Sort(messages)
	return no(reason, "%s", sentences(slices.Compact(messages))), true
}

// configMistakes returns the mistakes that a pod reports. A media server before
// version 0.3.0 sends no reasons. For it the wording alone tells a Secret's mistake.
func configMistakes(pod *control.Status) []control.ConfigMistake {
	if len(pod.ConfigMistakes) > 0 {
		return pod.ConfigMistakes
	}
	var mistakes []control.ConfigMistake
	for _, message := range pod.ConfigErrors {
		reason := control.MistakeManifest
		if strings.Contains(message, "Secret") {
			reason = control.MistakeSecret
		}
		mistakes = append(mistakes, control.ConfigMistake{Reason: reason, Message: message})
	}
	return mistakes
}

// whyNotReady returns what keeps a pod from being ready, as far as its objects show it.
func (w *statusWriter) whyNotReady(v *observed.Leg) string {
	if v.Pod == nil {
		if d := w.seen.Deployment(w.pair, v.Role); d != nil {
			for _, c := range d.Status.Conditions {
				if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
					return ": " + c.Message
				}
			}
		}
		return ": there is none yet"
	}
	if end := v.Pod.DeletionTimestamp; end != nil && end.Time.Before(w.now) {
		return fmt.Sprintf(": it should have ended on node %s; if that node is gone for good, delete the node", v.Pod.Spec.NodeName)
	}
	for _, c := range v.Pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return ": " + c.Message
		}
	}
	for _, c := range v.Pod.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating":
			return ": " + strings.TrimSuffix(c.State.Waiting.Reason+": "+c.State.Waiting.Message, ": ")
		case c.State.Terminated != nil:
			return fmt.Sprintf(": it ended with code %d", c.State.Terminated.ExitCode)
		}
	}
	return ""
}

// onAir returns the condition OnAir: viewers get a live picture.
func (w *statusWriter) onAir(active *v1alpha1.ActiveStream) verdict {
	switch {
	case w.pair.Spec.Paused:
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case len(observed.PlayingPairs(w.legs)) > 0 && active != nil:
		return yes(v1alpha1.ReasonOnAir, "Viewers get the %s.", objects.LegName(active.Role))
	case w.anyReach(observed.ReachStarting):
		v := no(v1alpha1.ReasonNoLiveStream, "The operator has not heard the media pods yet.")
		v.keep = true
		return v
	case w.anyReach(observed.ReachLost):
		return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.unreachable())
	}
	return no(v1alpha1.ReasonNoLiveStream, "Neither leg has media. Check the encoders.")
}

// live returns the condition PrimaryLive or BackupLive: the
// leg's media arrives, and viewers can begin to play it.
func (w *statusWriter) live(role v1alpha1.Role) verdict {
	v := w.legs.Of(role)
	switch {
	case w.pair.Spec.Paused:
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	case v.Reach == observed.ReachLost:
		return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
	case v.Reach == observed.ReachStarting:
		verdict := no(v1alpha1.ReasonPodNotReady, "The operator has not heard the leg's media pod yet.")
		verdict.keep = true
		return verdict
	case v.Reach == observed.ReachNone:
		return no(v1alpha1.ReasonPodNotReady, "The leg's media pod is not ready.")
	case v.Own == nil:
		return no(v1alpha1.ReasonPodNotReady, "The leg's media pod does not serve this pair yet.")
	case v.Live() && !v.Own.EntryPoint:
		return no(v1alpha1.ReasonNoEntryPoint, "Media arrives, but no key frame that viewers can begin with. %s",
			cmp.Or(advice(v.Own), "Set a key frame interval of 1 or 2 seconds at the encoder."))
	case v.Live() && v.Own.Conflict:
		return yes(v1alpha1.ReasonPublisherConflict, "A second encoder publishes to this stream id and is refused. Stop one of the two.")
	case v.Live() && v.Own.Rank != observed.RankFull && len(v.Own.Warnings) > 0:
		return yes(v1alpha1.ReasonDegraded, "Media arrives, but not all of it can be played. %s", advice(v.Own))
	case v.Live():
		return yes(v1alpha1.ReasonLive, "%s", strings.TrimSpace(v1alpha1.MessageLive+" "+advice(v.Own)))
	case v.Own.Conflict:
		return no(v1alpha1.ReasonPublisherConflict, "Two encoders publish to this stream id. Stop one of them.")
	case w.ingestState(v) == v1alpha1.IngestLost && v.Own.Publishing:
		return no(v1alpha1.ReasonInputLost, "The encoder is connected but sends no media. Check the encoder and its network.")
	case w.ingestState(v) == v1alpha1.IngestLost:
		return no(v1alpha1.ReasonInputLost, "The encoder has disconnected. Check the encoder and its network.")
	}
	if v.Own.Publishing {
		return no(v1alpha1.ReasonWaitingForPublisher, "An encoder is connected. No media has arrived yet.")
	}
	return no(v1alpha1.ReasonWaitingForPublisher, "No encoder has published yet.")
}

// advice returns what the media server says of a leg's encoder, at
// least one sentence for each warning. Empty: there are no warnings.
func advice(leg *control.Leg) string {
	var sentences []string
	for _, w := range leg.Warnings {
		sentences = append(sentences, w.Message)
	}
	return strings.Join(sentences, " ")
}

// redundant returns the condition Redundant: the picture
// survives the loss of an encoder, a pod or a node.
func (w *statusWriter) redundant() verdict {
	if w.pair.Spec.Paused {
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	}
	reasons := map[v1alpha1.Role]string{
		v1alpha1.RolePrimary: v1alpha1.ReasonPrimaryNotLive,
		v1alpha1.RoleBackup:  v1alpha1.ReasonBackupNotLive,
	}
	faulty := map[v1alpha1.Role]string{
		v1alpha1.RolePrimary: v1alpha1.ReasonPrimaryFaulty,
		v1alpha1.RoleBackup:  v1alpha1.ReasonBackupFaulty,
	}
	for _, v := range w.legs.Each() {
		verdict := no(reasons[v.Role], "The %s lacks media, or one of its tracks.", objects.LegName(v.Role))
		switch {
		case v.Reach == observed.ReachLost:
			return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
		case v.Reach == observed.ReachStarting:
			verdict.keep = true
			return verdict
		case v.Live() && v.Own.Content != nil && len(v.Own.Content.Faults) > 0:
			return no(faulty[v.Role], "%s", faultText(v.Role, v.Own.Content.Faults[0]))
		case !v.Full():
			return verdict
		}
	}
	primary, backup := w.legs.Primary.Pod.Spec.NodeName, w.legs.Backup.Pod.Spec.NodeName
	if primary == backup {
		return no(v1alpha1.ReasonSameNode, "Both media pods are on node %s. The loss of this node would end the picture.", primary)
	}
	return yes(v1alpha1.ReasonRedundant, "Both legs have all their tracks, on different nodes.")
}

// converged returns the condition Converged: both
// pods play the same leg and follow the latest spec.
func (w *statusWriter) converged() verdict {
	if w.pair.Spec.Paused {
		return no(v1alpha1.ReasonPaused, "spec.paused is true.")
	}
	for _, v := range w.legs.Each() {
		switch v.Reach {
		case observed.ReachLost:
			return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
		case observed.ReachStarting:
			verdict := unknown(v1alpha1.ReasonPodNotReady, "The operator has not heard the %s's pod yet.", objects.LegName(v.Role))
			verdict.keep = true
			return verdict
		case observed.ReachNone:
			return unknown(v1alpha1.ReasonPodNotReady, "The %s's pod is not ready.", objects.LegName(v.Role))
		}
	}
	for _, v := range w.legs.Each() {
		if w.pending(v) && v.Pod.Annotations[objects.AnnotationStreams] != objects.StreamsOf(w.pair) {
			return no(v1alpha1.ReasonDirectivePending,
				"The %s's pod serves the earlier stream ids until it is replaced.", objects.LegName(v.Role))
		}
		if w.pending(v) {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod has not taken over the latest spec yet%s.%s",
				objects.LegName(v.Role), w.applied.refusal(observed.PodKey(w.pair, v.Role, v.Pod.Pod)), w.keepsOldGeneration(v))
		}
		if refusal := w.applied.refusal(observed.PodKey(w.pair, v.Role, v.Pod.Pod)); refusal != "" {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod has not accepted the operator's last request%s.", objects.LegName(v.Role), refusal)
		}
		if unknown := unknownFields(w.pair, v.Status); len(unknown) > 0 {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod runs version %s, which ignores %s. The fields take effect once the pod is replaced.",
				objects.LegName(v.Role), cmp.Or(v.Status.Version, "unknown"), strings.Join(unknown, ", "))
		}
		if refusal := w.applied.AddressErrors[observed.PodKey(w.pair, v.Role, v.Pod.Pod)]; refusal != "" {
			return no(v1alpha1.ReasonDirectivePending, "The %s's pod has not taken over its media addresses yet: %s.",
				objects.LegName(v.Role), strings.TrimSuffix(refusal, "."))
		}
	}
	for _, v := range w.legs.Each() {
		other := w.legs.Of(objects.OtherRole(v.Role))
		if v.Pair != nil && v.Pair.Peer != nil && !v.Pair.Peer.Connected && w.lasts(latest(v.ReadySince(), other.ReadySince()), peerGrace) {
			return no(v1alpha1.ReasonRelayDown, "The %s's pod does not reach the %s's pod.", objects.LegName(v.Role), objects.LegName(other.Role))
		}
		if seen := v.Report(other.Role); other.Live() && seen != nil && !seen.Live && w.lasts(w.liveSince(other.Role), relayGrace) {
			return no(v1alpha1.ReasonRelayDown, "The %s's pod does not get the %s's media from its peer.",
				objects.LegName(v.Role), objects.LegName(other.Role))
		}
	}
	if v, disagree := w.disagreement(); disagree {
		return v
	}
	return yes(v1alpha1.ReasonConverged, "Both media pods play the same leg and follow the latest spec.")
}

// lasts reports whether something that began at since has lasted for
// grace. If not, the status is derived again at that time. A time from
// a clock that is ahead counts as lasting, so that it delays nothing.
func (w *statusWriter) lasts(since time.Time, grace time.Duration) bool {
	if w.isAhead(since) {
		return true
	}
	rest := grace - w.now.Sub(since)
	if rest > 0 {
		w.changesIn(rest)
	}
	return rest <= 0
}

// liveSince returns since when the leg's media arrives, as reported
// before, to a second. It returns now if the leg has just become live.
func (w *statusWriter) liveSince(role v1alpha1.Role) time.Time {
	c := LegCondition(w.last, role)
	if c.Status == metav1.ConditionTrue || c.Reason == v1alpha1.ReasonNoEntryPoint {
		return c.LastTransitionTime.Time
	}
	return w.now
}

// disagreement reports that the pods play different
// legs, once that has lasted for disagreementGrace.
func (w *statusWriter) disagreement() (verdict, bool) {
	primary, backup := w.legs.Primary.Playing(), w.legs.Backup.Playing()
	if primary == backup || primary == "" || backup == "" || len(observed.PlayingPairs(w.legs)) < 2 {
		return verdict{}, false
	}
	var switched time.Time
	for _, v := range w.legs.Each() {
		if v.Pair.Since != nil && !w.isAhead(*v.Pair.Since) {
			switched = latest(switched, *v.Pair.Since)
		}
	}
	if !w.lasts(switched, disagreementGrace) {
		return verdict{}, false
	}
	return no(v1alpha1.ReasonPodsDisagree, "The primary's pod plays the %s, and the backup's pod plays the %s.",
		objects.LegName(primary), objects.LegName(backup)), true
}

// pending reports whether the pod follows another spec than the latest one: an
// earlier spec, or that of a pair of this name that was restored or made again since.
func (w *statusWriter) pending(v *observed.Leg) bool {
	return !pods.ManifestOf(v.Status).Is(pods.VersionOf(w.pair)) && !w.applied.Accepted[observed.PodKey(w.pair, v.Role, v.Pod.Pod)]
}

// keepsOldGeneration returns what to do about a pod of an earlier version,
// which never accepts a lower generation. Empty: nothing.
func (w *statusWriter) keepsOldGeneration(v *observed.Leg) string {
	if v.Status.ConfigGeneration <= w.pair.Generation || w.applied.PushErrors[observed.PodKey(w.pair, v.Role, v.Pod.Pod)] == "" {
		return ""
	}
	return fmt.Sprintf(" A media server of this version keeps the higher generation. Delete pod %s. The pod that replaces it follows the latest spec.", v.Pod.Name)
}

// progressing returns the condition Progressing: a rollout or a planned switch is under way.
func (w *statusWriter) progressing() verdict {
	rollout := w.rollout
	switch {
	case len(rollout.Running) > 0:
		var legs []string
		for _, role := range rollout.Running {
			legs = append(legs, objects.LegName(role))
		}
		reason := v1alpha1.ReasonRollingOut
		if rollout.NeedsTurn && !rollout.WaitsForTurn {
			reason = v1alpha1.ReasonRollingOutUpdate
		}
		return yes(reason, "The pod of the %s is being made or replaced.", strings.Join(legs, " and of the "))
	case w.legs.Primary.Switching() || w.legs.Backup.Switching():
		return yes(v1alpha1.ReasonSwitchingOver, "A planned switch waits for the next key frame.")
	case rollout.WaitsForStandby:
		return no(v1alpha1.ReasonWaitingForStandbyPublisher, "The pod of the leg on air is replaced once the other leg is live.")
	case rollout.WaitsForIdle:
		return no(v1alpha1.ReasonWaitingForIdle, "The media pods are replaced once nobody publishes or watches (spec.mediaServer.updatePolicy).")
	case rollout.WaitsForTurn:
		return no(v1alpha1.ReasonWaitingForOtherRollouts,
			"The media pods of other pairs are replaced first. --max-concurrent-rollouts limits how many pairs are updated at a time.")
	}
	return no(v1alpha1.ReasonUpToDate, "The media pods are up to date.")
}

func (w *statusWriter) unreachable() string {
	var lost []string
	for _, v := range w.legs.Each() {
		if v.Reach == observed.ReachLost {
			lost = append(lost, objects.LegName(v.Role))
		}
	}
	return fmt.Sprintf("The operator does not reach the media pod of the %s.", strings.Join(lost, " and of the "))
}

func (w *statusWriter) silence(v *observed.Leg) string {
	message := fmt.Sprintf("The operator does not reach the media pod of the %s", objects.LegName(v.Role))
	if err := v.Pod.State.Err; err != "" {
		message += ": " + strings.TrimSuffix(err, ".")
	}
	return message + "."
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
