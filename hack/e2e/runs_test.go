package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// eachRun makes a fault as often as the flags ask, to one leg and the other in turn.
func eachRun(t *testing.T, run func(t *testing.T, active v1alpha1.Role)) {
	t.Helper()
	for n := range options.runs {
		role := objects.Roles()[n%2]
		theCluster.attempts(t, fmt.Sprintf("run %d", n+1), options.times, func(t *testing.T) { run(t, role) })
	}
}

// attempts runs run, and runs it once more if a figure was over its limit, which is times
// its goal. The machine may have been held up, which hardly happens twice in a row.
func (s *testCluster) attempts(t *testing.T, name string, times int, run func(t *testing.T)) {
	t.Helper()
	defer func() { s.attempt, s.times = measure.Only, options.times }()
	s.attempt, s.times, s.slow = measure.First, times, nil
	if !t.Run(name, run) || len(s.slow) == 0 {
		return
	}
	for _, figure := range s.slow {
		t.Logf("REPEATED: %s, for %s", name, figure)
	}
	s.attempt = measure.Repeated
	t.Run(name+", repeated", run)
}

// judged adds a figure to the table. If the figure is
// over its limit, the test fails or the run is repeated.
func (s *faultRun) judged(what measure.What, figure time.Duration, reconnects int,
	judge func(figure time.Duration, times int, attempt measure.Attempt) (measure.Verdict, time.Duration),
) {
	s.t.Helper()
	verdict, limit := judge(figure, s.times, s.attempt)
	s.table.Add(what, measure.Figure{Length: figure, Reconnects: reconnects, Verdict: verdict, Limit: limit})
	text := fmt.Sprintf("%s: %s: %v; to reach: %s, limit %v", what.Fault, what.Who, figure.Round(time.Millisecond), what.Goal, limit)
	switch verdict {
	case measure.Again:
		s.slow = append(s.slow, text)
	case measure.Failed:
		s.t.Error(text)
	}
}
