package controllers

import (
	"strings"
	"testing"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/status"
)

func TestAConditionSaysWhatToSetAtTheEncoder(t *testing.T) {
	const advice = "Set the encoder's audio to AAC-LC."
	for name, change := range map[string]func(*control.Leg){
		"a track that cannot be played": func(l *control.Leg) { l.Rank = "VideoOnly" },
		"no entry point":                func(l *control.Leg) { l.EntryPoint = false },
		"all can be played":             func(*control.Leg) {},
	} {
		s := newScene(t, nil)
		s.Both(func(p *control.Pair) {
			leg := observed.LegOf(p, roleBackup)
			leg.Warnings = []control.Warning{{Code: "UnsupportedAudio", Message: advice}}
			change(leg)
		})
		reported, _ := s.report()
		c := status.LegCondition(reported, roleBackup)
		if !strings.Contains(c.Message, advice) {
			t.Errorf("%s: the message is %q", name, c.Message)
		}
		if c := status.LegCondition(reported, rolePrimary); strings.Contains(c.Message, advice) {
			t.Errorf("%s: the other leg's message is %q", name, c.Message)
		}
	}
}
