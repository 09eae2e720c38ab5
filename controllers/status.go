package controllers

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// Two pods that make the same switch do so some milliseconds apart: times this near to
	// each other tell of one event.
	sameEvent = 2 * time.Second
	// disagreementGrace is how long two pods may play different legs without being said to
	// disagree: one of them hears of a switch by the other.
	disagreementGrace = time.Second
	// relayGrace is how long a pod may lack the media that the other one has got, without the
	// relay being said to be down; peerGrace how long it may take to reach a new pod.
	relayGrace = 3 * time.Second
	peerGrace  = 10 * time.Second
)

// A statusWriter derives a status. It has no effects.
type statusWriter struct {
	pair    *v1alpha1.StreamPair
	refused Refusals
	seen    *Observation
	plan    *Plan
	outcome *Outcome
	last    *v1alpha1.StreamPairStatus // as reported before
	before  *v1alpha1.StreamPairStatus // the same, without Unknown legs; see reports.before
	legs    *views
	now     time.Time
	recheck time.Duration // when time alone changes the status
}

// newStatus returns the whole status of a pair, and when it changes by waiting alone; 0:
// never. It is pure. last is the status reported before: its times are kept for what did
// not change, and it stands where a pod has not been heard yet. before is the same with the
// states of legs before they became Unknown.
func newStatus(pair *v1alpha1.StreamPair, refused Refusals, seen *Observation, plan *Plan, outcome *Outcome,
	last, before *v1alpha1.StreamPairStatus, now time.Time,
) (*v1alpha1.StreamPairStatus, time.Duration) {
	w := &statusWriter{
		pair: pair, refused: refused, seen: seen, plan: plan, outcome: outcome, last: last, before: before, now: now,
		legs: viewLegs(pair, seen, now),
	}
	status := &v1alpha1.StreamPairStatus{
		ObservedGeneration: pair.Generation,
		PlaybackURL:        w.address(plan.Addresses.Playback, last.PlaybackURL, PlayPath(pair)),
	}
	for _, role := range Roles() {
		status.Ingest = append(status.Ingest, w.ingest(role))
	}
	status.ActiveStream = w.activeStream()
	status.LastSwitch = w.lastSwitch(status.ActiveStream)
	status.Conditions = w.conditions(status)
	return status, w.recheck
}

