package integration_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/publishtest"
	"github.com/streampair/streampair/hack/eventually"
)

// An outage has a pair with both encoders, and neither an API server nor an operator.
type outage struct {
	*kubelet
	keys      *corev1.Secret
	publishes map[string]*publishtest.Encoder
}

// newOutage stops the operator of the pair, and the API server.
func (k *kubelet) newOutage(pair string, primary, backup *publishtest.Encoder) *outage {
	k.t.Helper()
	o := &outage{kubelet: k, keys: &corev1.Secret{}, publishes: map[string]*publishtest.Encoder{"primary": primary, "backup": backup}}
	k.get(pair+"-keys", o.keys)
	k.stop()
	k.cluster.StopAPIServer(k.t)
	return o
}

// failOver kills the encoder of a leg, waits until both pods play the other one, and starts the
// encoder again.
func (o *outage) failOver(pair, from, to string) {
	o.t.Helper()
	both := func(what string, cond func(role string) bool) {
		o.t.Helper()
		eventually.True(o.t, what, func() bool { return cond("primary") && cond("backup") })
	}
	o.publishes[from].Kill()
	both(to+" on air at both pods", func(role string) bool {
		return o.statusWith(o.keys, pair, role).Pairs[0].ActiveStreamID == to
	})
	o.publishes[from] = o.publishWith(pair, from, from, string(o.keys.Data[v1alpha1.SecretKeyPublishToken]))
	both(from+" live at both pods", func(role string) bool {
		legs := o.statusWith(o.keys, pair, role).Pairs[0].Legs
		return legs[0].Live && legs[0].EntryPoint && legs[1].Live && legs[1].EntryPoint
	})
}

func switchesOf(pair *v1alpha1.StreamPair) []string {
	return slices.DeleteFunc(historyOf(pair), func(e string) bool { return e != "Switched Primary" && e != "Switched Backup" })
}

func TestTheHistoryIsWholeAfterAnOutage(t *testing.T) {
	needFFmpeg(t)
	t.Parallel()
	w := newWorldIn(t, kubetest.StartOwn(t))
	k := w.runPods()
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	primary, backup := k.publishBoth("sunday")
	w.waitUntilQuiet()
	o := k.newOutage("sunday", primary, backup)
	o.failOver("sunday", "primary", "backup")
	o.failOver("sunday", "backup", "primary")
	o.failOver("sunday", "primary", "backup")
	w.cluster.StartAPIServer(t)
	w.start()
	want := []string{"Switched Backup", "Switched Primary", "Switched Backup"}
	eventually.Seen(t, eventually.Patience, fmt.Sprintf("the history has %q", want), func() (any, bool) {
		pair := w.pair("sunday")
		return historyOf(pair), slices.Equal(want, switchesOf(pair))
	})
	pair := w.pair("sunday")
	if since := pair.Status.HistoryCompleteSince; since == nil || since.After(pair.Status.History[len(pair.Status.History)-1].Time.Time) {
		t.Errorf("complete since %v, the first event was at %v", since, pair.Status.History[len(pair.Status.History)-1].Time)
	}
	text, err := json.Marshal(pair)
	w.must(err)
	t.Logf("the object has %d bytes with %d events", len(text), len(pair.Status.History))
}
