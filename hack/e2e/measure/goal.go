package measure

import (
	"fmt"
	"time"
)

// Steady is the longest time without a new picture that does not
// count as a gap. Viewers of a pair without a fault stay below it, on
// a machine of two cores that runs a cluster, encoders and a browser.
const Steady = 200 * time.Millisecond

// Strictly and Busily are how many times its goal a figure may be.
const (
	// Strictly is for a machine on which nothing else runs.
	Strictly = 2
	// Busily is for a machine on which other work delays the tests.
	Busily = 5
)

// A Goal is the goal of a viewer's figure.
type Goal struct {
	// Within is the longest time without a new picture; 0: the same as without a fault.
	Within time.Duration
	// Reconnects says that new sessions may be opened.
	Reconnects bool
}

func (g Goal) String() string {
	text := "nothing"
	if g.Within > 0 {
		text = fmt.Sprintf("≤ %d ms", g.Within.Milliseconds())
	}
	if !g.Reconnects {
		text += ", no reconnect"
	}
	return text
}

// limit returns times the goal, but at most 5 s more than the goal.
func (g Goal) limit(times int) time.Duration {
	return min(time.Duration(times)*max(g.Within, Steady), g.Within+5*time.Second)
}

// Judge returns the verdict on a figure, and the limit: times the goal.
func (g Goal) Judge(figure time.Duration, times int, attempt Attempt) (v Verdict, limit time.Duration) {
	return judge(figure, max(g.Within, Steady), g.limit, times, attempt)
}

// A Deadline is the goal of a figure that is not a gap,
// such as how long it takes until an object exists.
type Deadline time.Duration

func (d Deadline) String() string { return fmt.Sprintf("≤ %v", time.Duration(d)) }

// limit returns times the deadline, but not more than
// half of the deadline later, or 10 s if that is longer.
func (d Deadline) limit(times int) time.Duration {
	goal := time.Duration(d)
	return min(time.Duration(times)*goal, goal+max(goal/2, 10*time.Second))
}

// Judge is Goal.Judge for a deadline.
func (d Deadline) Judge(figure time.Duration, times int, attempt Attempt) (v Verdict, limit time.Duration) {
	return judge(figure, time.Duration(d), d.limit, times, attempt)
}

// An Attempt says to which attempt at a run a figure belongs.
type Attempt int

const (
	// Only is an attempt that is not repeated, such as a soak.
	Only Attempt = iota
	// First is an attempt that is repeated if a figure is too long.
	First
	// Repeated is the second and last attempt.
	Repeated
)

// A Verdict is what a figure means for its test.
type Verdict int

const (
	// Reached says that the figure is within the goal.
	Reached Verdict = iota
	// Over says that the figure is over the goal, but within the limit.
	Over
	// Again says that the figure is over the limit, and that the run must be repeated.
	Again
	// Failed says that the figure fails the test.
	Failed
)

// judge fails a figure over the limit, with two exceptions. An attempt that is not repeated
// may take Busily times the goal. The first attempt is repeated, unless nothing else runs on
// the machine and the figure is over Busily times the goal.
func judge(figure, goal time.Duration, limitOf func(times int) time.Duration, times int, attempt Attempt) (v Verdict, limit time.Duration) {
	if attempt == Only {
		times = max(times, Busily)
	}
	limit = limitOf(times)
	switch {
	case figure > limit && attempt == First && (times >= Busily || figure <= limitOf(Busily)):
		return Again, limit
	case figure > limit:
		return Failed, limit
	case figure > goal:
		return Over, limit
	}
	return Reached, limit
}
