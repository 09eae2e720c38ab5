package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// A version is what a Helm release is made of.
type version struct {
	name string
	// chart is the folder of the chart; empty: the
	// repository's chart. values choose its images.
	chart, values string
	// image is the media server's image.
	image string
}

// versions returns the version from which upgrades begin,
// as hack/previous.sh built it, and the present one.
func (s *testCluster) versions(t *testing.T) (before, present version) {
	t.Helper()
	const tag = "previous"
	repository, _, _ := strings.Cut(s.settings.MediaImage, ":")
	before = version{
		name:   "the version before",
		chart:  filepath.Join(filepath.Dir(binary(t, "../.cache/previous/stamp")), "charts/streampair"),
		values: "image: {tag: " + tag + "}\nmediaServer: {image: {tag: " + tag + "}}\n",
		image:  repository + ":" + tag,
	}
	return before, version{name: "this version", image: s.settings.MediaImage}
}

// install does what helm upgrade and helm rollback do.
func (s *testCluster) install(ctx context.Context, v version) error {
	s.reinstall = true
	return s.cluster.InstallChart(ctx, v.chart, v.values)
}

// The previous version is upgraded to the present one, rolled back and upgraded again,
// while encoders publish and viewers watch. For some time the pods have different
// versions. First the primary's pod keeps the old version, then the backup's.
func TestUpgrade(t *testing.T) {
	here(t).needCluster(t)
	// A step cannot be repeated alone, so its figures have the higher limit.
	theCluster.attempts(t, "all steps", max(options.times, measure.Busily), testUpgrade)
}

func testUpgrade(t *testing.T) {
	s := here(t)
	before, present := s.versions(t)
	s.onlyPlayPage = true
	s.startWith(t, before)
	t.Cleanup(func() { s.leaveUpgraded(t, present); s.onlyPlayPage = false })

	for _, step := range []struct {
		name string
		run  func(t *testing.T)
		// primary and backup are the versions of the legs' pods after the step.
		primary, backup version
	}{
		{"chart and CRD are upgraded, and nothing restarts", func(t *testing.T) {
			newFaultRun(t, v1alpha1.RolePrimary).upgradesWhenIdle(present)
		}, before, before},
		{"the backup's pod is updated, the primary's stays behind", func(t *testing.T) {
			s := newFaultRun(t, v1alpha1.RolePrimary)
			s.updatesStandby("Auto", present, func() error {
				s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
				return nil
			})
		}, before, present},
		{"mixed: the primary's pod is of the version before, and is killed", func(t *testing.T) {
			s := newFaultRunOf(t, v1alpha1.RolePrimary, mixed)
			hls := s.openHLS(t, present.image)
			s.hasNoHLS(v1alpha1.RolePrimary)
			s.testMixedVersions(v1alpha1.RolePrimary)
			s.hlsIsRight(t, hls)
		}, before, present},
		{"the primary's pod is updated", func(t *testing.T) {
			newFaultRunOf(t, v1alpha1.RolePrimary, mixed).updatesActive("Auto", present)
		}, present, present},
		{"rolled back", func(t *testing.T) {
			s := newFaultRun(t, v1alpha1.RoleBackup)
			s.do("helm rollback", func() error { return s.install(t.Context(), before) })
			s.rollsOut("helm rollback, Auto", before.image)
			s.switchesArePlanned()
		}, before, before},
		{"upgraded again: the primary's pod is updated, the backup's stays behind", func(t *testing.T) {
			s := newFaultRun(t, v1alpha1.RoleBackup)
			s.updatesStandby("upgraded again, Auto", present, func() error { return s.install(t.Context(), present) })
		}, present, before},
		// No HLS viewer is on here: the pod that is killed is the only one with HLS.
		{"mixed: the backup's pod is of the version before, the primary's is killed", func(t *testing.T) {
			newFaultRunOf(t, v1alpha1.RoleBackup, mixed).testMixedVersions(v1alpha1.RolePrimary)
		}, present, before},
		{"the backup's pod is updated", func(t *testing.T) {
			newFaultRunOf(t, v1alpha1.RoleBackup, mixed).updatesActive("upgraded again, Auto", present)
		}, present, present},
		{"this version's operator runs an image of the version before, which is pinned", func(t *testing.T) {
			newFaultRun(t, v1alpha1.RolePrimary).pinsImage(before.image, before.image)
		}, before, before},
		{"the pin is taken away", func(t *testing.T) {
			newFaultRun(t, v1alpha1.RolePrimary).pinsImage("", present.image)
		}, present, present},
	} {
		t.Run(step.name, step.run)
		if len(s.slow) > 0 && s.attempt == measure.First {
			return // all steps are repeated
		}
		if !s.haveImages(t, step.primary, step.backup) {
			t.Fatalf("the pods are not of %s and %s after: %s", step.primary.name, step.backup.name, step.name)
		}
	}
}

