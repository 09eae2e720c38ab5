package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// command sends a command, and returns the status code and the mistakes in the answer.
func (s *testServer) command(path, body string) (int, []string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, "http://"+s.Addresses().Control+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var mistakes control.Error
	if answer.StatusCode >= 400 {
		if err := json.NewDecoder(answer.Body).Decode(&mistakes); err != nil {
			s.t.Errorf("%s: the answer cannot be read: %v", answer.Status, err)
		}
	}
	return answer.StatusCode, mistakes.Errors
}

// watchedPair returns a server whose pair has both legs and a viewer.
func watchedPair(t *testing.T, manifest string) (*testServer, *viewer) {
	t.Helper()
	s := startServer(t, manifest)
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1, GOPPhase: 700 * ms}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watchPair()
	v.sees(0, fps, time.Time{})
	return s, v
}

func TestALegIsSelectedWithoutAGap(t *testing.T) {
	t.Parallel()
	s, v := watchedPair(t, sticky)
	selected := time.Now()
	for _, leg := range []int{1, 0} {
		name := []string{"Primary", "Backup"}[leg]
		asked := time.Now()
		if code, mistakes := s.command("/v1/pairs/sunday/select", `{"select":"`+name+`"}`); code != http.StatusNoContent {
			t.Fatalf("%d %v", code, mistakes)
		}
		eventually.True(t, name+" is on air", func() bool {
			p := s.pair("sunday")
			return p.Active == name && p.Reason == "Selected" && p.Select == name
		})
		t.Logf("%s on air after %v, at an IDR", name, time.Since(asked).Round(ms))
		v.sees(leg, 2*fps, asked)
	}
	ended := time.Now()
	if code, _ := s.command("/v1/pairs/sunday/select", `{"select":"Auto"}`); code != http.StatusNoContent {
		t.Errorf("Auto is answered with %d", code)
	}
	for _, wrong := range []struct {
		pair, body string
		code       int
	}{
		{"monday", `{"select":"Backup"}`, http.StatusNotFound},
		{"sunday", `{"select":"Both"}`, http.StatusUnprocessableEntity},
		{"sunday", `{"select":"Backup","now":true}`, http.StatusBadRequest},
		{"sunday", ``, http.StatusBadRequest},
	} {
		if code, mistakes := s.command("/v1/pairs/"+wrong.pair+"/select", wrong.body); code != wrong.code || len(mistakes) != 1 {
			t.Errorf("%s %s is answered with %d %v, want %d", wrong.pair, wrong.body, code, mistakes, wrong.code)
		}
	}
	if p := s.pair("sunday"); p.Active != "Primary" || p.Switches != 2 {
		t.Errorf("%s is on air after %d switches", p.Active, p.Switches)
	}
	r := v.leaves()
	r.isContinuous()
	r.isInSync(2, 300*ms, 300*ms)
	r.hasSound(maxSilence, r.soundBegins())
	gap := mediatest.LongestGap(r.sightings, selected, ended)
	t.Logf("longest gap %v", gap.Round(ms))
	if gap > maxGap {
		t.Errorf("no picture for %v", gap)
	}
}

func TestANewManifestAppliesToWhatPlays(t *testing.T) {
	t.Parallel()
	s, v := watchedPair(t, sticky)
	began := time.Now()
	const monday = `
---
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: monday}
spec:
  primary: {streamID: first}
  backup: {streamID: second}
  publish: {auth: None}
`
	if code, mistakes := s.command("/v1/config", sticky+"  failover: {select: Backup}\n"+monday); code != http.StatusNoContent {
		t.Fatalf("%d %v", code, mistakes)
	}
	s.onAir("backup", true, true)
	v.sees(1, fps, began)
	if p := s.pair("monday"); !p.Declared || p.PrimaryID != "first" {
		t.Errorf("the new pair is %+v", p)
	}
	code, mistakes := s.command("/v1/config", sticky+"  failover: {mode: Sometimes, inputLossMilliseconds: 5}\n")
	if code != http.StatusUnprocessableEntity || len(mistakes) != 2 || !strings.Contains(mistakes[0], "spec.failover") {
		t.Errorf("a wrong manifest is answered with %d %q", code, mistakes)
	}
	if p := s.pair("sunday"); p.Select != "Backup" || !s.pair("monday").Declared {
		t.Error("a wrong manifest changed something")
	}
	if code, mistakes := s.command("/v1/config", sticky+"  failover: {select: Primary}\n"); code != http.StatusNoContent {
		t.Fatalf("%d %v", code, mistakes)
	}
	s.onAir("primary", true, true)
	if p := s.pair("sunday"); p.Select != "Primary" || s.pair("monday").Declared {
		t.Errorf("sunday has %s selected, and monday is still declared: %v", p.Select, s.pair("monday").Declared)
	}
	v.sees(0, fps, time.Now())
	r := v.leaves()
	r.isContinuous()
	r.hasSound(maxSilence, r.soundBegins())
	if gap := mediatest.LongestGap(r.sightings, began, r.sightings[len(r.sightings)-1].Seen); gap > maxGap {
		t.Errorf("no picture for %v", gap)
	}

	if code, mistakes := s.command("/v1/config", strings.ReplaceAll(sticky, "sunday", "tuesday")); code != http.StatusNoContent {
		t.Fatalf("%d %v", code, mistakes)
	}
	eventually.True(t, "the pair has another name", func() bool {
		return s.pair("sunday").Name == "" && s.pair("tuesday").OnAir
	})
}