// blindStatus is the last status with a Ready that says why there is no newer one; nil: the
// last one says so. Errors of connections differ each time, and are said once.
func blindStatus(pair *v1alpha1.StreamPair, last *v1alpha1.StreamPairStatus, err error, now time.Time) *v1alpha1.StreamPairStatus {
	ready := meta.FindStatusCondition(last.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonReadFailed && ready.ObservedGeneration == pair.Generation {
		return nil
	}
	status := last.DeepCopy()
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonReadFailed,
		Message:            sentences([]string{"the operator cannot look at the pair: " + shortLine(err.Error())}),
		ObservedGeneration: pair.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
	return status
}

// changesIn notes that the status changes after d by itself.
func (w *statusWriter) changesIn(d time.Duration) {
	w.recheck = earliest(w.recheck, max(d, 10*time.Millisecond))
}

// ingest describes one leg as its own pod sees it.
func (w *statusWriter) ingest(role v1alpha1.Role) v1alpha1.IngestStatus {
	v := w.legs.of(role)
	last := ingestOf(w.last, role)
	path := "/" + streamID(w.pair, role)
	s := v1alpha1.IngestStatus{
		Role: role, RTMP: w.address(w.plan.Addresses.RTMP[role], last.RTMP, "/"+w.pair.Spec.App+path),
		WHIP:  w.address(w.plan.Addresses.WHIP[role], last.WHIP, w.whipPath(role)),
		State: w.ingestState(v), Playing: v.playing(),
	}
	if v.pod != nil {
		s.PodName, s.NodeName = v.pod.Name, v.pod.Spec.NodeName
	}
	if v.reach == reachStarting {
		s.Playing = last.Playing
	}
	return s
}

// whipPath is how the WHIP URL of a leg ends.
func (w *statusWriter) whipPath(role v1alpha1.Role) string {
	return "/" + w.pair.Spec.App + "/whip/" + streamID(w.pair, role)
}

// address returns the address as it is known now, and of a paused pair the one before if it
// is for the same path: without pods there is no node by which to tell it, and those who have
// it shall find the pair there again.
func (w *statusWriter) address(now, before, path string) string {
	if now == "" && w.pair.Spec.Paused && strings.HasSuffix(before, path) {
		return before
	}
	return now
}

func (w *statusWriter) ingestState(v *legView) v1alpha1.IngestState {
	last := ingestOf(w.before, v.role)
	switch {
	case w.pair.Spec.Paused:
		return v1alpha1.IngestWaiting
	case v.reach == reachLost:
		return v1alpha1.IngestUnknown
	case v.reach == reachStarting && last.State != "":
		return ingestOf(w.last, v.role).State
	case v.live():
		return v1alpha1.IngestLive
	case v.leg != nil && v.leg.LossReason == control.LossDisconnected:
		return v1alpha1.IngestLost
	case last.State == v1alpha1.IngestLive || last.State == v1alpha1.IngestLost:
		// An encoder that is connected and silent either fell silent or is about to begin;
		// a pod that is gone or new does not know that media did arrive. A stream of another
		// name has not been there yet, wherever its pod is.
		if last.WHIP == "" || strings.HasSuffix(last.WHIP, w.whipPath(v.role)) {
			return v1alpha1.IngestLost
		}
	}
	return v1alpha1.IngestWaiting
}

// playingPairs returns what the pods say that they play, without those that play nothing.
// A pod that does not answer counts only if no other plays: when it has just died, what it
// said last is not what viewers see.
func playingPairs(legs *views) []*control.Pair {
	var said, saidBefore []*control.Pair
	for _, v := range legs.each() {
		switch {
		case v.playing() == "":
		case v.pod.State.Connected:
			said = append(said, v.pair)
		default:
			saidBefore = append(saidBefore, v.pair)
		}
	}
	if len(said) > 0 {
		return said
	}
	return saidBefore
}

// onAir returns the leg that viewers see, by what the pods say now; none if nobody plays.
// If they disagree it is the leg that has been on longer.
func onAir(legs *views) v1alpha1.Role {
	if p := oldest(playingPairs(legs)); p != nil {
		return v1alpha1.Role(p.Active)
	}
	return ""
}

func oldest(pairs []*control.Pair) *control.Pair {
	var first *control.Pair
	for _, p := range pairs {
		if first == nil || p.Since != nil && first.Since != nil && p.Since.Before(*first.Since) {
			first = p
		}
	}
	return first
}

// activeStream is the last agreed leg while any pod plays it; where the pods never agreed,
// the leg that has been on longer.
func (w *statusWriter) activeStream() *v1alpha1.ActiveStream {
	last := w.last.ActiveStream
	if w.pair.Spec.Paused {
		return nil
	}
	pairs := playingPairs(w.legs)
	if len(pairs) == 0 {
		if w.anyReach(reachLost) || w.anyReach(reachStarting) {
			return last // nobody knows better
		}
		return nil
	}
	role := onAir(w.legs)
	if last != nil {
		for _, p := range pairs {
			if v1alpha1.Role(p.Active) == last.Role {
				role = last.Role
			}
		}
	}
	var those []*control.Pair
	for _, p := range pairs {
		if v1alpha1.Role(p.Active) == role {
			those = append(those, p)
		}
	}
	p := oldest(those)
	if last != nil && last.Role != role {
		// A pod that has just come to this leg knows why. Another may never have left it.
		those = slices.DeleteFunc(those, func(p *control.Pair) bool { return !switchedSince(p, last.StartTime.Time) })
		if came := oldest(those); came != nil {
			p = came
		}
	}
	active := &v1alpha1.ActiveStream{Role: role, StreamID: streamID(w.pair, role), StartTime: metav1.NewTime(w.now), Reason: p.Reason}
	if p.ActiveStreamID != "" {
		active.StreamID = p.ActiveStreamID
	}
	if p.Since != nil {
		active.StartTime = metav1.NewTime(*p.Since)
	}
	if last == nil {
		return truncated(active)
	}
	same := last.Role == role && last.StreamID == active.StreamID
	switch {
	case same && !active.StartTime.After(last.StartTime.Add(sameEvent)):
		return last
	case last.Role != role && !switchedSince(p, last.StartTime.Time) && !w.legs.of(last.Role).live():
		// The pod that plays this leg has not switched: it has no other while the relay is
		// down. What viewers get changed because the other pod's leg is gone.
		active.StartTime, active.Reason = metav1.NewTime(w.now), w.lossReason(last.Role)
	case last.Role != role && !active.StartTime.After(last.StartTime.Time):
		// The pod has not switched, or its clock is behind. The start never goes back.
		active.StartTime = metav1.NewTime(w.now)
	}
	return truncated(active)
}

// switchedSince says whether the pod knows of a switch after t to what it plays.
func switchedSince(p *control.Pair, t time.Time) bool {
	return p.LastSwitch != nil && p.LastSwitch.To == p.Active && !p.LastSwitch.Time.Before(t)
}

// truncated keeps the precision that the API keeps.
func truncated(a *v1alpha1.ActiveStream) *v1alpha1.ActiveStream {
	a.StartTime = metav1.NewTime(a.StartTime.Truncate(time.Second))
	return a
}

// lossReason says how a leg was lost, as a reason of a switch.
func (w *statusWriter) lossReason(role v1alpha1.Role) string {
	leg := w.legs.of(role).leg
	silent := leg != nil && leg.LossReason == control.LossSilent
	switch {
	case role == v1alpha1.RolePrimary && silent:
		return v1alpha1.SwitchPrimaryInputLost
	case role == v1alpha1.RolePrimary:
		return v1alpha1.SwitchPrimaryDisconnected
	case silent:
		return v1alpha1.SwitchBackupInputLost
	}
	return v1alpha1.SwitchBackupDisconnected
}

// lastSwitch is the latest switch that the pods know of, or that shows in the active
// stream.
func (w *statusWriter) lastSwitch(active *v1alpha1.ActiveStream) *v1alpha1.Switch {
	found := w.last.LastSwitch
	later := func(s *v1alpha1.Switch) {
		s.Time = metav1.NewTime(s.Time.Truncate(time.Second))
		if found == nil {
			found = s
			return
		}
		if same := s.From == found.From && s.To == found.To; same && !s.Time.After(found.Time.Add(sameEvent)) {
			return
		}
		if s.Time.After(found.Time.Time) || s.Time.Equal(&found.Time) && active != nil && s.To == active.Role {
			found = s
		}
	}
	for _, v := range w.legs.each() {
		if v.pair == nil || v.pair.LastSwitch == nil {
			continue
		}
		// A pod that has not caught up tells of what was; one that plays nothing too.
		if s := v.pair.LastSwitch; active == nil || v1alpha1.Role(s.To) == active.Role {
			later(&v1alpha1.Switch{
				From: v1alpha1.Role(s.From), To: v1alpha1.Role(s.To), Reason: s.Reason, Time: metav1.NewTime(s.Time),
			})
		}
	}
	if before := w.last.ActiveStream; before != nil && active != nil && before.Role != active.Role {
		if found == nil || found.To != active.Role || found.Time.Before(&before.StartTime) {
			later(&v1alpha1.Switch{From: before.Role, To: active.Role, Reason: active.Reason, Time: active.StartTime})
		}
	}
	return found
}

func (w *statusWriter) anyReach(r reach) bool {
	return w.legs.primary.reach == r || w.legs.backup.reach == r
}

// conditions are all that there are, each with the generation of the spec it speaks of.
func (w *statusWriter) conditions(status *v1alpha1.StreamPairStatus) []metav1.Condition {
	conditions := append([]metav1.Condition{}, w.last.Conditions...)
	exposed := w.exposed()
	for _, one := range []struct {
		name    string
		verdict verdict
	}{
		{v1alpha1.ConditionReady, w.ready(exposed)},
		{v1alpha1.ConditionOnAir, w.onAir(status.ActiveStream)},
		{v1alpha1.ConditionPrimaryLive, w.live(v1alpha1.RolePrimary)},
		{v1alpha1.ConditionBackupLive, w.live(v1alpha1.RoleBackup)},
		{v1alpha1.ConditionRedundant, w.redundant()},
		{v1alpha1.ConditionConverged, w.converged()},
		{v1alpha1.ConditionExposed, exposed},
		{v1alpha1.ConditionProgressing, w.progressing()},
	} {
		v := one.verdict
		if v.keep {
			if before := meta.FindStatusCondition(conditions, one.name); before != nil {
				before.ObservedGeneration = w.pair.Generation
				continue
			}
		}
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: one.name, Status: v.status, Reason: v.reason, Message: cut(v.message),
			ObservedGeneration: w.pair.Generation, LastTransitionTime: metav1.NewTime(w.now.Truncate(time.Second)),
		})
	}
	return conditions
}
