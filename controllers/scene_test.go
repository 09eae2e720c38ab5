package controllers

import (
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/observed/observedtest"
	"github.com/streampair/streampair/controllers/permit"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/status"
)

// sceneNow is the time at which scenes start.
var sceneNow = observedtest.Start()

// A scene is all that a reconcile knows: what is observed of a pair, and what was
// reported of it before. In a new scene nothing has to be done. Tests change it.
type scene struct {
	*observedtest.Scene
	refused permit.Refusals
	outcome *Outcome
	last    *v1alpha1.StreamPairStatus
	known   knownStates
}

func newScene(t *testing.T, spec func(*v1alpha1.StreamPairSpec)) *scene {
	t.Helper()
	return &scene{Scene: observedtest.New(t, spec), last: &v1alpha1.StreamPairStatus{}, outcome: newOutcome()}
}

func newOutcome() *Outcome {
	return &Outcome{Applied: status.Applied{Accepted: map[pods.Key]bool{}, PushErrors: map[pods.Key]string{}, AddressErrors: map[pods.Key]string{}}}
}

func (s *scene) decide() *Plan {
	s.T.Helper()
	return s.decideWith(newDesired(s.Pair, s.Settings))
}

// decideWith decides with what is known of the pair's objects.
func (s *scene) decideWith(want *desired) *Plan {
	s.T.Helper()
	plan, err := decide(s.Pair, want, s.Seen, decideRollout(s.Pair, want, s.Seen, s.Now), s.Now)
	if err != nil {
		s.T.Fatal(err)
	}
	return plan
}

// facts returns the facts from which the status of a plan is derived.
func (s *scene) facts(plan *Plan) status.Facts {
	return status.Facts{
		Pair: s.Pair, Refused: s.refused, Seen: s.Seen, Addresses: plan.Addresses, Rollout: plan.Rollout, Applied: &s.outcome.Applied,
		Last: s.last, Before: s.known.in(s.last), Now: s.Now,
	}
}

func (s *scene) report() (*v1alpha1.StreamPairStatus, time.Duration) {
	s.T.Helper()
	plan := s.decide()
	s.outcome.Conflicts = append(s.outcome.Conflicts, plan.Conflicts...)
	return status.New(s.facts(plan))
}

// goesOn makes the current status the one reported before, and advances the clock by d.
func (s *scene) goesOn(d time.Duration) {
	s.T.Helper()
	status, _ := s.report()
	s.last, s.Now = status, s.Now.Add(d)
	s.outcome = newOutcome()
}
