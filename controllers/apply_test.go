package controllers

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An answeringClient notes what is applied and created, and puts the server's answer in its
// place, as a real client does.
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

func TestAnObjectIsWrittenAlikeEachTime(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	fake := &answeringClient{scheme: scheme}
	r := &StreamPairReconciler{Client: fake, Reader: fake}
	pair := newScene(t, nil).pair
	object := newDesired(playService(pair)).Object
	for range 2 {
		if err := r.write(t.Context(), pair, Write{Object: object, UID: "there"}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(fake.sent[0], fake.sent[1]); diff != "" {
		t.Errorf("applied (-first +second):\n%s", diff)
	}
	if err := r.write(t.Context(), pair, Write{Object: object}); err != nil {
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
