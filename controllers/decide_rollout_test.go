package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

func TestARolloutBeginsWithTheStandby(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*scene)
		want   []v1alpha1.Role
	}{
		{name: "the backup is on air", change: func(s *scene) { s.Both(func(p *control.Pair) { p.Active = "Backup" }) }, want: []v1alpha1.Role{roleBackup}},
		{name: "an operator that has just started", want: []v1alpha1.Role{rolePrimary, roleBackup}, change: func(s *scene) {
			s.Unheard(rolePrimary)
			s.Unheard(roleBackup)
		}},
		{name: "no word from either pod, the backup was on air", want: []v1alpha1.Role{roleBackup}, change: func(s *scene) {
			s.Pair.Status.ActiveStream = &v1alpha1.ActiveStream{Role: roleBackup}
			s.Silence(rolePrimary, time.Minute)
			s.Silence(roleBackup, time.Minute)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			s.Pair.Spec.MediaServer.PriorityClassName = "high"
			test.change(s)
			if diff := cmp.Diff(test.want, s.decide().Rollout.MustWait); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
		})
	}
}

// The status says WaitingForOtherRollouts until this operator gives the pair its turn.
func TestAnUpdateIsTold(t *testing.T) {
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.UpdatePolicy = v1alpha1.UpdateAuto })
	s.Settings.DefaultImage = "media:next"
	progressing := func() string { status, _ := s.report(); return shown(status)["Progressing"] }
	if got := progressing(); got != "False/WaitingForOtherRollouts" {
		t.Errorf("not its turn: Progressing is %s", got)
	}
	if plan := s.decide(); len(written(plan)) > 0 {
		t.Errorf("not its turn: writes %v", written(plan))
	}
	s.Seen.Turn = true
	if got := progressing(); got != "True/RollingOutUpdate" {
		t.Errorf("its turn: Progressing is %s", got)
	}
	if diff := cmp.Diff([]string{"apply Deployment sunday-backup"}, written(s.decide())); diff != "" {
		t.Errorf("its turn: writes -want +got:\n%s", diff)
	}
}

// The old pod may hold the encoder for as long as it drains. The leg
// on air must not go before the encoder has reached the new pod.
func TestALegIsBackWhenItsNewPodHasTheMedia(t *testing.T) {
	s := newScene(t, func(spec *v1alpha1.StreamPairSpec) { spec.MediaServer.PriorityClassName = "before" })
	s.Pair.Spec.MediaServer.PriorityClassName = "now"
	before := s.Seen.Objects[objects.Key{Kind: objects.KindDeployment, Name: "sunday-primary"}]
	s.ApplyAll() // the backup's Deployment is written
	s.Seen.Objects[objects.Key{Kind: objects.KindDeployment, Name: "sunday-primary"}] = before
	s.At(rolePrimary).Annotations[objects.AnnotationTemplateHash] = "before"
	old := s.Seen.Pods[roleBackup][0]
	old.Pod = old.DeepCopy()
	now := metav1.NewTime(s.Now)
	old.DeletionTimestamp, old.Annotations[objects.AnnotationTemplateHash] = &now, "before"
	fresh := s.Pod(roleBackup, 1)
	fresh.Name, fresh.UID = "sunday-backup-2", "backup-2"
	*observed.LegOf(&fresh.State.Status.Pairs[0], roleBackup) = control.Leg{Role: "Backup", StreamID: "backup", Rank: "None", LossReason: control.LossNotPublished}
	s.Seen.Pods[roleBackup] = []observed.Pod{old, fresh}
	if r := s.decide().Rollout; !r.WaitsForStandby || r.MayWrite(rolePrimary) {
		t.Errorf("the encoder is at the pod that ends: %+v", r)
	}
	*observed.LegOf(&fresh.State.Status.Pairs[0], roleBackup) = *observed.LegOf(s.Reports(rolePrimary), roleBackup)
	if r := s.decide().Rollout; !r.MayWrite(rolePrimary) {
		t.Errorf("the encoder is at the new pod: %+v", r)
	}
	observed.LegOf(&fresh.State.Status.Pairs[0], roleBackup).EntryPoint = false
	if r := s.decide().Rollout; r.MayWrite(rolePrimary) {
		t.Errorf("the encoder has sent no key frame yet: %+v", r)
	}
}
