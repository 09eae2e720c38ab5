package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheDashboardShowsMetricsThatThereAre(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, p := range panels() {
		for _, s := range p.series {
			for _, name := range regexp.MustCompile(`streampair_\w+`).FindAllString(s[0], -1) {
				shown++
				if !strings.Contains(string(reference), "| `"+name+"` |") {
					t.Errorf("panel %q: there is no metric %s", p.title, name)
				}
			}
		}
	}
	if shown < 12 {
		t.Errorf("only %d metrics are found in the panels", shown)
	}
}

func TestTheDashboardInConfigIsCurrent(t *testing.T) {
	file, err := os.ReadFile("../../config/grafana/streampair.json")
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	text, err := json.Marshal(dashboard())
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(text, &want) != nil || json.Unmarshal(file, &got) != nil {
		t.Fatal("no JSON")
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	if string(gotText) != string(wantText) {
		t.Error("config/grafana/streampair.json is not current: run make generate")
	}
}
