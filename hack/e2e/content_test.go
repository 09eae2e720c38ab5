package e2e_test

import (
	"context"
	"fmt"
	"os"
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
	"github.com/streampair/streampair/mediaserver/mediatest"
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

// The chart's value mediaServer.image.ffmpeg gives all pairs the image with ffmpeg. Their pictures are
// watched then.
func TestTheImageWithFFmpeg(t *testing.T) {
	s := here(t)
	s.needCluster(t)
	tarball := filepath.Join(filepath.Dir(binary(t, "e2e.test")), "cluster-images", "streampair-mediaserver-ffmpeg.tar")
	if _, err := os.Stat(tarball); err != nil {
		t.Skipf("make e2e builds this image where apt-get has Debian's packages: %v", err)
	}
	image := s.settings.MediaImage + "-ffmpeg"
	s.must(t, s.cluster.Load(t.Context(), tarball))
	t.Cleanup(func() {
		s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.UpdatePolicy = v1alpha1.UpdateWhenIdle })
	})
	t.Cleanup(func() {
		s.rollOutImage(t, s.settings.MediaImage, func() error { return s.cluster.Install(context.Background(), "") })
	})
	s.rollOutImage(t, image, func() error {
		s.reinstall = true
		_, tag, _ := strings.Cut(image, ":")
		return s.cluster.Install(t.Context(), "mediaServer: {image: {ffmpeg: true, tag: "+tag+"}}")
	})
	t.Run("the control room shows pictures", func(t *testing.T) { showsPictures(t, s) })
	t.Run("the active leg goes black", func(t *testing.T) {
		eachRun(t, func(t *testing.T, active v1alpha1.Role) {
			newFaultRun(t, active).contentFails("active leg goes black", v1alpha1.ReasonBlack, "-c:a", "copy", "-c:v", "libx264", "-preset", "veryfast",
				"-tune", "zerolatency", "-bf", "0", "-g", "30", "-vf", fmt.Sprintf("drawbox=color=black:t=fill:enable='gte(t,%d)'", goodFor/time.Second))
		})
	})
}

// rollOutImage changes the default image by install, and waits until both pods have the image.
func (s *testCluster) rollOutImage(t *testing.T, image string, install func() error) {
	t.Helper()
	s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) {
		p.MediaServer.Image, p.MediaServer.UpdatePolicy = "", v1alpha1.UpdateAuto
	})
	s.must(t, install())
	s.eventually(t, "both pods have the image "+image, func() bool {
		return s.haveImages(t, version{image: image}, version{image: image})
	})
	s.waitFor(t, whole...)
}

// showsPictures checks that the pictures of the control room are never older than 3 s for a while.
func showsPictures(t *testing.T, s *testCluster) {
	browser := mediatest.Browser(t)
	mediatest.Open(t, browser, s.plugin(t, 1, roomURL, "monitor", pairName, "--operator", s.operator.String())[0])
	mediatest.Await(t, browser, patience,
		`document.querySelectorAll(".picture:not([hidden])").length === 2 && [...document.querySelectorAll(".picture")].every(p => p.naturalWidth > 0)`,
		`document.body.innerText`)
	mediatest.Screenshot(t, browser, "control-room-plugin-pictures")
	// The page says so if a picture is older than 3 s.
	type seen struct {
		Pictures int
		Oldest   float64 // ms
		Notes    []string
	}
	got := mediatest.Eval[seen](t, browser, `(async () => {
		const pictures = new Set(), notes = new Set();
		let oldest = 0;
		for (let i = 0; i < 100; i++) {
			for (const picture of document.querySelectorAll(".picture")) {
				pictures.add(picture.src);
				oldest = Math.max(oldest, Date.now() - Number(new URL(picture.src).searchParams.get("at")));
			}
			document.querySelectorAll(".note").forEach(n => n.textContent && notes.add(n.textContent));
			await new Promise(r => setTimeout(r, 100));
		}
		return {Pictures: pictures.size, Oldest: oldest, Notes: [...notes]};
	})()`)
	t.Logf("%d pictures in 10 s, the oldest made %.0f ms ago", got.Pictures, got.Oldest)
	const oldest = 3000 // ms
	if len(got.Notes) > 0 || got.Pictures < 6 || got.Oldest > oldest {
		t.Errorf("%d pictures in 10 s, the oldest made %.0f ms ago, and the page says %q; encoders send a key frame each second", got.Pictures, got.Oldest, got.Notes)
	}
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
