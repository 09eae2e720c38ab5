package pods

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/controllers/oneline"
)

func TestWhatAPodSaysIsBoundedBeforeItIsReported(t *testing.T) {
	since, zero := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), time.Time{}
	good := control.Pair{
		Name: "sunday", Declared: true, Active: "Primary", ActiveStreamID: "primary", OnAir: true, Reason: "Started", Since: &since,
		LastSwitch: &control.Switch{From: "Backup", To: "Primary", Reason: "Selected", Time: since},
	}
	event := control.HistoryEntry{Kind: control.HistorySwitched, Time: since, Leg: "Backup", Reason: "Selected", GapMilliseconds: 40}
	history := func(change func(*control.HistoryEntry)) []control.HistoryEntry {
		e := event
		change(&e)
		return []control.HistoryEntry{e}
	}
	with := func(change func(*control.Pair)) control.Pair {
		p := good
		s := *good.LastSwitch
		p.LastSwitch = &s
		change(&p)
		return p
	}
	for _, test := range []struct {
		name       string
		said, want control.Pair
	}{
		{"all is well", good, good},
		{"an unknown leg", with(func(p *control.Pair) { p.Active, p.SwitchingTo = "Third", "Fourth" }),
			with(func(p *control.Pair) { p.Active, p.OnAir = "", false })},
		{"no reason", with(func(p *control.Pair) { p.Reason = "" }), with(func(p *control.Pair) { p.Reason, p.OnAir = "", false })},
		{"a reason that is a novel", with(func(p *control.Pair) { p.Reason = strings.Repeat("x", 5000) }),
			with(func(p *control.Pair) { p.Reason, p.OnAir = "", false })},
		{"no time", with(func(p *control.Pair) { p.Since = &zero }), with(func(p *control.Pair) { p.Since = nil })},
		{"a switch from nowhere", with(func(p *control.Pair) { p.LastSwitch.From = "" }), with(func(p *control.Pair) { p.LastSwitch = nil })},
		{"a switch without a reason", with(func(p *control.Pair) { p.LastSwitch.Reason = "" }), with(func(p *control.Pair) { p.LastSwitch = nil })},
		{"a switch at no time", with(func(p *control.Pair) { p.LastSwitch.Time = zero }), with(func(p *control.Pair) { p.LastSwitch = nil })},
		{"a long stream id", with(func(p *control.Pair) { p.ActiveStreamID = strings.Repeat("x", 5000) }),
			with(func(p *control.Pair) { p.ActiveStreamID = strings.Repeat("x", oneline.MaxShort) + "…" })},
		{"an earlier version has no history", with(func(p *control.Pair) { p.History = nil }), good},
		{"a history with no event yet", with(func(p *control.Pair) { p.History = []control.HistoryEntry{} }),
			with(func(p *control.Pair) { p.History = []control.HistoryEntry{} })},
		{"a long history", with(func(p *control.Pair) { p.History = slices.Repeat([]control.HistoryEntry{event}, 1000) }),
			with(func(p *control.Pair) { p.History = slices.Repeat([]control.HistoryEntry{event}, control.MaxHistory) })},
		{"an event of an unknown kind", with(func(p *control.Pair) { p.History = history(func(e *control.HistoryEntry) { e.Kind = "Party" }) }),
			with(func(p *control.Pair) { p.History = []control.HistoryEntry{} })},
		{"an event of no leg", with(func(p *control.Pair) { p.History = history(func(e *control.HistoryEntry) { e.Leg = "Third" }) }),
			with(func(p *control.Pair) { p.History = []control.HistoryEntry{} })},
		{"an event at no time", with(func(p *control.Pair) { p.History = history(func(e *control.HistoryEntry) { e.Time = zero }) }),
			with(func(p *control.Pair) { p.History = []control.HistoryEntry{} })},
		{"an event whose reason is a novel, and whose gap is negative", with(func(p *control.Pair) {
			p.History = history(func(e *control.HistoryEntry) { e.Reason, e.GapMilliseconds = strings.Repeat("x", 5000), -1 })
		}), with(func(p *control.Pair) {
			p.History = history(func(e *control.HistoryEntry) { e.Reason, e.GapMilliseconds = "", 0 })
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			mistakes := []string{"", "one\nline\x00"}
			for range 100 {
				mistakes = append(mistakes, strings.Repeat("ä", 5000))
			}
			var withReasons []control.ConfigMistake
			for _, m := range mistakes {
				withReasons = append(withReasons, control.ConfigMistake{Reason: "a\nreason", Message: m})
			}
			text, err := json.Marshal(control.Status{
				ConfigMistakes: withReasons,
				BootID:         "boot", Role: "Third", ConfigUID: "uid\r\nAuthorization: none", ConfigErrors: mistakes, TLS: &control.TLS{Error: strings.Repeat("x", 5000)},
				Pairs: []control.Pair{test.said},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeStatus(text)
			if err != nil {
				t.Fatal(err)
			}
			if got.ConfigUID != "" { // it becomes the value of a header
				t.Errorf("the UID %q is taken", got.ConfigUID)
			}
			if diff := cmp.Diff(test.want, got.Pairs[0]); diff != "" {
				t.Errorf("pair (-want +got):\n%s", diff)
			}
			total := len(got.TLS.Error)
			for _, m := range got.ConfigErrors {
				total += len(m)
			}
			if got.Role != "" || len(got.ConfigErrors) != maxPodErrors-1 || got.ConfigErrors[0] != "one line" || total > 17*(oneline.MaxShort+4) {
				t.Errorf("role %q, %d mistakes of %d bytes: %q…", got.Role, len(got.ConfigErrors), total, got.ConfigErrors[0])
			}
			var messages []string
			for _, m := range got.ConfigMistakes {
				messages = append(messages, m.Message)
				if m.Reason != "" {
					t.Errorf("the reason %q is taken", m.Reason)
				}
			}
			if diff := cmp.Diff(got.ConfigErrors, messages); diff != "" {
				t.Errorf("mistakes (-without reasons +with reasons):\n%s", diff)
			}
		})
	}
}
