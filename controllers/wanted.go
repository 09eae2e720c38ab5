package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// wanted is what one generation of a pair's spec asks for.
type wanted struct {
	uid        types.UID
	generation int64
	// others come before the Deployments; deployments are in the order of Roles.
	others      []desired
	deployments [2]desired
	manifest    []byte
	specHash    string
	// settled are the versions of objects that were found to be as they should: a version
	// is not compared twice.
	settled map[ObjectKey]string
	// answers are what the server made of objects that it did not take as they were applied:
	// the content by which they are known to be settled. answered writes it.
	answers map[ObjectKey]string
	// drifted are contents of which the server said that an apply would change them.
	drifted map[ObjectKey]string
	// inTheWay are objects that the cache does not have, as they lack our labels, and when to
	// ask for them again.
	inTheWay map[ObjectKey]time.Time
	// failures are how often in a row the server failed to write an object.
	failures map[ObjectKey]int
}

// newWanted is pure.
func newWanted(pair *v1alpha1.StreamPair, s ObjectSettings) *wanted {
	w := &wanted{
		uid: pair.UID, generation: pair.Generation, manifest: Manifest(pair), specHash: specHash(pair),
		settled: map[ObjectKey]string{}, answers: map[ObjectKey]string{}, drifted: map[ObjectKey]string{}, inTheWay: map[ObjectKey]time.Time{},
		failures: map[ObjectKey]int{},
	}
	for _, object := range Objects(pair, s) {
		if object.Kind != KindDeployment {
			w.others = append(w.others, newDesired(object))
			continue
		}
		object.meta.WithAnnotations(map[string]string{AnnotationSpecHash: w.specHash})
		for i, role := range Roles() {
			if object.Name == DeploymentName(pair.Name, role) {
				w.deployments[i] = newDesired(object)
			}
		}
	}
	return w
}

// changes says whether applying d would change live.
func (w *wanted) changes(d desired, live client.Object) bool {
	if w.isSettled(d, live) {
		return false
	}
	if d.changes(live) && w.answers[d.Key()] != contentOf(live) {
		return true
	}
	w.settled[d.Key()] = live.GetResourceVersion()
	return false
}

// changesTemplate says whether applying d would change the pod template of live.
func (w *wanted) changesTemplate(d desired, live client.Object) bool {
	return !w.isSettled(d, live) && d.changesTemplate(live) && w.answers[d.Key()] != contentOf(live)
}

// answered notes what the server made of an apply, dry or not.
func (w *wanted) answered(d desired, answer client.Object) {
	if d.changes(answer) {
		w.answers[d.Key()] = contentOf(answer)
	} else {
		delete(w.answers, d.Key())
	}
}

// keepsFailing notes how a write ended, and reports whether the API server itself has failed at
// the object several times in a row: it takes a person to mend that.
func (w *wanted) keepsFailing(key ObjectKey, err error) bool {
	if !isServerFailure(err) {
		delete(w.failures, key)
		return false
	}
	w.failures[key]++
	return w.failures[key] >= failuresTold
}

// isDoubtful says whether the object differs though it says that it is what d applies: somebody
// changed it since, or a webhook did as it was applied.
func (w *wanted) isDoubtful(d desired, live client.Object) bool {
	return live.GetAnnotations()[AnnotationApplied] == d.meta.Annotations[AnnotationApplied] && w.changes(d, live) &&
		w.drifted[d.Key()] != contentOf(live)
}

func (w *wanted) isSettled(d desired, live client.Object) bool {
	version := live.GetResourceVersion()
	return version != "" && w.settled[d.Key()] == version
}

// keys names all the objects.
func (w *wanted) keys() []ObjectKey {
	var keys []ObjectKey
	for _, d := range append(w.others[:len(w.others):len(w.others)], w.deployments[:]...) {
		keys = append(keys, d.Key())
	}
	return keys
}

// wantedCache keeps what pairs want: a media event, of which there are many, does not
// change it. Its zero value is ready for use. What it returns belongs to the reconcile of
// that pair, of which there is one at a time.
type wantedCache struct {
	mu    sync.Mutex
	pairs map[types.NamespacedName]*wanted // guarded by mu
}

func (c *wantedCache) of(pair *v1alpha1.StreamPair, s ObjectSettings) *wanted {
	name := client.ObjectKeyFromObject(pair)
	c.mu.Lock()
	known := c.pairs[name]
	c.mu.Unlock()
	if known != nil && known.uid == pair.UID && known.generation == pair.Generation {
		return known
	}
	fresh := newWanted(pair, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pairs == nil {
		c.pairs = map[types.NamespacedName]*wanted{}
	}
	c.pairs[name] = fresh
	return fresh
}

func (c *wantedCache) forget(pair types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pairs, pair)
}