// mixed has the conditions of a pair that is well but half updated.
var mixed = slices.DeleteFunc(slices.Clone(whole), func(c string) bool { return strings.HasPrefix(c, "Progressing=") })

// startWith makes the pair again under another version, so that no
// object comes from the present version, and starts the encoders.
func (s *testCluster) startWith(t *testing.T, v version) {
	t.Helper()
	began := time.Now()
	for _, image := range []string{"streampair-operator.tar", "streampair-mediaserver.tar"} {
		s.must(t, s.cluster.Load(t.Context(), filepath.Join(v.chart, "../..", image)))
	}
	s.unplug()
	pair := newPair(pairName)
	s.must(t, client.IgnoreNotFound(s.kube.Delete(t.Context(), pair)))
	s.eventually(t, "the pair has gone, with its pods", func() bool {
		err := s.kube.Get(t.Context(), s.key(), &v1alpha1.StreamPair{})
		return apierrors.IsNotFound(err) && len(s.legPods(t, v1alpha1.RolePrimary))+len(s.legPods(t, v1alpha1.RoleBackup)) == 0
	})
	s.must(t, s.install(t.Context(), v))
	s.make(t, newPair(pairName))
	s.waitFor(t, "Ready=True")
	s.plugIn(t)
	s.waitFor(t, whole...)
	if !s.haveImages(t, v, v) {
		t.Fatalf("the pods are not of %s, which has the image %s", v.name, v.image)
	}
	t.Logf("a pair of %s is on air after %v", v.name, time.Since(began).Round(time.Second))
}

// leaveUpgraded restores the pair for the following tests, whatever has failed.
func (s *testCluster) leaveUpgraded(t *testing.T, present version) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, role := range objects.Roles() {
		_ = s.resumeRollout(role) // a rollout that is not paused stays as it is
	}
	if err := s.install(ctx, present); err != nil {
		t.Errorf("install this version again: %v", err)
		return
	}
	s.eventually(t, "both pods are of this version", func() bool { return s.haveImages(t, present, present) })
	s.change(t, pairName, func(p *v1alpha1.StreamPairSpec) { *p = newPair(pairName).Spec })
}

// haveImages reports whether each leg has one ready pod of the given version.
func (s *testCluster) haveImages(t *testing.T, primary, backup version) bool {
	t.Helper()
	for role, v := range map[v1alpha1.Role]version{v1alpha1.RolePrimary: primary, v1alpha1.RoleBackup: backup} {
		pod, ok := s.pod(t, role)
		if !ok || pod.Spec.Containers[0].Image != v.image {
			return false
		}
	}
	return true
}

// upgradesWhenIdle upgrades the chart and its CRD. The operator is replaced. The
// pods must wait until nobody publishes or watches, which is not the case now.
func (s *faultRun) upgradesWhenIdle(present version) {
	s.t.Helper()
	runs := s.containers()
	s.do("helm upgrade", func() error { return s.install(s.t.Context(), present) })
	s.waitFor(s.t, "Progressing=False/"+v1alpha1.ReasonWaitingForIdle)
	s.observe(2 * aftermath)
	s.figure("chart and CRD upgraded, WhenIdle", "all viewers", measure.Goal{}, s.viewers()...)
	if now := s.containers(); now != runs {
		s.t.Errorf("media pods were restarted: %s, were %s", now, runs)
	}
	s.stays("Ready", "True/"+v1alpha1.ReasonReady)
	s.stays("OnAir", "True/OnAir")
}

