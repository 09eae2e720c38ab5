package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/seeded"
)

var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second))).Truncate(time.Microsecond)
}

// pod returns the report of a pod that has run since start. Each event is a line: seconds, kind, leg,
// and perhaps the gap in milliseconds; the oldest is first.
func pod(events ...string) Report {
	r := Report{Started: start, Entries: []control.HistoryEntry{}}
	for _, event := range events {
		var seconds float64
		e := control.HistoryEntry{Reason: "Selected"}
		if n, err := fmt.Sscan(event, &seconds, &e.Kind, &e.Leg, &e.GapMilliseconds); n < 3 {
			panic(err)
		}
		e.Time = at(seconds)
		r.Entries = append([]control.HistoryEntry{e}, r.Entries...)
	}
	return r
}

// lines returns the record in the same form, each line after its number; the newest is first.
func lines(r Record) []string {
	var out []string
	for _, e := range r.Entries {
		line := fmt.Sprintf("%d: %g %s %s", e.Number, e.Time.Sub(start).Seconds(), e.Kind, e.Leg)
		if e.GapMilliseconds != 0 {
			line += fmt.Sprint(" ", e.GapMilliseconds)
		}
		out = append(out, line)
	}
	return out
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct {
		name string
		// passes are what the pods report, one pass of the operator after another.
		passes [][]Report
		want   []string
	}{
		{name: "no pod is heard", passes: [][]Report{nil}},
		{name: "a pod of the version before tells no history", passes: [][]Report{{{Started: start}}}},
		{
			name:   "both pods make a switch: one entry, with the longer gap",
			passes: [][]Report{{pod("0 OnAir Primary", "10 Switched Backup 40"), pod("0.3 OnAir Primary", "10.05 Switched Backup 67")}},
			want:   []string{"2: 10 Switched Backup 67", "1: 0 OnAir Primary"},
		},
		{
			name: "the second pod is heard later: the entry keeps its number and its time",
			passes: [][]Report{
				{pod("0 OnAir Primary", "10.05 Switched Backup 67")},
				{pod("0 OnAir Primary", "10.05 Switched Backup 67"), pod("0.3 OnAir Primary", "10 Switched Backup 40")},
			},
			want: []string{"2: 10.05 Switched Backup 67", "1: 0 OnAir Primary"},
		},
		{
			name: "a pod that made the same switch twice within a second made two",
			passes: [][]Report{{
				pod("0 OnAir Primary", "10 Switched Backup", "10.5 Switched Primary", "11 Switched Backup"),
				pod("0 OnAir Primary", "10.1 Switched Backup", "10.6 Switched Primary", "11.1 Switched Backup"),
			}},
			want: []string{"4: 11 Switched Backup", "3: 10.5 Switched Primary", "2: 10 Switched Backup", "1: 0 OnAir Primary"},
		},
		{
			name: "a pod that follows late makes no other switch",
			passes: [][]Report{{
				pod("0 OnAir Primary", "10 Switched Backup"), pod("0 OnAir Primary", "15 Switched Backup"),
			}},
			want: []string{"2: 10 Switched Backup", "1: 0 OnAir Primary"},
		},
		{
			name: "a pod that starts puts on air what was on air, and finds what is whole",
			passes: [][]Report{
				{pod("0 OnAir Primary", "1 Redundant Backup", "20 RedundancyLost Backup")},
				{
					pod("0 OnAir Primary", "1 Redundant Backup", "20 RedundancyLost Backup", "30 Redundant Backup"),
					pod("25 OnAir Primary", "33 Redundant Backup"),
				},
			},
			want: []string{
				"4: 30 Redundant Backup", "3: 20 RedundancyLost Backup", "2: 1 Redundant Backup", "1: 0 OnAir Primary",
			},
		},
		{
			name: "both pods have ended: their history stays",
			passes: [][]Report{
				{pod("0 OnAir Primary", "10 Switched Backup")},
				{pod(), pod()},
				{pod("60 OnAir Backup", "70 Switched Primary"), pod("60 OnAir Backup", "70 Switched Primary")},
			},
			want: []string{"3: 70 Switched Primary", "2: 10 Switched Backup", "1: 0 OnAir Primary"},
		},
		{
			name: "the operator was away for three switches",
			passes: [][]Report{
				{pod("0 OnAir Primary")},
				{
					pod("0 OnAir Primary", "10 Switched Backup", "20 Switched Primary", "30 Switched Backup"),
					pod("0 OnAir Primary", "10 Switched Backup", "20 Switched Primary", "30 Switched Backup"),
				},
			},
			want: []string{"4: 30 Switched Backup", "3: 20 Switched Primary", "2: 10 Switched Backup", "1: 0 OnAir Primary"},
		},
		{
			name: "an event that is learned late is in its place, with a later number",
			passes: [][]Report{
				{pod("0 OnAir Primary", "30 Switched Backup")},
				{pod("0 OnAir Primary", "30 Switched Backup"), pod("10 Dark Primary", "20 OnAir Primary 10000")},
			},
			want: []string{"2: 30 Switched Backup", "4: 20 OnAir Primary 10000", "3: 10 Dark Primary", "1: 0 OnAir Primary"},
		},
		{
			name: "the dark begins and ends with its own entries, whatever is switched meanwhile",
			passes: [][]Report{{
				pod("0 OnAir Primary", "10 Dark Primary", "20 Switched Backup 10000", "20 OnAir Backup 10000"),
			}},
			want: []string{"4: 20 OnAir Backup 10000", "3: 20 Switched Backup 10000", "2: 10 Dark Primary", "1: 0 OnAir Primary"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Record
			for _, reports := range tt.passes {
				r, _ = Merge(r, reports, at(100))
				again, wait := Merge(r, reports, at(100))
				if diff := cmp.Diff(r, again); diff != "" || wait != 0 {
					t.Fatalf("the same reports change the record (-before +after), wait %v:\n%s", wait, diff)
				}
			}
			if diff := cmp.Diff(tt.want, lines(r)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEventThatIsAheadWaits(t *testing.T) {
	r, wait := Merge(Record{}, []Report{pod("0 OnAir Primary", "10 Switched Backup")}, at(5))
	if diff := cmp.Diff([]string{"1: 0 OnAir Primary"}, lines(r)); diff != "" || wait != 3*time.Second {
		t.Errorf("wait %v, want 3s; history (-want +got):\n%s", wait, diff)
	}
}

func TestTheOldestEventsFallOffTheList(t *testing.T) {
	var events []string
	for i := range 2 * Max {
		events = append(events, fmt.Sprintf("%d Switched %s", 10*i, []string{"Backup", "Primary"}[i%2]))
	}
	var r Record
	for i := range events {
		// A pod keeps as many as the status.
		told := pod(events[max(0, i+1-control.MaxHistory) : i+1]...)
		r, _ = Merge(r, []Report{told, told}, at(10_000))
	}
	oldest, newest := r.Entries[len(r.Entries)-1], r.Entries[0]
	if len(r.Entries) != Max || newest.Number != 2*Max || oldest.Number != Max+1 {
		t.Errorf("%d entries, from %d to %d", len(r.Entries), oldest.Number, newest.Number)
	}
	if !r.CompleteSince.Equal(&oldest.Time) {
		t.Errorf("complete since %v, want %v", r.CompleteSince, oldest.Time)
	}
	// What has fallen off does not come back, not even from a pod that still has it.
	again, _ := Merge(r, []Report{pod(events[:Max]...)}, at(10_000))
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestTheRecordSaysSinceWhenItIsComplete(t *testing.T) {
	since := func(d float64) *metav1.MicroTime {
		v := metav1.NewMicroTime(at(d))
		return &v
	}
	var long []string
	for i := range control.MaxHistory {
		long = append(long, fmt.Sprintf("%d Switched %s", 100+i, []string{"Backup", "Primary"}[i%2]))
	}
	for _, tt := range []struct {
		name    string
		last    Record
		reports []Report
		want    *metav1.MicroTime
	}{
		{"nobody tells", Record{}, []Report{{Started: at(5)}}, nil},
		{"the pod that has run longer knows more", Record{}, []Report{{at(5), []control.HistoryEntry{}}, {at(3), []control.HistoryEntry{}}}, since(3)},
		{"a pod whose list is full knows what is in the list", Record{}, []Report{pod(long...)}, since(100)},
		{"a new pod changes nothing", Record{CompleteSince: since(3)}, []Report{{at(1), []control.HistoryEntry{}}}, since(3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := Merge(tt.last, tt.reports, at(1000))
			if diff := cmp.Diff(tt.want, got.CompleteSince); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOperatorAddsWhatNoPodCanTell(t *testing.T) {
	r, _ := Merge(Record{}, []Report{pod("0 OnAir Primary")}, at(100))
	dark := v1alpha1.HistoryEntry{Kind: v1alpha1.HistoryDark, Time: metav1.NewMicroTime(at(50)), Leg: "Primary", Reason: "Paused"}
	if leg, dark := r.OnAir(); leg != "Primary" || dark {
		t.Errorf("before: %q is on air, dark: %v", leg, dark)
	}
	r = r.With(dark)
	r = r.With(dark)
	if diff := cmp.Diff([]string{"2: 50 Dark Primary", "1: 0 OnAir Primary"}, lines(r)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if leg, dark := r.OnAir(); leg != "" || !dark {
		t.Errorf("in the dark: %q is on air, dark: %v", leg, dark)
	}
	r, _ = Merge(r, []Report{pod("60 OnAir Primary")}, at(100))
	if want := "3: 60 OnAir Primary"; !strings.HasPrefix(strings.Join(lines(r), "\n"), want) {
		t.Errorf("got %q, want first %q", lines(r), want)
	}
}

// However the operator comes and goes, and whichever pods it hears, each switch is there once.
func TestNoSwitchIsLostOrTwice(t *testing.T) {
	random := seeded.Rand(t)
	for range 200 {
		var both [2][]string
		var want []string
		var r Record
		for i := range 1 + random.IntN(40) {
			leg := []string{"Backup", "Primary"}[i%2]
			for pod := range both {
				both[pod] = append(both[pod], fmt.Sprintf("%g Switched %s", float64(10*i)+random.Float64(), leg))
			}
			want = append(want, leg)
			if random.IntN(3) == 0 {
				heard := pod(both[random.IntN(2)]...)
				r, _ = Merge(r, []Report{heard}, at(1000))
			}
		}
		r, _ = Merge(r, []Report{pod(both[1]...), pod(both[0]...)}, at(1000))
		var got []string
		for _, e := range slices.Backward(r.Entries) {
			got = append(got, string(e.Leg))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%v, %v (-want +got):\n%s", both, lines(r), diff)
		}
	}
}
