package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// measuredFor is how old the measures of a leg may be that still count.
const measuredFor = 5 * time.Second

// askForRole begins a remedy. docs/security.md has the roles of the chart.
const askForRole = "Ask for the chart's role streampair-operator-monitor in this namespace, or run "

var (
	errNotServed   = errors.New("its media server does not serve the pair yet")
	errNotMeasured = errors.New("its media server has no measures of the leg now")
)

// An encoder is what the pod of a leg tells of the leg's encoder.
type encoder struct {
	// unread says why the pod tells nothing, or has no measures; nil: it has them, or the leg has no media.
	unread error
	// isLive reports whether media arrives. If not, all below is nil, and a condition tells why.
	isLive  bool
	picture *preflight.Picture
	sound   *preflight.Sound
	rates   *preflight.Rates
}

// encoderOf returns what the pod of a leg has told.
func encoderOf(got reading, role v1alpha1.Role) encoder {
	if got.err != nil {
		return encoder{unread: got.err}
	}
	leg := got.leg(role)
	if leg == nil {
		return encoder{unread: errNotServed}
	}
	if !leg.Live {
		return encoder{}
	}
	s := got.stream(role)
	if s == nil {
		return encoder{unread: errNotMeasured}
	}
	e := encoder{isLive: true}
	if v := s.Video; v != nil {
		e.picture = &preflight.Picture{Width: v.Width, Height: v.Height}
	}
	if a := s.Audio; a != nil {
		e.sound = &preflight.Sound{Codec: a.Codec, SampleRate: a.SampleRateHz, Channels: a.Channels}
	}
	m := got.legMeasures(role)
	if m == nil || m.Rates == nil || m.AgeMilliseconds == nil || *m.AgeMilliseconds > measuredFor.Milliseconds() {
		e.unread = errNotMeasured
		return e
	}
	e.measured(m)
	return e
}

// measured adds fresh measures. The usual picture rate is known after 10 s only. The rate of one second
// alone is not judged.
func (e *encoder) measured(m *control.LegMeasures) {
	e.rates = &preflight.Rates{
		BitrateBPS: m.Rates.BitrateBPS, FrameRate: m.Rates.UsualFrameRate, SlowestFrameRate: m.Rates.FrameRate,
		Jitter: time.Duration(m.Rates.JitterMilliseconds) * time.Millisecond, Jumps: m.Rates.Jumps,
	}
	if e.picture != nil {
		e.picture.KeyFrames.Interval = time.Duration(m.Rates.KeyFrameIntervalMilliseconds) * time.Millisecond
	}
	if e.sound != nil && m.Sound != nil && m.SoundMeasured {
		e.sound.LUFS = &m.Sound.ShortTermLUFS
	}
}

// summary says in a few words what the encoder sends; empty: nothing, or it is unknown.
func (e *encoder) summary() string {
	if !e.isLive {
		return ""
	}
	shown := e.rates
	if shown != nil {
		now := *shown
		now.FrameRate = cmp.Or(now.FrameRate, now.SlowestFrameRate)
		shown = &now
	}
	return preflight.EncoderSummary(e.picture, shown, e.sound)
}

// leg returns what a pod has told of a leg; nil: nothing.
func (r reading) leg(role v1alpha1.Role) *control.Leg {
	if pair := r.pair(); pair != nil {
		return legOf(pair.Legs, role)
	}
	return nil
}

// stream returns what a pod has told of a leg's stream; nil: nothing.
func (r reading) stream(role v1alpha1.Role) *control.Stream {
	leg := r.leg(role)
	if leg == nil {
		return nil
	}
	app := r.pair().App
	at := slices.IndexFunc(r.status.Streams, func(s control.Stream) bool { return s.App == app && s.StreamID == leg.StreamID })
	if at < 0 {
		return nil
	}
	return &r.status.Streams[at]
}

// pairMeasures returns what a pod has measured of the pair; nil: nothing.
func (r reading) pairMeasures() *control.PairMeasures {
	if r.measures == nil || len(r.measures.Pairs) == 0 {
		return nil
	}
	return &r.measures.Pairs[0]
}