// containers returns the ids of the running media servers' containers. Each start has a new id.
func (s *faultRun) containers() string {
	s.t.Helper()
	var ids []string
	for _, role := range objects.Roles() {
		for _, pod := range s.legPods(s.t, role) {
			for _, c := range pod.Status.ContainerStatuses {
				ids = append(ids, pod.Name+" "+c.ContainerID)
			}
		}
	}
	return strings.Join(ids, ", ")
}

// updatesStandby starts the update of the standby's pod, and holds
// back the rollout of the active leg as kubectl rollout pause does.
func (s *faultRun) updatesStandby(policy string, to version, start func() error) {
	s.t.Helper()
	active := s.pods[s.active].UID
	s.pauseRollout(s.active)
	s.do("let the pod of the standby roll", start)
	s.eventually("the standby's pod has the image "+to.image, func() bool {
		pod, ok := s.pod(s.t, s.standby)
		return ok && pod.Spec.Containers[0].Image == to.image
	})
	s.waitFor(s.t, mixed...)
	fault := "pod of the standby updated, " + policy
	s.took(fault, "leg updated and live", time.Minute, time.Since(s.fault))
	s.observe(aftermath)
	s.figure(fault, "browser on the other pod", measure.Goal{}, s.page)
	s.figure(fault, "viewers of the other pod", measure.Goal{}, s.watchers[s.active])
	s.figure(fault, "its own", measure.Goal{Within: 500 * time.Millisecond, Reconnects: true}, s.watchers[s.standby])
	s.stays("OnAir", "True/OnAir")
	s.stays("active", string(s.active))
	if pod, ok := s.pod(s.t, s.active); !ok || pod.UID != active {
		s.t.Errorf("the active leg's pod was replaced, although its Deployment is paused")
	}
}

// updatesActive resumes the rollout that updatesStandby held back. An HLS
// viewer begins at the only pod with HLS, and then asks both pods.
func (s *faultRun) updatesActive(policy string, to version) {
	s.t.Helper()
	s.hasNoHLS(s.active)
	hls := s.openHLS(s.t, to.image)
	s.do("let the pod of the active leg roll", func() error { return s.resumeRollout(s.active) })
	fault := "pod of the active leg updated, " + policy
	s.rollsOut(fault, to.image)
	s.hlsStoodStill(hls, fault, hlsOverByCut.still)
	s.hlsAsksBoth(hls)
	s.hlsIsRight(s.t, hls)
	s.switchesArePlanned()
}

// pinsImage sets the image in the spec, or removes it with an empty image. It waits until the pods
// have the image that this means.
func (s *faultRun) pinsImage(image, means string) {
	s.t.Helper()
	s.do(fmt.Sprintf("set spec.mediaServer.image to %q", image), func() error {
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.MediaServer.Image = image })
		return nil
	})
	s.rollsOut("image pinned in the spec, "+means, means)
	s.switchesArePlanned()
}

// switchesArePlanned checks that since the fault no leg
// was left more than once, and none because it was lost.
func (s *faultRun) switchesArePlanned() {
	s.t.Helper()
	planned := []string{v1alpha1.SwitchPrimaryDraining, v1alpha1.SwitchBackupDraining}
	switches := s.timeline.changes("last switch", s.fault)
	for _, value := range switches {
		if !slices.ContainsFunc(planned, func(reason string) bool { return strings.HasSuffix(value, ", "+reason) }) {
			s.t.Errorf("a leg was left that was not to end: %s", value)
		}
	}
	if len(switches) > len(objects.Roles()) {
		s.t.Errorf("more than one switch a leg: %v", switches)
	}
}

func (s *faultRun) pauseRollout(role v1alpha1.Role) {
	s.mustKubectl(s.t, "rollout", "pause", "-n", options.namespace, "deployment/"+objects.DeploymentName(pairName, role))
}

func (s *testCluster) resumeRollout(role v1alpha1.Role) error {
	_, err := s.kubectl("patch", "-n", options.namespace, "deployment/"+objects.DeploymentName(pairName, role),
		"--type=merge", `-p={"spec":{"paused":null}}`)
	return err
}
