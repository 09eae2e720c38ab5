package integration_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

// A clock runs like the real one, and can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time              { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) putForward(by time.Duration) { c.ahead.Add(int64(by)) }

// another returns the same namespace with a second running operator of another release.
func (w *world) another(operator string, c *clock) *world {
	w.t.Helper()
	other := *w
	other.operator = operator + "-" + w.namespace
	other.config = w.cluster.User(w.t, other.operator, "system:masters")
	other.settings.Operator = operator + "/streampair-operator"
	other.settings.Objects.DefaultImage = "media:2" // two operators would overwrite each other's image
	other.now = c.now
	other.start()
	return &other
}

// writesOf returns what the operator wrote in the namespace, except Events.
func (w *world) writesOf() []kubetest.Write {
	w.t.Helper()
	time.Sleep(100 * time.Millisecond) // for the audit log
	return slices.DeleteFunc(w.cluster.Writes(w.t, w.operator), func(one kubetest.Write) bool {
		return one.Namespace != w.namespace || one.Resource == "events"
	})
}

// images returns the images of a pair's Deployments.
func (w *world) images(pair string) []string {
	w.t.Helper()
	var images []string
	for _, role := range objects.Roles() {
		d := &appsv1.Deployment{}
		if !w.get(objects.DeploymentName(pair, role), d) {
			w.t.Fatalf("%s has no Deployment of the %s", pair, role)
		}
		images = append(images, d.Spec.Template.Spec.Containers[0].Image)
	}
	return images
}

func TestTwoOperatorsDoNotFightOverAPair(t *testing.T) {
	w := newWorld(t, func(w *world) { w.settings.Operator = "first/streampair-operator" })
	w.runPods()
	w.create("sunday", nil)
	first := w.waitFor("sunday", "Ready=True/Ready", "Progressing=False/UpToDate")
	if first.Status.Operator != "first/streampair-operator" {
		t.Fatalf("the mark is %q", first.Status.Operator)
	}
	deployments := w.images("sunday")
	before := len(w.writesOf())

	c := &clock{}
	second := w.another("second", c)
	eventually.True(w.t, "the Event", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventOperatorConflict) })
	second.metricIs("streampair_foreign", map[string]string{"pair": "sunday", "operator": "first/streampair-operator"}, 1)
	w.change("sunday", func(s *v1alpha1.StreamPairSpec) { s.Failover.Select = v1alpha1.SelectBackup })
	w.waitFor("sunday", "Ready=True/Ready")
	if writes := second.writesOf(); len(writes) > 0 {
		t.Errorf("the second operator wrote %v", writes)
	}

	// The second operator asks whether the first one runs, and gets an answer each time.
	for range 2 {
		c.putForward(46 * time.Second)
		asked := len(second.writesOf())
		eventually.True(w.t, "the question", func() bool { return len(second.writesOf()) > asked })
		eventually.True(w.t, "the answer", func() bool { return w.pair("sunday").Status.OperatorClaim == nil })
		c.putForward(106 * time.Second)
	}
	after := w.pair("sunday")
	if after.Status.Operator != "first/streampair-operator" || !slices.Equal(w.images("sunday"), deployments) {
		t.Errorf("the mark is %q, and the images are %v", after.Status.Operator, w.images("sunday"))
	}
	if writes := w.writesOf(); len(writes) > before+10 {
		t.Errorf("the first operator wrote %d times more: %v", len(writes)-before, writes[before:])
	}
	for _, one := range second.writesOf() {
		if one.Resource != "streampairs/status" {
			t.Errorf("the second operator wrote %v", one)
		}
	}
}

func TestAReleaseThatMovedIsServed(t *testing.T) {
	w := newWorld(t, func(w *world) { w.settings.Operator = "first/streampair-operator" })
	w.runPods()
	for _, name := range []string{"sunday", "monday"} {
		w.create(name, nil)
		w.waitFor(name, "Ready=True/Ready", "Progressing=False/UpToDate")
	}
	w.stop()

	c := &clock{}
	second := w.another("second", c)
	eventually.True(second.t, "the Event", func() bool { return slices.Contains(w.events("sunday"), v1alpha1.EventOperatorConflict) })
	c.putForward(46 * time.Second)
	eventually.True(second.t, "the question", func() bool {
		return w.pair("sunday").Status.OperatorClaim != nil || w.pair("monday").Status.OperatorClaim != nil
	})
	if writes := second.writesOf(); len(writes) != 1 {
		t.Errorf("the second operator wrote %v before it had waited", writes)
	}
	c.putForward(106 * time.Second)
	for _, name := range []string{"sunday", "monday"} {
		eventually.True(second.t, name+" has the mark of the operator that runs", func() bool {
			return w.pair(name).Status.Operator == "second/streampair-operator"
		})
		eventually.True(w.t, "the Event that says so", func() bool { return slices.Contains(w.events(name), v1alpha1.EventOperatorChanged) })
		if pair := w.pair(name); pair.Status.OperatorClaim != nil {
			t.Errorf("%s: the question is still there: %v", name, pair.Status.OperatorClaim)
		}
		eventually.True(second.t, name+" runs what the operator that runs wants", func() bool {
			return slices.Equal(w.images(name), []string{"media:2", "media:2"})
		})
	}
}
