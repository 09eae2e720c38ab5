package measure

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	const ms = time.Millisecond
	none, cut, page := Goal{}, Goal{Within: 300 * ms}, Goal{Within: 5 * time.Second, Reconnects: true}
	type judge func(time.Duration, int, Attempt) (Verdict, time.Duration)
	for _, test := range []struct {
		name    string
		judge   judge
		figure  time.Duration
		times   int
		attempt Attempt
		verdict Verdict
		limit   time.Duration
	}{
		{"within the goal", cut.Judge, 300 * ms, Strictly, First, Reached, 600 * ms},
		{"over the goal, within twice", cut.Judge, 600 * ms, Strictly, First, Over, 600 * ms},
		{"over twice: once more", cut.Judge, 601 * ms, Strictly, First, Again, 600 * ms},
		{"five times: once more", cut.Judge, 1500 * ms, Strictly, First, Again, 600 * ms},
		{"over five times: not once more", cut.Judge, 1501 * ms, Strictly, First, Failed, 600 * ms},
		{"over twice again", cut.Judge, 601 * ms, Strictly, Repeated, Failed, 600 * ms},
		{"within twice the second time", cut.Judge, 600 * ms, Strictly, Repeated, Over, 600 * ms},
		{"cannot be repeated: five times", cut.Judge, 1500 * ms, Strictly, Only, Over, 1500 * ms},
		{"cannot be repeated, over five times", cut.Judge, 1501 * ms, Strictly, Only, Failed, 1500 * ms},
		{"a busy machine: five times", cut.Judge, 1500 * ms, Busily, First, Over, 1500 * ms},
		{"a busy machine, over five times: once more", cut.Judge, 1501 * ms, Busily, First, Again, 1500 * ms},
		{"a busy machine, over five times again", cut.Judge, 1501 * ms, Busily, Repeated, Failed, 1500 * ms},
		{"as without a fault", none.Judge, Steady, Strictly, First, Reached, 2 * Steady},
		{"twice as without a fault", none.Judge, 2 * Steady, Strictly, First, Over, 2 * Steady},
		{"a gap without a fault", none.Judge, 2*Steady + 1, Strictly, First, Again, 2 * Steady},
		{"a gap without a fault, on a busy machine", none.Judge, time.Second, Busily, First, Over, time.Second},
		{"a long goal: at most 5 s more", page.Judge, 10 * time.Second, Busily, First, Over, 10 * time.Second},
		{"more than that", page.Judge, 10*time.Second + 1, Busily, Repeated, Failed, 10 * time.Second},
		{"in time", Deadline(5 * time.Second).Judge, 5 * time.Second, Strictly, First, Reached, 10 * time.Second},
		{"late", Deadline(5 * time.Second).Judge, 11 * time.Second, Strictly, First, Again, 10 * time.Second},
		{"late, on a busy machine", Deadline(5 * time.Second).Judge, 15 * time.Second, Busily, First, Over, 15 * time.Second},
		{"half of a long deadline late", Deadline(time.Minute).Judge, 90 * time.Second, Strictly, First, Over, 90 * time.Second},
		{"later", Deadline(time.Minute).Judge, 91 * time.Second, Strictly, First, Failed, 90 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict, limit := test.judge(test.figure, test.times, test.attempt)
			if verdict != test.verdict || limit != test.limit {
				t.Errorf("%v is judged %d with a limit of %v, want %d and %v", test.figure, verdict, limit, test.verdict, test.limit)
			}
		})
	}
}

func TestAGoalReadsAsInTheTable(t *testing.T) {
	for want, goal := range map[string]Goal{
		"nothing, no reconnect":  {},
		"≤ 200 ms, no reconnect": {Within: 200 * time.Millisecond},
		"≤ 5000 ms":              {Within: 5 * time.Second, Reconnects: true},
	} {
		if got := goal.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Deadline(90 * time.Second).String(); got != "≤ 1m30s" {
		t.Errorf("%q", got)
	}
}
