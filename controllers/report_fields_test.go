package controllers

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsThatTheDefinitionLacksAreLeftOut(t *testing.T) {
	const full = `{"status":{"ingest":[{"role":"Primary","rank":"Full"},{"role":"Backup","rank":"Full"}],"release":{"name":"a"},"playbackURL":"x"}}`
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var f statusFields
	written := func(at time.Time) string {
		t.Helper()
		var object map[string]any
		if err := json.Unmarshal([]byte(full), &object); err != nil {
			t.Fatal(err)
		}
		f.leaveOut(object, at)
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if learned, _ := f.noteUnknown(errors.New("the network is down"), now); learned {
		t.Error("something is learned from any error")
	}
	refusal := errors.New("failed to create typed patch object (live/sunday; media.streampair.dev/v1alpha1, Kind=StreamPair): errors:\n" +
		"  .status.ingest[role=\"Primary\"].rank: field not declared in schema\n" +
		"  .status.ingest[role=\"Backup\"].rank: field not declared in schema\n" +
		"  .status.release: field not declared in schema")
	learned, unreported := f.noteUnknown(refusal, now)
	if diff := cmp.Diff([]string{".status.ingest[].rank", ".status.release"}, unreported); !learned || diff != "" {
		t.Errorf("learned %v (-want +got):\n%s", learned, diff)
	}
	if diff := cmp.Diff(`{"status":{"ingest":[{"role":"Primary"},{"role":"Backup"}],"playbackURL":"x"}}`, written(now)); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if learned, _ := f.noteUnknown(refusal, now); learned {
		t.Error("fields that were left out are taken for the reason of a refusal")
	}
	// The definition may have been updated. If it was not, nobody is told again.
	later := now.Add(definitionRecheck)
	var all, again map[string]any
	if err := errors.Join(json.Unmarshal([]byte(full), &all), json.Unmarshal([]byte(written(later)), &again)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("the fields are not tried again (-want +got):\n%s", diff)
	}
	if learned, unreported := f.noteUnknown(refusal, later); !learned || len(unreported) > 0 {
		t.Errorf("learned %v, told again: %q", learned, unreported)
	}
}
