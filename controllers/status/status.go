// Package status derives the status of a pair from what was observed, decided and applied.
// [New] returns the status: conditions with reasons and messages, legs and switches. [Edges]
// returns the Events between one status and the next. The package is pure, and writes nothing.
package status

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/oneline"
	"github.com/streampair/streampair/controllers/orphans"
	"github.com/streampair/streampair/controllers/permit"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/rollout"
)

const (
	// sameEvent is how near two times must be to count as one
	// event. Two pods make the same switch some milliseconds apart.
	sameEvent = 2 * time.Second
	// disagreementGrace is how long two pods may play different legs before
	// they are reported to disagree. One pod learns of a switch from the other.
	disagreementGrace = time.Second
	// relayGrace is how long a pod may lack media that the other pod has before the relay
	// is reported to be down. peerGrace is how long a pod may take to reach a new pod.
	relayGrace = 3 * time.Second
	peerGrace  = 10 * time.Second
)

// Facts are what a status is derived from.
type Facts struct {
	// Pair is the pair as the operator serves it. Refused
	// is what its spec asked for but does not get.
	Pair    *v1alpha1.StreamPair
	Refused permit.Refusals
	// Seen is what was observed of the pair.
	Seen *observed.Pair
	// Addresses and Rollout are parts of the plan.
	Addresses addresses.Addresses
	Rollout   rollout.Rollout
	// Applied is the result of applying the plan.
	Applied *Applied
	// Last is the status reported before. Its times are kept for what did not
	// change, and its values for a pod that has not been heard yet. Before is
	// the same status, except that each Unknown leg has its last known state.
	Last, Before *v1alpha1.StreamPairStatus
	// Progress returns how far a receiver of events is; zero: unknown. Nil: nothing is sent.
	Progress func(receiver string) v1alpha1.NotificationStatus
	// Now is the time of the status.
	Now time.Time
}

// An Applied is the result of the writes and pushes to a pair, as far as the status shows it.
type Applied struct {
	// Conflicts are objects of others whose names the pair needs.
	Conflicts []orphans.Conflict
	// Refused are the objects that the API server refused, and why.
	Refused []string
	// Accepted are the pods that have accepted the manifest.
	Accepted map[pods.Key]bool
	// PushErrors say why the other pods have not accepted it, one line each.
	PushErrors map[pods.Key]string
	// AddressErrors say why pods did not take their media addresses, one line each.
	AddressErrors map[pods.Key]string
}

// A statusWriter derives a status. It has no effects outside itself.
type statusWriter struct {
	pair      *v1alpha1.StreamPair
	refused   permit.Refusals
	seen      *observed.Pair
	addresses addresses.Addresses
	rollout   rollout.Rollout
	applied   *Applied
	last      *v1alpha1.StreamPairStatus // as reported before
	before    *v1alpha1.StreamPairStatus // the same, with the last known states of Unknown legs
	legs      *observed.Legs
	now       time.Time
	recheck   time.Duration // when the status changes by time alone
}

// New returns the whole status of a pair, and after what time
// the status changes without any event; 0: never. It is pure.
func New(f Facts) (*v1alpha1.StreamPairStatus, time.Duration) {
	w := &statusWriter{
		pair: f.Pair, refused: f.Refused, seen: f.Seen, addresses: f.Addresses, rollout: f.Rollout, applied: f.Applied,
		last: f.Last, before: f.Before, now: f.Now, legs: observed.ViewLegs(f.Pair, f.Seen, f.Now),
	}
	pair, last := f.Pair, f.Last
	status := &v1alpha1.StreamPairStatus{
		ObservedGeneration: pair.Generation,
		Operator:           pair.Status.Operator,
		PlaybackURL:        w.address(f.Addresses.Playback, last.PlaybackURL, objects.PlayPath(pair)),
	}
	for _, role := range objects.Roles() {
		status.Ingest = append(status.Ingest, w.ingest(role))
	}
	status.ActiveStream = w.activeStream()
	status.LastSwitch = w.lastSwitch(status.ActiveStream)
	record := w.history(status.ActiveStream)
	status.History, status.HistoryCompleteSince = record.Entries, record.CompleteSince
	status.Notifications = w.notifications(record, f.Progress)
	status.Conditions = w.conditions(status)
	return status, w.recheck
}