// legMeasures returns what a pod has measured of a leg; nil: nothing.
func (r reading) legMeasures(role v1alpha1.Role) *control.LegMeasures {
	pair := r.pairMeasures()
	if pair == nil {
		return nil
	}
	at := slices.IndexFunc(pair.Legs, func(l control.LegMeasures) bool { return l.Role == string(role) })
	if at < 0 {
		return nil
	}
	return &pair.Legs[at]
}

// step returns by how much the legs differ in time, as either pod has measured; ok is false if neither
// has. Both legs must have media: what was measured before may be of other encoders.
func (s *scene) step() (step preflight.Step, ok bool) {
	for _, role := range objects.Roles() {
		got := s.readings[role]
		m := got.pairMeasures()
		if m == nil || slices.ContainsFunc(objects.Roles(), func(r v1alpha1.Role) bool { leg := got.leg(r); return leg == nil || !leg.Live }) {
			continue
		}
		if m.Offset != nil {
			return preflight.Step{Offset: time.Duration(m.Offset.Milliseconds * float64(time.Millisecond)), DriftPPM: m.Offset.DriftPPM}, true
		}
		if m.OffsetDoubt != "" {
			step, ok = preflight.Step{Doubt: m.OffsetDoubt}, true
		}
	}
	return step, ok
}

// tokenExpires returns when the token of a leg's encoder expires; zero: never, or it is unknown. The pod
// knows at which the encoder publishes, which may be that of the other leg.
func (s *scene) tokenExpires(role v1alpha1.Role) time.Time {
	for _, at := range objects.Roles() {
		if one := s.readings[at].stream(role); one != nil && one.TokenExpires != nil {
			return *one.TokenExpires
		}
	}
	return time.Time{}
}

// judgeEncoders returns what is wrong with what the encoders send, as far as no condition tells that.
func (s *scene) judgeEncoders() []preflight.Finding {
	if s.readings == nil {
		return nil
	}
	var found []preflight.Finding
	legs := make(map[v1alpha1.Role]encoder)
	var toldOfBoth []string
	for _, role := range objects.Roles() {
		e, told := encoderOf(s.readings[role], role), s.toldOf(role)
		legs[role], toldOfBoth = e, append(toldOfBoth, told...)
		f := &preflight.Findings{Subject: objects.LegName(role)}
		f.Token(preflight.Token{
			Of: "the " + objects.LegName(role) + "'s encoder", Expires: s.tokenExpires(role),
			Effect: "the encoder goes on, but is refused when it connects again",
		}, s.now)
		if e.unread != nil {
			f.All = append(f.All, s.notMeasured(role, e.unread))
		}
		if e.isLive {
			e.judge(f, told)
		}
		found = append(found, without(f.All, told)...)
	}
	both := &preflight.Findings{Subject: "both"}
	judgeBoth(both, legs[v1alpha1.RolePrimary], legs[v1alpha1.RoleBackup])
	if step, ok := s.step(); ok {
		both.Step(step)
	}
	return append(found, without(both.All, append(toldOfBoth, s.toldOfStep()...))...)
}

// judge adds what is wrong with one encoder. told are the codes that conditions tell.
func (e *encoder) judge(f *preflight.Findings, told []string) {
	if e.picture != nil {
		f.Size(e.picture.Width, e.picture.Height)
		f.KeyFrames(e.picture.KeyFrames)
	} else {
		f.NoVideo(told)
	}
	if e.sound != nil {
		f.SampleRate(*e.sound)
	} else {
		f.NoSound(told)
	}
	if e.rates != nil {
		if e.picture != nil {
			f.Rates(*e.rates, e.picture.Height)
		}
		f.Arrival(*e.rates)
	}
}

