package controllers

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/controllers/observed"
)

// A secretReader is an API server with one Secret. It counts who reads the Secret.
type secretReader struct {
	client.Reader
	secret *corev1.Secret // nil: there is none
	reads  int
}

func (r *secretReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	r.reads++
	if r.secret == nil {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	r.secret.DeepCopyInto(into.(*corev1.Secret))
	return nil
}

// The pods of a pair connect one after the other while an operator
// starts. Each of them starts a reconcile.
func TestTheSecretIsReadOnceForReconcilesThatFollowSoon(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*corev1.Secret) *corev1.Secret
		wait   time.Duration
		reads  int // for two reconciles
	}{
		{"at once", func(s *corev1.Secret) *corev1.Secret { return s }, 0, 1},
		{"soon", func(s *corev1.Secret) *corev1.Secret { return s }, secretReuse - time.Millisecond, 1},
		{"later", func(s *corev1.Secret) *corev1.Secret { return s }, secretReuse, 2},
		{"there is none yet", func(*corev1.Secret) *corev1.Secret { return nil }, 0, 2},
		{"it is of somebody else", func(s *corev1.Secret) *corev1.Secret { s.OwnerReferences = nil; return s }, 0, 2},
		{"it is being deleted", func(s *corev1.Secret) *corev1.Secret {
			s.DeletionTimestamp = &metav1.Time{Time: sceneNow}
			return s
		}, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			reader := &secretReader{secret: test.change(s.Seen.Secret.DeepCopy())}
			r, m := &StreamPairReconciler{Reader: reader}, &memory{}
			var seen [2]observed.Pair
			for i, now := range []time.Time{s.Now, s.Now.Add(test.wait)} {
				if err := r.observeSecret(t.Context(), s.Pair, m, &seen[i], now); err != nil {
					t.Fatal(err)
				}
				if (seen[i].Secret != nil) != (reader.secret != nil) {
					t.Errorf("the Secret is there: %v", seen[i].Secret != nil)
				}
			}
			if reader.reads != test.reads {
				t.Errorf("read %d times, want %d", reader.reads, test.reads)
			}
			// What was not read again is read once the time is over, although nothing happens.
			if want := s.Now.Add(secretReuse); test.reads == 1 && !seen[1].SecretExpires.Equal(want) {
				t.Errorf("expires at %v, want %v", seen[1].SecretExpires, want)
			}
			s.Seen.SecretExpires = seen[1].SecretExpires
			if got := s.decide().Recheck; (got <= secretReuse) != (test.reads == 1) {
				t.Errorf("looked at again in %v", got)
			}
		})
	}
}

func TestASecretThatIsWrittenIsReadAgain(t *testing.T) {
	s := newScene(t, nil)
	if s.decide().changesSecret() {
		t.Error("nothing is written, and the Secret counts as changed")
	}
	s.Seen.Secret = nil
	if !s.decide().changesSecret() {
		t.Error("the Secret is made, and does not count as changed")
	}
	if s = orphaned(t, nil); !s.decide().changesSecret() {
		t.Error("the Secret is adopted, and does not count as changed")
	}
}
