package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/hack/eventually"
)

const (
	// goodFor is how long an encoder sends its programme before the content is faulty. The viewers have
	// come by then.
	goodFor = 30 * time.Second
	// faultyFor is how long the content is faulty. The legs' tones differ, so that a fault counts 30 s
	// later, and no planned switch comes within a minute of another one.
	faultyFor = 150 * time.Second
	// afterSeconds is how long the content must be faulty.
	afterSeconds = 5
)

// overByContent is the goal of a viewer when the content of a leg is faulty: the leg's media goes on, so
// that the switch is a planned one.
var overByContent = measure.Goal{}

func TestTheActiveLegGoesSilent(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		s.contentFails("active leg goes silent", v1alpha1.ReasonSilent, "-c:v", "copy", "-c:a", "aac", "-ar", "48000", "-af",
			fmt.Sprintf("volume=0:enable='gte(t,%d)'", goodFor/time.Second))
	})
}

// The picture is watched where the image of the media pods has ffmpeg.
func TestTheActiveLegGoesBlack(t *testing.T) {
	eachRun(t, func(t *testing.T, active v1alpha1.Role) {
		s := newFaultRun(t, active)
		for _, role := range objects.Roles() {
			if len(missing(s.pair(t, pairName), []string{healthyOf(role) + "=Unknown/" + v1alpha1.ReasonNotWatched})) == 0 {
				t.Skipf("the %s's picture is not watched: the media pods need the image with ffmpeg", role)
			}
		}
		s.contentFails("active leg goes black", v1alpha1.ReasonBlack, "-c:a", "copy", "-c:v", "libx264", "-preset", "veryfast",
			"-tune", "zerolatency", "-bf", "0", "-g", "30", "-vf", fmt.Sprintf("drawbox=color=black:t=fill:enable='gte(t,%d)'", goodFor/time.Second))
	})
}

// healthyOf is the condition of a leg's content.
func healthyOf(role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return v1alpha1.ConditionBackupHealthy
	}
	return v1alpha1.ConditionPrimaryHealthy
}

// contentFails lets the content of the active leg fail, with these arguments of ffmpeg, and its
// encoder go on. It checks that viewers see the other leg, by a planned switch.
func (s *faultRun) contentFails(fault, reason string, args ...string) {
	s.t.Helper()
	after := int32(afterSeconds)
	s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) {
		p.Failover.Content = &v1alpha1.Content{
			Policy: v1alpha1.ContentFailover, Silence: &v1alpha1.SilenceFault{AfterSeconds: &after}, Black: &v1alpha1.PictureFault{AfterSeconds: &after},
		}
	})
	s.t.Cleanup(func() { s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Content = nil }) })
	file := s.programmeThatFails(args...)
	back := s.activeSends(audience.EncoderConfig{File: file, URL: s.publishURL(s.active)})
	defer back()
	begun := time.Now()
	s.eventually("both legs come", func() bool { return s.everyPod(podState.full) })
	s.activate()
	s.waitForCalm()
	s.countSessions()
	if took := time.Since(begun); took > goodFor {
		s.t.Logf("the viewers came after %v, and the content has failed meanwhile", took.Round(time.Second))
	}
	s.do(fault, func() error { return nil })
	eventually.Seen(s.t, goodFor+faultyFor, "the other leg is played because of the content", func() (shown, bool) {
		pair := s.pair(s.t, pairName)
		active, last := pair.Status.ActiveStream, pair.Status.LastSwitch
		return shown{pair}, active != nil && active.Role == s.standby && last != nil && last.Reason == string(s.active)+reason
	})
	s.waitFor(s.t, healthyOf(s.active)+"=False/"+reason, "OnAir=True", "Converged=True")
	s.waitForEvent(s.t, s.fault.Add(-time.Second), v1alpha1.EventContentFault)
	s.observe(aftermath)
	// The content fails long before the switch. What viewers may notice is around the switch.
	s.fault = s.pair(s.t, pairName).Status.LastSwitch.Time.Add(-aftermath)
	s.figure(fault, "pion viewers of both pods", overByContent, s.watchers[s.active], s.watchers[s.standby])
	s.figure(fault, "browser", overByContent, s.page)
}

// programmeThatFails makes a file of the active leg's programme, with these arguments of ffmpeg.
func (s *faultRun) programmeThatFails(args ...string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "programme.flv")
	all := append([]string{"-hide_banner", "-loglevel", "error", "-nostdin", "-stream_loop", "-1", "-i", s.files[s.active],
		"-t", fmt.Sprint(int((goodFor + faultyFor).Seconds()))}, append(args, file)...)
	if out, err := exec.CommandContext(s.t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		s.t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(all, " "), err, out)
	}
	return file
}

// publishURL returns the URL of RTMP at which a leg is published, with its token.
func (s *faultRun) publishURL(role v1alpha1.Role) (publish string) {
	s.t.Helper()
	s.eventually("a publish URL of the "+string(role), func() bool {
		for _, leg := range s.pair(s.t, pairName).Status.Ingest {
			if leg.Role == role {
				publish = leg.RTMP
			}
		}
		return publish != ""
	})
	secret := &corev1.Secret{}
	s.must(s.kube.Get(s.t.Context(), client.ObjectKey{Namespace: options.namespace, Name: objects.KeysSecretName(pairName)}, secret))
	return publish + "?token=" + string(secret.Data[v1alpha1.SecretKeyPublishToken])
}

// activeSends lets another encoder publish the active leg, until back is called.
func (s *faultRun) activeSends(cfg audience.EncoderConfig) (back func()) {
	s.t.Helper()
	s.unplug()
	s.eventually("nothing is on air", func() bool { // else the encoders before could be taken for these
		return s.everyPod(func(state podState) bool { return !state.OnAir })
	})
	life, end := context.WithCancel(s.life)
	var running sync.WaitGroup
	s.encoders = s.encode(s.t, life, pairName, &running, s.standby)
	cfg.Log = writerFunc(func(text []byte) { s.timeline.say("%s's encoder: %s", s.active, text) })
	s.encoders[s.active] = audience.NewEncoder(cfg)
	running.Go(func() {
		if err := s.encoders[s.active].Run(life); err != nil {
			s.t.Error(err)
		}
	})
	return func() {
		end()
		running.Wait()
		s.plugIn(s.t)
	}
}

// everyPod reports whether the state of each pod is as asked for.
func (s *faultRun) everyPod(is func(podState) bool) bool {
	for _, pod := range s.pods {
		if state, err := stateAt(s.t.Context(), base(pod), ""); err != nil || !is(state) {
			return false
		}
	}
	return true
}
