package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

const (
	// hlsCalm is how many times a playlist must have grown before it counts as running.
	hlsCalm = 12
	// hlsSteady is the goal without a fault. Parts last for 267 ms.
	hlsSteady = 500 * time.Millisecond
)

const hlsPath = "/live/streams/primary.m3u8?backupStreamId=backup"

// openHLS lets an HLS viewer play through all ready pods with an
// image, which it asks in turn. Without an image it asks all ready pods.
func (s *testCluster) openHLS(t *testing.T, image string) *audience.HLSViewer {
	t.Helper()
	v := audience.WatchHLS(audience.HLSConfig{
		Find: func(ctx context.Context) []string { return s.readyBases(ctx, image) },
		Path: hlsPath,
		Logf: func(format string, args ...any) { s.timeline.say("HLS viewer: "+format, args...) },
	})
	t.Cleanup(v.Close)
	s.eventually(t, "an HLS playlist that grows", func() bool { return len(v.Growths()) >= hlsCalm })
	return v
}

// readyBases returns the base URLs of the ready pods with an image, or of all ready
// pods. A proxy in front of the playback Service knows the same. Empty: nothing is known.
func (s *testCluster) readyBases(ctx context.Context, image string) (bases []string) {
	var list corev1.PodList
	if s.kube.List(ctx, &list, client.InNamespace(options.namespace), client.MatchingLabels(objects.PairSelector(pairName))) != nil {
		return nil
	}
	for _, pod := range list.Items {
		known := image == "" || pod.Spec.Containers[0].Image == image
		if known && pod.DeletionTimestamp.IsZero() && pod.Status.PodIP != "" && ready(&pod) {
			bases = append(bases, base(&pod))
		}
	}
	return bases
}

// An hlsGoal has the goals of an HLS viewer for a fault: from the fault to the first newer
// part of the other leg, and the longest time in which the playlist does not grow.
type hlsGoal struct{ otherLeg, still time.Duration }

// hlsFigures adds what an HLS viewer noticed of a fault.
func (s *faultRun) hlsFigures(v *audience.HLSViewer, fault string, goal hlsGoal) {
	s.t.Helper()
	other, found := s.firstPart(v, s.standby)
	if !found {
		s.t.Errorf("%s: the HLS viewer got no part of the %s", fault, s.standby)
		return
	}
	s.hlsFigure(fault, "HLS viewer: first newer part of the other leg", goal.otherLeg, other.Sub(s.fault))
	s.hlsStoodStill(v, fault, goal.still)
}

// hlsStoodStill adds the longest time since the fault in which the playlist did not grow.
func (s *faultRun) hlsStoodStill(v *audience.HLSViewer, fault string, goal time.Duration) {
	s.t.Helper()
	gap := v.Growths().LongestGap(s.fault, time.Now())
	s.timeline.say("FIGURE: the HLS playlist did not grow for %v from %s on", gap.Length, gap.Begin.Format("15:04:05.000"))
	s.hlsFigure(fault, "HLS viewer: the playlist does not grow", goal, gap.Length)
}

func (s *faultRun) hlsFigure(fault, who string, within, figure time.Duration) {
	s.t.Helper()
	goal := measure.Goal{Within: within, Reconnects: true} // HLS has no sessions
	s.t.Logf("%s: %s: %v (%s)", fault, who, figure.Round(time.Millisecond), goal)
	s.judged(measure.What{Fault: fault, Who: who, Goal: goal.String()}, figure, 0, goal.Judge)
}

// firstPart returns when a viewer had the first part of a leg that was made after the fault.
func (s *faultRun) firstPart(v *audience.HLSViewer, role v1alpha1.Role) (at time.Time, found bool) {
	s.t.Helper()
	for _, stay := range v.Stays() {
		newer := slices.IndexFunc(stay.Parts, func(p audience.HLSPart) bool { return p.Read.After(s.fault) && p.End.After(s.fault) })
		if newer >= 0 && s.legOf(stay) == role {
			return stay.Parts[newer].Read, true
		}
	}
	return time.Time{}, false
}

// legOf decodes what was read, and returns the leg that the pictures show.
func (s *faultRun) legOf(stay audience.Stay) (role v1alpha1.Role) {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), fmt.Sprintf("%d.mp4", stay.Discontinuity))
	s.must(os.WriteFile(name, stay.Media, 0o600))
	err := mediatest.DecodeFile(s.t.Context(), name, 640, 360, func(m mediatest.Image) {
		if code, ok := m.TimeCode(); ok {
			role = objects.Roles()[code.Leg]
		}
	})
	if err != nil || role == "" {
		s.t.Errorf("the parts after HLS discontinuity %d show no leg: %v", stay.Discontinuity, err)
	}
	return role
}

// hlsIsRight checks that no request of an HLS viewer failed, and that
// its playlist kept the rules. So its numbers have never gone back.
func (s *testCluster) hlsIsRight(t *testing.T, v *audience.HLSViewer) {
	t.Helper()
	for _, mistake := range v.Mistakes() {
		t.Errorf("HLS viewer: %s", mistake)
	}
	t.Logf("the HLS viewer got these answers: %v", v.Answers())
}

// hasNoHLS checks that a pod of the version before has no playlists. So nobody can watch
// by HLS there, and the HLS viewer of an upgrade only asks pods of the present version.
func (s *faultRun) hasNoHLS(role v1alpha1.Role) {
	s.t.Helper()
	if code := ask(s.t, http.MethodGet, base(s.pods[role])+hlsPath, "", ""); code != http.StatusNotFound {
		s.t.Errorf("the pod of the version before answers %d to a playlist, want 404. If it serves HLS, the HLS viewer must ask it too", code)
	}
}

// hlsAsksBoth checks that both pods have served an HLS viewer.
func (s *faultRun) hlsAsksBoth(v *audience.HLSViewer) {
	s.t.Helper()
	for _, role := range objects.Roles() {
		pod, ok := s.pod(s.t, role)
		if !ok || v.Answers()[base(pod)+" 200"] == 0 {
			s.t.Errorf("the %s's pod has served no HLS: %v", role, v.Answers())
		}
	}
}
