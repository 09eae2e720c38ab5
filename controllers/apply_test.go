package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/objects/objectstest"
	"github.com/streampair/streampair/controllers/pods"
)

// An answeringClient notes what is applied and created. As a real
// client does, it overwrites the object with the server's answer.
type answeringClient struct {
	client.Client
	scheme *runtime.Scheme
	sent   []string
}

const serversAnswer = `{"apiVersion": "v1", "kind": "Service", "metadata": {"uid": "there", "resourceVersion": "7", "creationTimestamp": "2026-11-22T20:00:00Z"}, "spec": {"clusterIP": "10.0.0.9"}}`

func (c *answeringClient) note(sent any) error {
	text, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	c.sent = append(c.sent, string(text))
	return json.Unmarshal([]byte(serversAnswer), sent)
}

func (c *answeringClient) Scheme() *runtime.Scheme { return c.scheme }

func (c *answeringClient) Apply(_ context.Context, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
	return c.note(o)
}

func (c *answeringClient) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	text, err := json.Marshal(o)
	c.sent = append(c.sent, string(text))
	return err
}

func (c *answeringClient) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	o.(*metav1.PartialObjectMetadata).ObjectMeta = metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: "there"}
	return nil
}

// A mirroringClient is an API server with a webhook that rewrites images.
type mirroringClient struct {
	client.Client
	on           bool
	refuses      error
	dry, applied int
}

func (c *mirroringClient) Apply(_ context.Context, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	var all client.ApplyOptions
	all.ApplyOptions(options)
	if len(all.DryRun) > 0 {
		c.dry++
		if c.refuses != nil {
			return c.refuses
		}
	} else {
		c.applied++
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var d appsv1.Deployment
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	if c.on {
		d.Spec.Template.Spec.Containers[0].Image = "mirror.example.com/" + d.Spec.Template.Spec.Containers[0].Image
	}
	text, err = json.Marshal(d)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, o)
}

func TestADeploymentThatAWebhookRewritesIsUpToDate(t *testing.T) {
	rewrite := func(s *scene, image string) {
		for _, role := range objects.Roles() {
			s.Seen.Deployment(s.Pair, role).Spec.Template.Spec.Containers[0].Image = image
		}
	}
	for _, test := range []struct {
		name    string
		image   string
		webhook bool
		refuses error
		waits   bool
	}{
		{name: "as applied", image: objectstest.Settings().DefaultImage, webhook: true},
		{name: "by a webhook", image: "mirror.example.com/" + objectstest.Settings().DefaultImage, webhook: true},
		{name: "by a webhook that is gone", image: "mirror.example.com/" + objectstest.Settings().DefaultImage, waits: true},
		{name: "by hand", image: "other:1", webhook: true, waits: true},
		{
			name: "by nobody knows whom", image: "other:1", webhook: true,
			refuses: apierrors.NewBadRequest("admission webhook mirror does not support dry run"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			rewrite(s, test.image)
			fake := &mirroringClient{on: test.webhook, refuses: test.refuses}
			r := &StreamPairReconciler{Client: fake}
			want := newDesired(s.Pair, s.Settings)
			for range 3 {
				r.observeDryRuns(t.Context(), s.Pair, want, s.Seen)
				plan := s.decideWith(want)
				if plan.Rollout.WaitsForIdle != test.waits || len(plan.Writes) > 0 {
					t.Errorf("waits %v, writes %v", plan.Rollout.WaitsForIdle, written(plan))
				}
			}
			if fake.dry > 2 || fake.applied > 0 {
				t.Errorf("asked %d times for two Deployments, applied %d", fake.dry, fake.applied)
			}
		})
	}
	t.Run("after a change of the spec", func(t *testing.T) {
		s := newScene(t, nil)
		rewrite(s, "mirror.example.com/"+objectstest.Settings().DefaultImage)
		s.Pair.Spec.MediaServer.PriorityClassName = "high"
		want := newDesired(s.Pair, s.Settings)
		r := &StreamPairReconciler{Client: &mirroringClient{on: true}}
		backup := want.deployments[1]
		answer, err := r.applyTo(t.Context(), backup, s.Seen.Deployment(s.Pair, roleBackup).UID)
		if err != nil {
			t.Fatal(err)
		}
		want.noteAnswer(backup, answer)
		s.Seen.Objects[backup.Key()] = answer
		s.At(roleBackup).Annotations[objects.AnnotationTemplateHash] = backup.TemplateHash()
		plan := s.decideWith(want)
		if got := written(plan); !slices.Contains(got, "apply Deployment sunday-primary") || slices.Contains(got, "apply Deployment sunday-backup") {
			t.Errorf("writes %v, want the other leg's and no more of this one's", got)
		}
	})
}

