package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
)

var reportStart = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func minute(n float64) time.Time {
	return reportStart.Add(time.Duration(n * float64(time.Minute))).Truncate(time.Microsecond)
}

// pairWith returns a pair whose history is complete since the start. Each event is a line: the minute,
// kind, leg, reason, and perhaps the gap; the oldest is first.
func pairWith(events ...string) *v1alpha1.StreamPair {
	since := metav1.NewMicroTime(reportStart)
	pair := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday"}}
	pair.Status.HistoryCompleteSince = &since
	for i, event := range events {
		var at float64
		e := v1alpha1.HistoryEntry{Number: int64(i + 1)}
		if n, err := fmt.Sscan(event, &at, &e.Kind, &e.Leg, &e.Reason, &e.GapMilliseconds); n < 4 {
			panic(err)
		}
		e.Time = metav1.NewMicroTime(minute(at))
		pair.Status.History = append([]v1alpha1.HistoryEntry{e}, pair.Status.History...)
	}
	return pair
}

func TestTheMinutesOfAReport(t *testing.T) {
	onBackup := func(pair *v1alpha1.StreamPair) {
		pair.Status.ActiveStream = &v1alpha1.ActiveStream{Role: v1alpha1.RoleBackup}
		pair.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionRedundant, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPrimaryNotLive}}
	}
	for _, tt := range []struct {
		name   string
		events []string
		change func(*v1alpha1.StreamPair)
		since  float64 // minutes
		want   minutes // of 100, until the report is made
	}{
		{name: "nothing has ever been on air", want: minutes{OffAir: 100}},
		{name: "on the backup all along, as the status says", change: onBackup, want: minutes{Backup: 100, WithoutRedundancy: 100}},
		{
			name:   "it starts, and is redundant later",
			events: []string{"10 OnAir Primary Started", "15 Redundant Backup -"},
			want:   minutes{OffAir: 10, Primary: 90, WithoutRedundancy: 5},
		},
		{
			name:   "a failover, and the primary is back",
			events: []string{"0 OnAir Primary Started", "0 Redundant Backup -", "40 Switched Backup PrimaryInputLost 990", "40 RedundancyLost Primary PrimaryInputLost", "45 Redundant Primary -"},
			want:   minutes{Primary: 40, Backup: 60, WithoutRedundancy: 5},
		},
		{
			name:   "the same, of the last half of the time",
			events: []string{"0 OnAir Primary Started", "0 Redundant Backup -", "40 Switched Backup PrimaryInputLost 990", "40 RedundancyLost Primary PrimaryInputLost", "60 Redundant Primary -"},
			since:  50,
			want:   minutes{Backup: 50, WithoutRedundancy: 10},
		},
		{
			name:   "dark, and the other leg is back first",
			events: []string{"0 OnAir Primary Started", "0 Redundant Backup -", "20 RedundancyLost Backup BackupDisconnected", "30 Dark Primary PrimaryDisconnected", "32 Switched Backup PrimaryDisconnected 120000", "32 OnAir Backup - 120000", "50 Redundant Primary -"},
			want:   minutes{Primary: 30, Dark: 2, Backup: 68, WithoutRedundancy: 28},
		},
		{
			name:   "dark until now",
			events: []string{"0 OnAir Primary Started", "0 Redundant Backup -", "90 Dark Primary PrimaryDisconnected"},
			want:   minutes{Primary: 90, Dark: 10},
		},
		{
			name:   "a pause is not dark",
			events: []string{"0 OnAir Primary Started", "0 Redundant Backup -", "30 Dark Primary Paused", "70 OnAir Primary Started"},
			want:   minutes{Primary: 60, OffAir: 40},
		},
		{
			name:   "the events before have fallen off: the first ones tell what was before them",
			events: []string{"10 Switched Primary Selected 40", "20 RedundancyLost Backup BackupDisconnected"},
			want:   minutes{Backup: 10, Primary: 90, WithoutRedundancy: 80},
			change: func(pair *v1alpha1.StreamPair) {
				onBackup(pair)
				pair.Status.ActiveStream.Role = v1alpha1.RolePrimary
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair := pairWith(tt.events...)
			if tt.change != nil {
				tt.change(pair)
			}
			r, ok := newReport(pair, minute(tt.since), minute(100))
			if diff := cmp.Diff(tt.want, r.Minutes); diff != "" || !ok {
				t.Errorf("there is a report: %v (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestWithoutAHistoryThereIsNoReport(t *testing.T) {
	if r, ok := newReport(&v1alpha1.StreamPair{}, time.Time{}, minute(0)); ok {
		t.Errorf("%+v", r)
	}
}

// eventful returns a pair of which there is something to tell.
func eventful() *v1alpha1.StreamPair {
	return pairWith("0 OnAir Primary Started", "0 Redundant Backup -", "40 Switched Backup PrimaryInputLost 1040",
		"40 RedundancyLost Primary PrimaryInputLost", "50 Dark Backup BackupDisconnected", "50.5 OnAir Backup - 30000")
}

func TestTheFormsOfAReport(t *testing.T) {
	before := reportStart.Add(-time.Hour)
	r, _ := newReport(eventful(), before, minute(100))
	var text, markdown strings.Builder
	if err := r.writeText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.writeMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`live/sunday from 2026-11-22 18:00:00.000 to 2026-11-22 19:40:00.000 UTC
The history is complete since 2026-11-22 18:00:00.000 UTC only, so the report begins there and not at 2026-11-22 17:00:00.000.

                              MINUTES
  on the primary              40.00
  on the backup               59.50
  dark                        0.50
  not started, or paused      0.00
  on air without redundancy   59.50

  DARK FROM (UTC)           TO                        REASON
  2026-11-22 18:50:00.000   2026-11-22 18:50:30.000   BackupDisconnected

  SWITCHED AT (UTC)         TO       GAP     REASON
  2026-11-22 18:40:00.000   Backup   1.04s   PrimaryInputLost
`, text.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`# live/sunday from 2026-11-22 18:00:00.000 to 2026-11-22 19:40:00.000 UTC

The history is complete since 2026-11-22 18:00:00.000 UTC only, so the report begins there and not at 2026-11-22 17:00:00.000.

|  | minutes |
|---|---|
| on the primary | 40.00 |
| on the backup | 59.50 |
| dark | 0.50 |
| not started, or paused | 0.00 |
| on air without redundancy | 59.50 |

| dark from (UTC) | to | reason |
|---|---|---|
| 2026-11-22 18:50:00.000 | 2026-11-22 18:50:30.000 | BackupDisconnected |

| switched at (UTC) | to | gap | reason |
|---|---|---|---|
| 2026-11-22 18:40:00.000 | Backup | 1.04s | PrimaryInputLost |
`, markdown.String()); diff != "" {
		t.Errorf("markdown (-want +got):\n%s", diff)
	}
	object, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"pair":"live/sunday","from":"2026-11-22T18:00:00Z","to":"2026-11-22T19:40:00Z","asked":"2026-11-22T17:00:00Z",`+
		`"completeSince":"2026-11-22T18:00:00Z","minutes":{"primary":40,"backup":59.5,"dark":0.5,"offAir":0,"withoutRedundancy":59.5},`+
		`"switches":[{"time":"2026-11-22T18:40:00Z","to":"Backup","gapMilliseconds":1040,"reason":"PrimaryInputLost"}],`+
		`"dark":[{"from":"2026-11-22T18:50:00Z","to":"2026-11-22T18:50:30Z","reason":"BackupDisconnected"}]}`, string(object)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestTheHistoryIsATable(t *testing.T) {
	var out strings.Builder
	p := &plugin{out: &out}
	if err := p.history(t.Context(), eventful()); err != nil {
		t.Fatal(err)
	}
	want := `live/sunday, complete since 2026-11-22 18:00:00.000 UTC

  TIME (UTC)                WHAT             LEG       GAP     REASON
  2026-11-22 18:50:30.000   OnAir            Backup    30s     -
  2026-11-22 18:50:00.000   Dark             Backup    -       BackupDisconnected
  2026-11-22 18:40:00.000   RedundancyLost   Primary   -       PrimaryInputLost
  2026-11-22 18:40:00.000   Switched         Backup    1.04s   PrimaryInputLost
  2026-11-22 18:00:00.000   Redundant        Backup    -       -
  2026-11-22 18:00:00.000   OnAir            Primary   -       Started
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := p.history(t.Context(), &v1alpha1.StreamPair{}); err == nil {
		t.Error("a pair without a history is no mistake")
	}
}

func TestSince(t *testing.T) {
	for text, want := range map[string]time.Time{
		"": {}, "90m": minute(10), "2026-11-22T18:30:00Z": minute(30), "2026-11-22T19:30:00+01:00": minute(30),
	} {
		if got, err := parseSince(text, minute(100)); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "2026-11-22"} {
		if got, err := parseSince(text, minute(100)); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
