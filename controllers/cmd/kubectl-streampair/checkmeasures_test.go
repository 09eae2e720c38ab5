package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// podMeasured returns the reading of a leg's pod while both encoders send what docs/encoders.md says. The
// stream of the other leg is relayed.
func podMeasured(role v1alpha1.Role) reading {
	age, ppm := int64(200), 10.0
	status := control.Pair{Declared: true, Name: "sunday", App: "live", PrimaryID: "cam1", BackupID: "cam2"}
	measures := control.PairMeasures{Name: "sunday", Offset: &control.Offset{Milliseconds: 40, DriftPPM: &ppm}}
	var streams []control.Stream
	for one, id := range map[v1alpha1.Role]string{v1alpha1.RolePrimary: "cam1", v1alpha1.RoleBackup: "cam2"} {
		status.Legs = append(status.Legs, control.Leg{Role: string(one), StreamID: id, Live: true, Rank: "Full", EntryPoint: true, Local: one == role})
		streams = append(streams, control.Stream{
			App: "live", StreamID: id, Publishing: true, Relayed: one != role, EntryPoint: true,
			Video: &control.Track{Codec: "H264", Width: 1920, Height: 1080, FrameRate: 30},
			Audio: &control.Track{Codec: "AAC", SampleRateHz: 48000, Channels: 2},
		})
		measures.Legs = append(measures.Legs, control.LegMeasures{
			Role: string(one), App: "live", StreamID: id, Local: one == role, AgeMilliseconds: &age, SoundMeasured: true,
			Sound: &control.SoundLevels{RMSDBFS: -24, PeakDBFS: -9, MomentaryLUFS: -19.4, ShortTermLUFS: -23.2},
			Rates: &control.Rates{BitrateBPS: 4_200_000, FrameRate: 29, UsualFrameRate: 30, KeyFrameIntervalMilliseconds: 2000, JitterMilliseconds: 30},
		})
	}
	return reading{
		status:   &control.Status{Pairs: []control.Pair{{Name: "on demand"}, status}, Streams: streams},
		measures: &control.Measures{Pairs: []control.PairMeasures{measures}},
	}
}

// facts is what the pod of a leg tells of the leg itself.
type facts struct {
	leg      *control.Leg
	stream   *control.Stream
	measures *control.LegMeasures
	rates    *control.Rates
}

func (s *scene) facts(role v1alpha1.Role) facts {
	got := s.readings[role]
	m := got.legMeasures(role)
	return facts{got.leg(role), got.stream(role), m, m.Rates}
}

// turn replaces the condition of that type.
func (s *scene) turn(kind string, status metav1.ConditionStatus, reason, text string) {
	for i := range s.pair.Status.Conditions {
		if s.pair.Status.Conditions[i].Type == kind {
			s.pair.Status.Conditions[i] = condition(kind, status, reason, text)
		}
	}
}

// setOffset sets what both pods measure of the step.
func (s *scene) setOffset(offset *control.Offset, doubt string) {
	for _, got := range s.readings {
		got.pairMeasures().Offset, got.pairMeasures().OffsetDoubt = offset, doubt
	}
}