// Unreadable returns the last status with a Ready condition that says why there
// is no newer status. It returns nil if the last status says so already.
// Errors of connections differ each time, so only the first one is reported.
func Unreadable(pair *v1alpha1.StreamPair, last *v1alpha1.StreamPairStatus, err error, now time.Time) *v1alpha1.StreamPairStatus {
	ready := meta.FindStatusCondition(last.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonReadFailed && ready.ObservedGeneration == pair.Generation {
		return nil
	}
	status := last.DeepCopy()
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonReadFailed,
		Message:            sentences([]string{"the operator cannot read the pair's objects: " + oneline.Short(err.Error())}),
		ObservedGeneration: pair.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
	return status
}

// changesIn notes that the status changes after d without any event.
func (w *statusWriter) changesIn(d time.Duration) {
	w.recheck = hints.Earliest(w.recheck, max(d, 10*time.Millisecond))
}

// ingest returns the status of one leg as the leg's own pod reports it.
func (w *statusWriter) ingest(role v1alpha1.Role) v1alpha1.IngestStatus {
	v := w.legs.Of(role)
	last := IngestOf(w.last, role)
	path := "/" + objects.StreamID(w.pair, role)
	s := v1alpha1.IngestStatus{
		Role: role, RTMP: w.address(w.addresses.RTMP[role], last.RTMP, "/"+w.pair.Spec.App+path),
		SRT:   w.address(w.addresses.SRT[role], last.SRT, ":"+w.pair.Spec.App+path),
		WHIP:  w.address(w.addresses.WHIP[role], last.WHIP, w.whipPath(role)),
		State: w.ingestState(v), Playing: v.Playing(),
	}
	if v.Pod != nil {
		s.PodName, s.NodeName = v.Pod.Name, v.Pod.Spec.NodeName
	}
	if v.Reach == observed.ReachStarting {
		s.Playing = last.Playing
	}
	return s
}

// whipPath returns the path of a leg's WHIP URL.
func (w *statusWriter) whipPath(role v1alpha1.Role) string {
	return "/" + w.pair.Spec.App + "/whip/" + objects.StreamID(w.pair, role)
}

// address returns the address known now. For a paused pair it returns the one before,
// if that has the same path. A paused pair has no pods, so no node tells the address.
// Encoders and viewers that use the address will reach the pair there again.
func (w *statusWriter) address(now, before, path string) string {
	if now == "" && w.pair.Spec.Paused && strings.HasSuffix(before, path) {
		return before
	}
	return now
}

func (w *statusWriter) ingestState(v *observed.Leg) v1alpha1.IngestState {
	last := IngestOf(w.before, v.Role)
	switch {
	case w.pair.Spec.Paused:
		return v1alpha1.IngestWaiting
	case v.Reach == observed.ReachLost:
		return v1alpha1.IngestUnknown
	case v.Reach == observed.ReachStarting && last.State != "":
		return IngestOf(w.last, v.Role).State
	case v.Live():
		return v1alpha1.IngestLive
	case v.Own != nil && v.Own.LossReason == control.LossDisconnected:
		return v1alpha1.IngestLost
	case last.State == v1alpha1.IngestLive || last.State == v1alpha1.IngestLost:
		// A connected, silent encoder has fallen silent or is about to
		// begin. A pod that is gone or new does not know of earlier media.
		// The state before counts, unless it is of another stream id.
		if last.WHIP == "" || strings.HasSuffix(last.WHIP, w.whipPath(v.Role)) {
			return v1alpha1.IngestLost
		}
	}
	return v1alpha1.IngestWaiting
}

// activeStream returns the last agreed leg while any pod plays it. If
// the pods never agreed, it returns the leg that has been on air longer.
func (w *statusWriter) activeStream() *v1alpha1.ActiveStream {
	last := w.last.ActiveStream
	if w.pair.Spec.Paused {
		return nil
	}
	pairs := observed.PlayingPairs(w.legs)
	if len(pairs) == 0 {
		if w.anyReach(observed.ReachLost) || w.anyReach(observed.ReachStarting) {
			return last // nobody knows better
		}
		return nil
	}
	role := observed.OnAir(w.legs)
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
	p := observed.Oldest(those)
	if last != nil && last.Role != role {
		// A pod that has just switched to this leg knows
		// why. Another pod may never have left the leg.
		those = slices.DeleteFunc(those, func(p *control.Pair) bool { return !switchedSince(p, last.StartTime.Time) })
		if came := observed.Oldest(those); came != nil {
			p = came
		}
	}
	active := &v1alpha1.ActiveStream{Role: role, StreamID: objects.StreamID(w.pair, role), StartTime: metav1.NewTime(w.now), Reason: p.Reason}
	if p.ActiveStreamID != "" {
		active.StreamID = p.ActiveStreamID
	}
	// A time from a clock that is ahead is useless. The leg came on air at the latest now.
	ahead := p.Since != nil && w.isAhead(*p.Since)
	if p.Since != nil && !ahead {
		active.StartTime = metav1.NewTime(*p.Since)
	}
	if last == nil {
		return truncated(active)
	}
	same := last.Role == role && last.StreamID == active.StreamID
	switch {
	case same && (ahead || !active.StartTime.After(last.StartTime.Add(sameEvent))):
		return last
	case last.Role != role && !switchedSince(p, last.StartTime.Time) && !w.legs.Of(last.Role).Live():
		// The pod that plays this leg has not switched: while the relay is down it has
		// no other leg. Viewers get another leg because the other pod's leg is gone.
		active.StartTime, active.Reason = metav1.NewTime(w.now), w.lossReason(last.Role)
	case last.Role != role && !active.StartTime.After(last.StartTime.Time):
		// The pod has not switched, or its clock is behind. The start never goes back.
		active.StartTime = metav1.NewTime(w.now)
	}
	return truncated(active)
}

// isAhead reports whether a pod's time comes from a clock that is ahead of the operator's.
func (w *statusWriter) isAhead(t time.Time) bool { return t.After(w.now.Add(sameEvent)) }

// switchedSince reports whether the pod switched to the leg that it plays at or after t.
func switchedSince(p *control.Pair, t time.Time) bool {
	return p.LastSwitch != nil && p.LastSwitch.To == p.Active && !p.LastSwitch.Time.Before(t)
}

// truncated cuts the start to seconds, the precision of the API.
func truncated(a *v1alpha1.ActiveStream) *v1alpha1.ActiveStream {
	a.StartTime = metav1.NewTime(a.StartTime.Truncate(time.Second))
	return a
}

// lossReason returns the reason of a switch that the loss of the leg caused.
func (w *statusWriter) lossReason(role v1alpha1.Role) string {
	leg := w.legs.Of(role).Own
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

// lastSwitch returns the latest switch. It comes from the pods,
// from the last status, or from a change of the active stream.
func (w *statusWriter) lastSwitch(active *v1alpha1.ActiveStream) *v1alpha1.Switch {
	found := w.last.LastSwitch
	later := func(s *v1alpha1.Switch) {
		ahead := w.isAhead(s.Time.Time)
		if ahead {
			s.Time = metav1.NewTime(w.now)
		}
		s.Time = metav1.NewTime(s.Time.Truncate(time.Second))
		if found == nil {
			found = s
			return
		}
		same := s.From == found.From && s.To == found.To
		if ahead || w.isAhead(found.Time.Time) {
			// One of the two times is useless. A different
			// switch that leads to the leg on air is later.
			if !same && active != nil && s.To == active.Role && found.To != s.To {
				found = s
			}
			return
		}
		if same && !s.Time.After(found.Time.Add(sameEvent)) {
			return
		}
		if s.Time.After(found.Time.Time) || s.Time.Equal(&found.Time) && active != nil && s.To == active.Role {
			found = s
		}
	}
	for _, v := range w.legs.Each() {
		if v.Pair == nil || v.Pair.LastSwitch == nil {
			continue
		}
		// A pod that has not caught up, or that plays nothing, reports an old switch.
		if s := v.Pair.LastSwitch; active == nil || v1alpha1.Role(s.To) == active.Role {
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

func (w *statusWriter) anyReach(r observed.Reach) bool {
	return w.legs.Primary.Reach == r || w.legs.Backup.Reach == r
}

// conditions returns all conditions, each with the generation of the spec that it is about.
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
		{v1alpha1.ConditionPrimaryHealthy, w.healthy(v1alpha1.RolePrimary)},
		{v1alpha1.ConditionBackupHealthy, w.healthy(v1alpha1.RoleBackup)},
		{v1alpha1.ConditionInStep, w.inStep()},
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
