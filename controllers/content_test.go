package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/status"
)

// measured makes both pods measure both legs, which are well and in step.
func (s *scene) measured() {
	s.Both(func(p *control.Pair) {
		p.Step = &control.Step{Known: true, OffsetMilliseconds: 400}
		for i := range p.Legs {
			p.Legs[i].Content = &control.Content{Compared: true}
		}
	})
}

// primaryContent changes what both pods say of the primary's content.
func (s *scene) primaryContent(change func(*control.Content)) {
	s.Both(func(p *control.Pair) { change(observed.LegOf(p, rolePrimary).Content) })
}

func TestContentConditions(t *testing.T) {
	has := func(faults ...string) func(*scene) {
		return func(s *scene) { s.primaryContent(func(c *control.Content) { c.Faults = faults }) }
	}
	step := func(step control.Step) func(*scene) {
		return func(s *scene) { s.Both(func(p *control.Pair) { p.Step = &step }) }
	}
	well := map[string]string{"PrimaryHealthy": "True/Healthy", "BackupHealthy": "True/Healthy", "InStep": "True/InStep", "Redundant": "True/Redundant"}
	for _, test := range []struct {
		name    string
		change  func(*scene)
		want    map[string]string // beside well
		of      string
		message string // of the condition of
	}{
		{"all is well", func(*scene) {}, nil, "InStep", "The backup is 400ms later than the primary."},
		{"the primary is black", has("Black", "Silent"), map[string]string{"PrimaryHealthy": "False/Black", "Redundant": "False/PrimaryFaulty"},
			"Redundant", "The primary's picture is black or of one colour, and the backup's is not."},
		{"the primary is frozen", has("Frozen"), map[string]string{"PrimaryHealthy": "False/Frozen", "Redundant": "False/PrimaryFaulty"},
			"PrimaryHealthy", "The primary's picture stands still, and the backup's moves."},
		{"the primary is silent", has("Silent"), map[string]string{"PrimaryHealthy": "False/Silent", "Redundant": "False/PrimaryFaulty"},
			"PrimaryHealthy", "The primary's sound is silent, and the backup's is not."},
		{"the primary's rates are low", has("LowBitrate", "LowFrameRate"), map[string]string{"PrimaryHealthy": "False/LowBitrate", "Redundant": "False/PrimaryFaulty"},
			"PrimaryHealthy", "The primary's bit rate is low, and the backup's is not."},
		{"without ffmpeg", func(s *scene) {
			s.primaryContent(func(c *control.Content) { c.NotWatched = control.NotWatchedNoFFmpeg })
		}, map[string]string{"PrimaryHealthy": "Unknown/NotWatched", "BackupHealthy": "Unknown/NotWatched"}, "PrimaryHealthy", "The primary's picture is not watched. The media pod has no ffmpeg. Sound and rates are watched."},
		{"without memory for ffmpeg", func(s *scene) {
			s.primaryContent(func(c *control.Content) { c.NotWatched = control.NotWatchedNoMemory })
		}, map[string]string{"PrimaryHealthy": "Unknown/NotWatched", "BackupHealthy": "Unknown/NotWatched"}, "PrimaryHealthy", "The primary's picture is not watched. The media pod has too little memory for an ffmpeg (spec.mediaServer.resources). Sound and rates are watched."},
		{"silence is found without ffmpeg too", func(s *scene) {
			s.primaryContent(func(c *control.Content) {
				c.NotWatched, c.Faults = control.NotWatchedNoFFmpeg, []string{control.FaultSilent}
			})
		}, map[string]string{"PrimaryHealthy": "False/Silent", "BackupHealthy": "Unknown/NotWatched", "Redundant": "False/PrimaryFaulty"}, "PrimaryHealthy", "The primary's sound is silent, and the backup's is not."},
		{"sound that cannot be decoded", func(s *scene) {
			s.primaryContent(func(c *control.Content) { c.NotHeard = true })
		}, map[string]string{"PrimaryHealthy": "Unknown/NotWatched", "BackupHealthy": "Unknown/NotWatched"}, "BackupHealthy",
			"The primary's sound cannot be decoded, and so not measured. Set the encoder to AAC-LC in stereo."},
		{"the pods do not hear each other's measures", func(s *scene) {
			s.primaryContent(func(c *control.Content) { c.Compared = false })
		}, map[string]string{"PrimaryHealthy": "Unknown/NotCompared"}, "PrimaryHealthy", "The legs are not both measured, so there is nothing to compare with."},
		{"pods of an earlier version", func(s *scene) {
			s.Both(func(p *control.Pair) { p.Step, p.Legs[0].Content, p.Legs[1].Content = nil, nil, nil })
		}, map[string]string{"PrimaryHealthy": "Unknown/NotCompared", "BackupHealthy": "Unknown/NotCompared", "InStep": "Unknown/NotCompared"}, "PrimaryHealthy", "The leg's media pod does not measure."},
		{"the primary is away", func(s *scene) { s.Lose(rolePrimary, control.LossDisconnected) },
			map[string]string{"PrimaryHealthy": "Unknown/NotLive", "InStep": "Unknown/NotLive", "Redundant": "False/PrimaryNotLive"}, "PrimaryHealthy", "The leg has no media."},
		{"the primary is 3 s later", step(control.Step{Known: true, OffsetMilliseconds: -3000}), map[string]string{"InStep": "False/OutOfStep"},
			"InStep", "The primary is 3s later than the backup. A switch repeats or leaves out that much of the programme."},
		{"other commentary", step(control.Step{Doubt: "Different"}), map[string]string{"InStep": "Unknown/StepUnknown"}, "InStep", "The legs' sound does not show by how much they differ."},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.measured()
			test.change(s)
			reported, _ := s.report()
			all, got := shownWith(reported), map[string]string{}
			want := map[string]string{}
			for name, value := range well {
				want[name], got[name] = value, all[name]
			}
			for name, value := range test.want {
				want[name] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if c := meta.FindStatusCondition(reported.Conditions, test.of); c.Message != test.message {
				t.Errorf("%s says %q, want %q", test.of, c.Message, test.message)
			}
		})
	}
}

func TestAFaultOfTheContentIsAnEvent(t *testing.T) {
	s := newScene(t, nil)
	s.measured()
	well, _ := s.report()
	s.primaryContent(func(c *control.Content) { c.Faults = []string{control.FaultBlack} })
	black, _ := s.report()
	for _, test := range []struct {
		name          string
		before, after *v1alpha1.StreamPairStatus
		kind, reason  string
		note          string
	}{
		{"it begins", well, black, corev1.EventTypeWarning, v1alpha1.EventContentFault, "The primary's picture is black"},
		{"it is over", black, well, corev1.EventTypeNormal, v1alpha1.EventContentRecovered, "The primary's picture and sound are well again."},
	} {
		edges := status.Edges(test.before, test.after)
		if len(edges) != 1 || edges[0].Type != test.kind || edges[0].Reason != test.reason || !strings.HasPrefix(edges[0].Note, test.note) {
			t.Errorf("%s: %+v", test.name, edges)
		}
	}
	if edges := status.Edges(black, black); len(edges) != 0 {
		t.Errorf("nothing happens: %+v", edges)
	}
}