func TestWhatCheckFindsInMeasures(t *testing.T) {
	const primary, backup = v1alpha1.RolePrimary, v1alpha1.RoleBackup
	no, yes, unknown := metav1.ConditionFalse, metav1.ConditionTrue, metav1.ConditionUnknown
	// of returns a change of what the backup's pod tells.
	of := func(change func(facts)) func(*scene) { return func(s *scene) { change(s.facts(backup)) } }
	// warn lets the backup's media server warn.
	warn := func(s *scene, code, message string) {
		l := s.facts(backup).leg
		l.Warnings = append(l.Warnings, control.Warning{Code: code, Message: message})
	}
	ppm := 200.0
	soon, past := rehearsed().now.Add(time.Hour), rehearsed().now.Add(-time.Hour)
	for name, tt := range map[string]struct {
		change func(*scene)
		want   string // severity, code and subject of each finding
	}{
		"the settings of the docs": {func(*scene) {}, ""},
		"a key frame each 3 s":     {of(func(b facts) { b.rates.KeyFrameIntervalMilliseconds = 3000 }), "Warning KeyFrameInterval backup"},
		"a key frame each 10 s":    {of(func(b facts) { b.rates.KeyFrameIntervalMilliseconds = 10_000 }), "Error KeyFrameInterval backup"},
		"one key frame so far":     {of(func(b facts) { b.rates.KeyFrameIntervalMilliseconds = 0 }), ""},
		"2160 lines of both": {func(s *scene) {
			for _, role := range objects.Roles() {
				v := s.facts(role).stream.Video
				v.Width, v.Height = 3840, 2160
			}
		}, "Info LargePicture primary, Info LargePicture backup"},
		"another size":                  {of(func(b facts) { b.stream.Video.Width, b.stream.Video.Height = 1280, 720 }), "Warning SizeDiffers both"},
		"15 pictures a second":          {of(func(b facts) { b.rates.UsualFrameRate, b.rates.FrameRate = 15, 15 }), "Warning LowFrameRate backup, Warning RateDiffers both"},
		"a slide show, without jitter":  {of(func(b facts) { b.rates.UsualFrameRate, b.rates.FrameRate, b.rates.JitterMilliseconds = 1, 1, 1000 }), "Error LowFrameRate backup, Warning RateDiffers both"},
		"a second of few pictures":      {of(func(b facts) { b.rates.FrameRate = 12 }), "Warning UnsteadyFrameRate backup"},
		"the first second of pictures":  {of(func(b facts) { b.rates.UsualFrameRate, b.rates.FrameRate = 0, 12 }), ""},
		"a low bit rate":                {of(func(b facts) { b.rates.BitrateBPS = 100_000 }), "Warning LowBitrate backup"},
		"a low bit rate of a thumbnail": {of(func(b facts) { b.rates.BitrateBPS, b.stream.Video.Height = 100_000, 180 }), "Warning SizeDiffers both"},
		"a high bit rate":               {of(func(b facts) { b.rates.BitrateBPS = 50_000_000 }), "Warning HighBitrate backup"},
		"jitter":                        {of(func(b facts) { b.rates.JitterMilliseconds = 800 }), "Warning BurstyInput backup"},
		"a clock that jumps":            {of(func(b facts) { b.rates.Jumps = 2 }), "Warning ClockJumps backup"},
		"no video":                      {of(func(b facts) { b.stream.Video = nil }), "Error NoVideo backup"},
		"no sound":                      {of(func(b facts) { b.stream.Audio = nil }), "Error NoSound backup"},
		"44.1 kHz":                      {of(func(b facts) { b.stream.Audio.SampleRateHz = 44100 }), "Info ResampledSound backup"},
		"Opus beside AAC":               {of(func(b facts) { b.stream.Audio.Codec = "Opus" }), "Warning MixedSound both"},
		"mono beside stereo":            {of(func(b facts) { b.stream.Audio.Channels = 1 }), "Info ChannelsDiffer both"},
		"a moment of silence":           {of(func(b facts) { b.measures.Sound.ShortTermLUFS = -120 }), ""},
		"a moment that is loud":         {of(func(b facts) { b.measures.Sound.ShortTermLUFS = -3 }), ""},

		"a token that ends during a day": {of(func(b facts) { b.stream.TokenExpires = &soon }), "Warning TokenExpires backup"},
		"a token that has ended":         {of(func(b facts) { b.stream.TokenExpires = &past }), "Error TokenExpires backup"},
		"a token of an encoder at the other pod": {func(s *scene) {
			s.readings[backup].stream(primary).TokenExpires = &soon
		}, "Warning TokenExpires primary"},
		"a token of an encoder without media": {of(func(b facts) { b.leg.Live, b.stream.TokenExpires = false, &soon }), "Warning TokenExpires backup"},

		"5 s apart":         {func(s *scene) { s.setOffset(&control.Offset{Milliseconds: 5000}, "") }, "Warning OutOfStep both"},
		"a drift":           {func(s *scene) { s.setOffset(&control.Offset{DriftPPM: &ppm}, "") }, "Warning Drift both"},
		"no drift yet":      {func(s *scene) { s.setOffset(&control.Offset{}, "") }, ""},
		"silence":           {func(s *scene) { s.setOffset(nil, "Flat") }, ""},
		"other sound":       {func(s *scene) { s.setOffset(nil, "Different") }, "Warning DifferentSound both"},
		"a loop":            {func(s *scene) { s.setOffset(nil, "Ambiguous") }, "Info StepUnknown both"},
		"a loop since then": {func(s *scene) { s.setOffset(&control.Offset{Milliseconds: 40}, "Ambiguous") }, ""},
		"5 s apart, when both had media": {func(s *scene) {
			s.setOffset(&control.Offset{Milliseconds: 5000}, "")
			for _, role := range objects.Roles() {
				s.readings[role].leg(backup).Live = false
			}
		}, ""},
		"5 s apart, as the other pod tells": {func(s *scene) {
			s.setOffset(&control.Offset{Milliseconds: 5000}, "")
			s.readings[primary] = reading{err: errNoAnswer}
		}, "Info NotMeasured primary, Warning OutOfStep both"},

		"the encoder is away, and was bad": {of(func(b facts) { b.leg.Live, b.rates.UsualFrameRate = false, 1 }), ""},
		"one pod is not read":              {func(s *scene) { s.readings[backup] = reading{err: errors.New("EOF")} }, "Info NotMeasured backup"},
		"a pod without the pair":           {func(s *scene) { s.readings[backup].status.Pairs = nil }, "Info NotMeasured backup"},
		"a pod that does not measure":      {func(s *scene) { s.readings[backup].measures.Pairs = nil }, "Info NotMeasured backup"},
		"measures of before":               {of(func(b facts) { *b.measures.AgeMilliseconds = 6000; b.rates.Jumps = 1 }), "Info NotMeasured backup"},
		"no measures of a new stream":      {of(func(b facts) { b.measures.AgeMilliseconds, b.measures.Rates = nil, nil }), "Info NotMeasured backup"},

		"a condition tells of the picture rate": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupHealthy, no, v1alpha1.ReasonLowFrameRate, "")
			s.facts(backup).rates.UsualFrameRate, s.facts(backup).rates.FrameRate, s.facts(backup).rates.JitterMilliseconds = 4, 4, 900
		}, "Warning LowFrameRate BackupHealthy, Warning RateDiffers both"},
		"a condition tells of few pictures": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupHealthy, no, v1alpha1.ReasonLowFrameRate, "")
			s.facts(backup).rates.FrameRate = 4
		}, "Warning LowFrameRate BackupHealthy"},
		"a condition of the other leg tells nothing": {func(s *scene) {
			s.turn(v1alpha1.ConditionPrimaryHealthy, no, v1alpha1.ReasonLowBitrate, "")
			s.facts(backup).rates.BitrateBPS = 100_000
		}, "Warning LowBitrate PrimaryHealthy, Warning LowBitrate backup"},
		"a condition tells of the bit rate": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupHealthy, no, v1alpha1.ReasonLowBitrate, "")
			s.facts(backup).rates.BitrateBPS = 100_000
		}, "Warning LowBitrate BackupHealthy"},
		"a condition tells of the step": {func(s *scene) {
			s.turn(v1alpha1.ConditionInStep, no, v1alpha1.ReasonOutOfStep, "")
			s.setOffset(&control.Offset{Milliseconds: 5000, DriftPPM: &ppm}, "")
		}, "Warning OutOfStep InStep, Warning Drift both"},
		"a condition tells that the step is unknown": {func(s *scene) {
			s.turn(v1alpha1.ConditionInStep, unknown, v1alpha1.ReasonStepUnknown, "")
			s.setOffset(nil, "Ambiguous")
		}, "Info StepUnknown InStep"},
		"a condition tells that no key frame is there": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupLive, no, v1alpha1.ReasonNoEntryPoint, "")
			s.facts(backup).rates.KeyFrameIntervalMilliseconds = 20_000
		}, "Error NoEntryPoint BackupLive"},
		"a condition tells of bursts": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive+" It bursts.")
			warn(s, "BurstyInput", "It bursts.")
			s.facts(backup).rates.JitterMilliseconds = 800
		}, "Warning EncoderWarning BackupLive"},
		"no condition tells of bursts yet": {func(s *scene) {
			warn(s, "BurstyInput", "It bursts.")
			s.facts(backup).rates.JitterMilliseconds = 800
		}, "Warning BurstyInput backup"},
		"a condition tells of sound that is encoded again": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive+" HE-AAC.")
			warn(s, "ReencodedAudio", "HE-AAC.")
			s.facts(backup).stream.Audio.SampleRateHz = 24000
		}, "Warning EncoderWarning BackupLive"},
		"a condition tells of HEVC": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupLive, yes, v1alpha1.ReasonDegraded, "Media arrives, but not all of it can be played. HEVC.")
			warn(s, "UnsupportedVideo", "HEVC.")
			s.facts(backup).stream.Video = nil
		}, "Error Degraded BackupLive"},
		"a condition tells of two codecs": {func(s *scene) {
			s.turn(v1alpha1.ConditionBackupLive, yes, v1alpha1.ReasonLive, v1alpha1.MessageLive+" Two codecs.")
			warn(s, "MixedSound", "Two codecs.")
			s.facts(backup).stream.Audio.Codec = "Opus"
		}, "Warning EncoderWarning BackupLive"},
		"paused": {func(s *scene) { s.pair.Spec.Paused, s.readings = true, nil }, "Error Paused pair"},
	} {
		t.Run(name, func(t *testing.T) {
			s := rehearsed()
			tt.change(s)
			var got []string
			for _, f := range s.judge() {
				got = append(got, string(f.Severity)+" "+f.Code+" "+f.Subject)
				isOfCondition := f.Subject != strings.ToLower(f.Subject) // which says what to do in its message
				if !isOfCondition && f.Code != "StepUnknown" && f.OBS == "" && f.FFmpeg == "" && f.Remedy == "" {
					t.Errorf("%+v says not what to set, or what to do", f)
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCheckSaysOfThePairsEncoders(t *testing.T) {
	const format = "H.264 1920x1080, 30 pictures and 4.2 Mbit/s a second, a key frame each 2.0 s; AAC, 48 kHz, stereo, -23 LUFS"
	for name, tt := range map[string]struct {
		change func(*scene)
		want   []preflight.Subject
	}{
		"both are read": {func(*scene) {}, []preflight.Subject{
			{Name: "primary", Summary: "input Live, pod p, node n1, zone east; " + format},
			{Name: "backup", Summary: "input Live, pod b, node n2, zone west; " + format},
			{Name: "both", Summary: "the backup is 0.0 s later, drift 0.0 s an hour"},
		}},
		"one is not read, and the other one not measured": {func(s *scene) {
			s.readings[v1alpha1.RolePrimary] = reading{err: errNoAnswer}
			s.readings[v1alpha1.RoleBackup].measures.Pairs = nil
		}, []preflight.Subject{
			{Name: "primary", Summary: "input Live, pod p, node n1, zone east"},
			{Name: "backup", Summary: "input Live, pod b, node n2, zone west; H.264 1920x1080; AAC, 48 kHz, stereo"},
		}},
		"one has no media, and the other one is new, without sound": {func(s *scene) {
			for _, role := range objects.Roles() {
				s.readings[role].leg(v1alpha1.RolePrimary).Live = false
			}
			b := s.facts(v1alpha1.RoleBackup)
			b.rates.UsualFrameRate, b.rates.KeyFrameIntervalMilliseconds, b.stream.Audio = 0, 0, nil
		}, []preflight.Subject{
			{Name: "primary", Summary: "input Live, pod p, node n1, zone east"},
			{Name: "backup", Summary: "input Live, pod b, node n2, zone west; H.264 1920x1080, 29 pictures and 4.2 Mbit/s a second; no sound"},
		}},
		"the step is unknown, and the sound not measured": {func(s *scene) {
			s.setOffset(nil, "Flat")
			for _, role := range objects.Roles() {
				s.facts(role).measures.SoundMeasured = false
			}
		}, []preflight.Subject{
			{Name: "primary", Summary: "input Live, pod p, node n1, zone east; " + strings.TrimSuffix(format, ", -23 LUFS")},
			{Name: "backup", Summary: "input Live, pod b, node n2, zone west; " + strings.TrimSuffix(format, ", -23 LUFS")},
			{Name: "both", Summary: "offset unknown (Flat)"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := rehearsed()
			tt.change(s)
			if diff := cmp.Diff(tt.want, s.subjects()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheTokenOfAnEncoder(t *testing.T) {
	s := rehearsed()
	expires := s.now.Add(time.Hour)
	s.facts(v1alpha1.RoleBackup).stream.TokenExpires = &expires
	found := s.judge()
	want := "The token of the backup's encoder expires at 2026-11-22 19:00 UTC: the encoder goes on, but is refused when it connects again."
	if len(found) != 1 || found[0].Message != want {
		t.Errorf("got %+v, want %q", found, want)
	}
}

// A pod that is not read is for information. The finding says what is missing, and what else there is.
func TestWhyALegIsNotMeasured(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
	const watch = "streampair-mediaserver check 'https://live.example/live/play.html?name=primary&backupStreamId=backup'."
	for name, tt := range map[string]struct {
		err             error
		cause, whatToDo string
	}{
		"no right to forward":  {fmt.Errorf("forward to pod p: %w: by SPDY", errForbidden), "you may not create pods/portforward in the namespace live", askForRole},
		"no right to list":     {fmt.Errorf("list: %w", forbidden), "you may not list pods in the namespace live", askForRole},
		"an earlier release":   {errors.Join(errNoMonitorPort, errors.New("EOF")), "its media server measures nothing, or is of an earlier release", "Run "},
		"no pod is ready":      {&noPodError{"primary", "sunday"}, "no pod of the leg is ready", "Check again when the pod is ready, or run "},
		"the API server hangs": {errNoAnswer, "the API server or the pod does not answer in time", "Run "},
		"something else":       {errors.Join(errors.New("a"), apierrors.NewBadRequest("b.")), "a: b", "Run "},
	} {
		t.Run(name, func(t *testing.T) {
			want := preflight.Finding{
				Severity: preflight.Info, Code: "NotMeasured", Subject: "primary",
				Message: "The pod of the primary leg does not tell what the encoder sends: " + tt.cause + ".", Remedy: tt.whatToDo + watch,
			}
			if diff := cmp.Diff(want, rehearsed().notMeasured(v1alpha1.RolePrimary, tt.err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
