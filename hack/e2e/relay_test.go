package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	cluster "github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// The pods do not reach each other but are both well, so each plays what it
// has. When they reach each other again, they agree by one planned switch.
func TestTheRelayBetweenHealthyPodsIsCut(t *testing.T) {
	// A pod follows the other one at most every half a minute. So a relay that comes and goes does
	// not make the picture jump. followed is when a pod last did.
	const damping = 31 * time.Second
	followed := map[v1alpha1.Role]time.Time{}
	for _, test := range []struct {
		fault string
		how   cluster.Cut
		goal  measure.Goal
		other bool // the leg other than the first is active, so that there is less to wait for
	}{
		{"relay cut between healthy pods, connections reset", cluster.Reset, overByCut, false},
		{"relay cut between healthy pods, a black hole", cluster.BlackHole, overBySilence, true},
	} {
		t.Run(string(test.how), func(t *testing.T) {
			eachRun(t, func(t *testing.T, active v1alpha1.Role) {
				if test.other {
					active = objects.OtherRole(active)
				}
				here(t).needCluster(t)
				s := newFaultRun(t, active)
				s.observe(time.Until(followed[s.standby].Add(damping)))
				s.cutRelay(test.fault, test.how, test.goal)
				followed[s.standby] = time.Now()
			})
		})
	}
}

func (s *faultRun) cutRelay(fault string, how cluster.Cut, g measure.Goal) {
	s.t.Helper()
	ingesting, other := s.pods[s.active], s.pods[s.standby]
	s.do(fault, func() error {
		return s.cluster.CutRelay(s.t.Context(), ingesting.Status.PodIP, other.Status.PodIP, how)
	})
	s.observe(inputLoss + aftermath)
	s.figure(fault, "viewers of the ingesting pod", measure.Goal{}, s.watchers[s.active], s.page)
	s.figure(fault, "viewers of the other", g, s.watchers[s.standby])
	s.waitFor(s.t, "Converged=False", "OnAir=True")
	before := map[v1alpha1.Role]int{}
	for role, pod := range s.pods {
		state, err := stateAt(s.t.Context(), base(pod), "")
		s.must(err)
		if state.Active != role || !state.OnAir {
			s.t.Errorf("the %s's pod plays the %s (on air: %v), want what it ingests", role, state.Active, state.OnAir)
		}
		before[role] = state.Switches
	}

	s.do("heal the relay", func() error { return s.cluster.HealRelay(s.t.Context(), ingesting.Status.PodIP, other.Status.PodIP) })
	s.eventually("both pods play the "+string(s.active), func() bool {
		for _, pod := range s.pods {
			if state, err := stateAt(s.t.Context(), base(pod), ""); err != nil || state.Active != s.active {
				return false
			}
		}
		return true
	})
	s.took(fault, "converged after healing", 5*time.Second, time.Since(s.fault))
	s.waitFor(s.t, "Converged=True", "Redundant=True")
	s.observe(aftermath)
	s.figure(fault, "all viewers, after healing", overByCut, s.viewers()...)
	switches := map[v1alpha1.Role]int{}
	for role, pod := range s.pods {
		state, err := stateAt(s.t.Context(), base(pod), "")
		s.must(err)
		switches[role] = state.Switches - before[role]
	}
	if switches[s.active] != 0 || switches[s.standby] != 1 {
		s.t.Errorf("after healing the pods made %v switches, want one, of the %s's", switches, s.standby)
	}
	story := s.timeline.story("Converged", s.began)
	s.t.Logf("Converged was %v", story)
	if !slices.ContainsFunc(story, func(v string) bool {
		return v == "False/"+v1alpha1.ReasonRelayDown || v == "False/"+v1alpha1.ReasonPodsDisagree
	}) {
		s.t.Errorf("Converged was %v: it told nothing", story)
	}
}