// judgeBoth adds how two encoders differ. The loudness of a moment is not compared.
func judgeBoth(f *preflight.Findings, primary, backup encoder) {
	if primary.picture != nil && backup.picture != nil {
		var rates [2]float64
		if primary.rates != nil && backup.rates != nil {
			rates = [2]float64{primary.rates.FrameRate, backup.rates.FrameRate}
		}
		f.Pictures(*primary.picture, *backup.picture, rates)
	}
	if primary.sound != nil && backup.sound != nil {
		f.Sounds(*primary.sound, *backup.sound)
	}
}

// without returns the findings whose codes nobody has told.
func without(found []preflight.Finding, told []string) []preflight.Finding {
	return slices.DeleteFunc(found, func(f preflight.Finding) bool { return slices.Contains(told, f.Code) })
}

// implied are the codes of findings that say the same as the reason of a condition, or as a warning of a
// media server.
var implied = map[string][]string{
	v1alpha1.ReasonNoEntryPoint: {"KeyFrameInterval"},
	v1alpha1.ReasonLowFrameRate: {"LowFrameRate", "UnsteadyFrameRate"},
	v1alpha1.ReasonLowBitrate:   {"LowBitrate"},
	"NoIDR":                     {"KeyFrameInterval"},
	"ReencodedAudio":            {"ResampledSound"},
	"UnsupportedAudio":          {"ResampledSound"},
}

// toldOf returns the codes that the conditions of a leg tell: of what they say of its content, and of the
// media server's warnings, which stand in the message.
func (s *scene) toldOf(role v1alpha1.Role) []string {
	live, healthy := v1alpha1.ConditionPrimaryLive, v1alpha1.ConditionPrimaryHealthy
	if role == v1alpha1.RoleBackup {
		live, healthy = v1alpha1.ConditionBackupLive, v1alpha1.ConditionBackupHealthy
	}
	var told []string
	tell := func(code string) { told = append(append(told, code), implied[code]...) }
	for _, name := range []string{live, healthy} {
		if c := meta.FindStatusCondition(s.pair.Status.Conditions, name); c != nil && c.Status == metav1.ConditionFalse {
			tell(c.Reason)
		}
	}
	c, leg := meta.FindStatusCondition(s.pair.Status.Conditions, live), s.readings[role].leg(role)
	if c == nil || leg == nil {
		return told
	}
	for _, w := range leg.Warnings {
		if w.Message != "" && strings.Contains(c.Message, w.Message) {
			tell(w.Code)
		}
	}
	return told
}

// toldOfStep returns the codes that the condition InStep tells.
func (s *scene) toldOfStep() []string {
	c := meta.FindStatusCondition(s.pair.Status.Conditions, v1alpha1.ConditionInStep)
	if c == nil || c.Status == metav1.ConditionTrue {
		return nil
	}
	return []string{c.Reason}
}

// notMeasured says why a leg is not measured, and what to do.
func (s *scene) notMeasured(role v1alpha1.Role, why error) preflight.Finding {
	var noPod *noPodError
	cause, remedy := strings.ReplaceAll(why.Error(), "\n", ": "), "Run "
	switch {
	case errors.Is(why, errForbidden):
		cause = "you may not create pods/portforward in the namespace " + s.pair.Namespace
		remedy = askForRole
	case apierrors.IsForbidden(why):
		cause = "you may not list pods in the namespace " + s.pair.Namespace
		remedy = askForRole
	case errors.Is(why, errNoMonitorPort):
		cause = errNoMonitorPort.Error()
	case errors.As(why, &noPod):
		cause, remedy = "no pod of the leg is ready", "Check again when the pod is ready, or run "
	case errors.Is(why, errNotServed), errors.Is(why, errNotMeasured):
		remedy = "Check again in some seconds, or run "
	}
	return finding(preflight.Info, "NotMeasured", objects.LegName(role),
		fmt.Sprintf("%s does not tell what the encoder sends: %s.", podName(role), strings.TrimSuffix(cause, ".")), remedy+s.watchCommand()+".")
}

// watchCommand returns the command that watches both encoders, without the pods' measures.
func (s *scene) watchCommand() string {
	if u := s.pair.Status.PlaybackURL; u != "" {
		return "streampair-mediaserver check '" + u + "'"
	}
	return "streampair-mediaserver check URL"
}