// playServiceOf returns the Service that viewers connect to.
func playServiceOf(t *testing.T, pair *v1alpha1.StreamPair) objects.Object {
	t.Helper()
	return objectstest.Find(t, objects.Of(pair, objectstest.Settings()), objects.KindService, objects.PlayServiceName(pair.Name))
}

func TestAnObjectIsWrittenAlikeEachTime(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	fake := &answeringClient{scheme: scheme}
	r := &StreamPairReconciler{Client: fake, Reader: fake}
	pair := newScene(t, nil).Pair
	object := objects.NewDesired(playServiceOf(t, pair))
	for range 2 {
		if _, err := r.write(t.Context(), pair, Write{Object: object, UID: "there"}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(fake.sent[0], fake.sent[1]); diff != "" {
		t.Errorf("applied (-first +second):\n%s", diff)
	}
	if _, err := r.write(t.Context(), pair, Write{Object: object}); err != nil {
		t.Fatal(err)
	}
	var created metav1.PartialObjectMetadata
	if err := json.Unmarshal([]byte(fake.sent[2]), &created); err != nil {
		t.Fatal(err)
	}
	if created.UID != "" || created.ResourceVersion != "" {
		t.Errorf("created with UID %q and resource version %q, which the API server refuses", created.UID, created.ResourceVersion)
	}
}

// A failingClient is an API server that answers each write with an error.
type failingClient struct {
	client.Client
	err error
}

func (c *failingClient) Create(context.Context, client.Object, ...client.CreateOption) error {
	return c.err
}

// noPods are pods that nobody follows.
type noPods struct{ PodStreams }

func (noPods) Follow(types.NamespacedName, []pods.Target) {}

func TestWhatTheAPIServerKeepsFailingAtIsTold(t *testing.T) {
	const message = `failed calling webhook "policy.example.com": connection refused`
	for _, test := range []struct {
		name string
		err  error
		told []bool // after each try
	}{
		{"a dead webhook", apierrors.NewInternalError(errors.New(message)), []bool{false, false, true, true}},
		{"a rule", apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "sunday", errors.New(message)), []bool{true, true}},
		{"another write came first", apierrors.NewConflict(schema.GroupResource{Resource: "services"}, "sunday", errors.New(message)), []bool{false, false, false, false}},
		{"the network", errors.New(message), []bool{false, false, false, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, nil)
			want := newDesired(s.Pair, s.Settings)
			service := objects.NewDesired(playServiceOf(t, s.Pair))
			plan := &Plan{Writes: []Write{{Object: service}}}
			api := &failingClient{err: test.err}
			r := &StreamPairReconciler{Client: api, Reader: api, Pods: noPods{}, Now: func() time.Time { return s.Now }}
			for i, told := range test.told {
				outcome := r.apply(t.Context(), s.Pair, want, plan)
				if got := slices.ContainsFunc(outcome.Refused, func(line string) bool { return strings.Contains(line, message) }); got != told {
					t.Errorf("after try %d: told %v, want %v (%q)", i+1, got, told, outcome.Refused)
				}
			}
			api.err = nil
			if outcome := r.apply(t.Context(), s.Pair, want, plan); len(outcome.Refused) > 0 || outcome.Err != nil {
				t.Errorf("after a success: %q, %v", outcome.Refused, outcome.Err)
			}
			api.err = test.err
			if outcome := r.apply(t.Context(), s.Pair, want, plan); len(outcome.Refused) > 0 == !test.told[0] {
				t.Errorf("after a single failure: %q", outcome.Refused)
			}
		})
	}
}
