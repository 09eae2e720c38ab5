package status

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// faults has the reason of each fault that a media server reports, and the sentence about a leg and
// the other leg.
var faults = map[string]struct{ reason, text string }{
	control.FaultBlack:        {v1alpha1.ReasonBlack, "The %s's picture is black or of one colour, and the %s's is not."},
	control.FaultFrozen:       {v1alpha1.ReasonFrozen, "The %s's picture stands still, and the %s's moves."},
	control.FaultSilent:       {v1alpha1.ReasonSilent, "The %s's sound is silent, and the %s's is not."},
	control.FaultLowBitrate:   {v1alpha1.ReasonLowBitrate, "The %s's bit rate is low, and the %s's is not."},
	control.FaultLowFrameRate: {v1alpha1.ReasonLowFrameRate, "The %s's picture rate is low, and the %s's is not."},
}

// notWatched says why a picture is not measured.
var notWatched = map[string]string{
	control.NotWatchedNoFFmpeg: "The media pod has no ffmpeg. Sound and rates are watched.",
	control.NotWatchedFull:     "The media pod watches as many pictures as it may (--max-analysers). Sound and rates are watched.",
	control.NotWatchedNoMemory: "The media pod has too little memory for an ffmpeg (spec.mediaServer.resources). Sound and rates are watched.",
	control.NotWatchedFailed:   "ffmpeg fails on the picture; the media pod's log says why. Sound and rates are watched.",
}

func faultText(role v1alpha1.Role, fault string) string {
	f, ok := faults[fault]
	if !ok {
		return fmt.Sprintf("The %s's content has the fault %s.", objects.LegName(role), fault)
	}
	return fmt.Sprintf(f.text, objects.LegName(role), objects.LegName(objects.OtherRole(role)))
}

// healthy returns the condition PrimaryHealthy or BackupHealthy: the leg's
// picture and sound are without a fault that the other leg's are without.
func (w *statusWriter) healthy(role v1alpha1.Role) verdict {
	v := w.legs.Of(role)
	switch {
	case w.pair.Spec.Paused:
		return unknown(v1alpha1.ReasonPaused, "spec.paused is true.")
	case v.Reach == observed.ReachLost:
		return unknown(v1alpha1.ReasonPodUnreachable, "%s", w.silence(v))
	case v.Reach == observed.ReachStarting:
		verdict := unknown(v1alpha1.ReasonPodNotReady, "The operator has not heard the leg's media pod yet.")
		verdict.keep = true
		return verdict
	case v.Reach == observed.ReachNone:
		return unknown(v1alpha1.ReasonPodNotReady, "The leg's media pod is not ready.")
	case !v.Live():
		return unknown(v1alpha1.ReasonNotLive, "The leg has no media.")
	case v.Own.Content == nil:
		return unknown(v1alpha1.ReasonNotCompared, "The leg's media pod does not measure.")
	}
	c := v.Own.Content
	if len(c.Faults) > 0 {
		return no(faults[c.Faults[0]].reason, "%s", faultText(role, c.Faults[0]))
	}
	if !c.Compared {
		return unknown(v1alpha1.ReasonNotCompared, "The legs are not both measured, so there is nothing to compare with.")
	}
	for _, leg := range []*observed.Leg{v, w.legs.Of(objects.OtherRole(role))} {
		if leg.Own == nil || leg.Own.Content == nil {
			continue
		}
		if why := notWatched[leg.Own.Content.NotWatched]; why != "" {
			return unknown(v1alpha1.ReasonNotWatched, "The %s's picture is not watched. %s", objects.LegName(leg.Role), why)
		}
		if leg.Own.Content.NotHeard {
			return unknown(v1alpha1.ReasonNotWatched, "The %s's sound cannot be decoded, and so not measured. Set the encoder to AAC-LC in stereo.", objects.LegName(leg.Role))
		}
	}
	return yes(v1alpha1.ReasonHealthy, "Picture and sound have no fault that the other leg's have not.")
}

// inStep returns the condition InStep: both legs show the same moment of the programme.
func (w *statusWriter) inStep() verdict {
	if w.pair.Spec.Paused {
		return unknown(v1alpha1.ReasonPaused, "spec.paused is true.")
	}
	if w.anyReach(observed.ReachStarting) {
		verdict := unknown(v1alpha1.ReasonPodNotReady, "The operator has not heard both media pods yet.")
		verdict.keep = true
		return verdict
	}
	var step *control.Step
	for _, v := range w.legs.Each() {
		if v.Pair != nil && v.Pair.Step != nil && (step == nil || v.Pair.Step.Known && !step.Known) {
			step = v.Pair.Step
		}
	}
	switch {
	case !w.legs.Primary.Live() || !w.legs.Backup.Live():
		return unknown(v1alpha1.ReasonNotLive, "The legs do not both have media.")
	case step == nil:
		return unknown(v1alpha1.ReasonNotCompared, "The media pods do not measure.")
	case !step.Known:
		return unknown(v1alpha1.ReasonStepUnknown, "The legs' sound does not show by how much they differ.")
	}
	offset := time.Duration(step.OffsetMilliseconds) * time.Millisecond
	if offset.Abs() >= preflight.OutOfStep {
		return no(v1alpha1.ReasonOutOfStep, "%s A switch repeats or leaves out that much of the programme.", offsetText(offset))
	}
	return yes(v1alpha1.ReasonInStep, "%s", offsetText(offset))
}

func offsetText(offset time.Duration) string {
	switch {
	case offset == 0:
		return "The legs show the same moment."
	case offset > 0:
		return fmt.Sprintf("The backup is %v later than the primary.", offset)
	}
	return fmt.Sprintf("The primary is %v later than the backup.", -offset)
}

// healthCondition returns the condition of a leg's content; zero if there is none yet.
func healthCondition(status *v1alpha1.StreamPairStatus, role v1alpha1.Role) metav1.Condition {
	name := v1alpha1.ConditionPrimaryHealthy
	if role == v1alpha1.RoleBackup {
		name = v1alpha1.ConditionBackupHealthy
	}
	if c := meta.FindStatusCondition(status.Conditions, name); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// contentEdges returns what has begun or ended with a leg's content.
func contentEdges(before, after *v1alpha1.StreamPairStatus, role v1alpha1.Role) []Edge {
	was, is := healthCondition(before, role), healthCondition(after, role)
	switch {
	case is.Status == metav1.ConditionFalse && (was.Status != metav1.ConditionFalse || was.Reason != is.Reason):
		return []Edge{{corev1.EventTypeWarning, v1alpha1.EventContentFault, actionWatch, is.Message}}
	case is.Status == metav1.ConditionTrue && was.Status == metav1.ConditionFalse:
		return []Edge{{corev1.EventTypeNormal, v1alpha1.EventContentRecovered, actionWatch,
			fmt.Sprintf("The %s's picture and sound are well again.", objects.LegName(role))}}
	}
	return nil
}
