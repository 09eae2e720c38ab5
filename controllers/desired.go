package controllers

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/drift"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
)

// desired is what one generation of a pair's spec asks for,
// with what was learned from the server about its objects.
type desired struct {
	generation int64
	// others are applied before the Deployments. deployments are in the order of Roles.
	others      []objects.Desired
	deployments [2]objects.Desired
	manifest    []byte
	specHash    string
	// notes are read by about, and written by note.
	notes map[objects.Key]*objectNote
}

// An objectNote is what is known of one object. A content is a [drift.ContentOf].
type objectNote struct {
	// upToDate is the resource version that was found to
	// be as it should. A version is compared only once.
	upToDate string
	// accepted is the content that the server made of the object, if it did not store
	// what was applied. An object with this content is as it should be.
	accepted string
	// drifted is a content that an apply would change, as the server said.
	drifted string
	// templateWouldChange is the content of an adopted Deployment whose pod template an apply
	// would change although the template has all that is applied: somebody added to the
	// template. templateWouldStay is a content whose template an apply would leave as it is.
	templateWouldChange, templateWouldStay string
	// retryAt is when to ask the API server again for an object that the cache
	// does not have because the object lacks the operator's labels.
	retryAt time.Time
	// failures counts how often in a row the server failed to write the object.
	failures int
}

// newDesired returns what the pair's spec asks for. It is pure.
func newDesired(pair *v1alpha1.StreamPair, s objects.Settings) *desired {
	w := &desired{
		generation: pair.Generation, manifest: objects.Manifest(pair), specHash: objects.SpecHash(pair), notes: map[objects.Key]*objectNote{},
	}
	for _, object := range objects.Of(pair, s) {
		if object.Kind != objects.KindDeployment {
			w.others = append(w.others, objects.NewDesired(object))
			continue
		}
		object.Annotate(objects.AnnotationSpecHash, w.specHash)
		for i, role := range objects.Roles() {
			if object.Name == objects.DeploymentName(pair.Name, role) {
				w.deployments[i] = objects.NewDesired(object)
			}
		}
	}
	return w
}

// about returns what is known of an object.
func (w *desired) about(key objects.Key) objectNote {
	if known := w.notes[key]; known != nil {
		return *known
	}
	return objectNote{}
}

// note returns what is known of an object, in order to change it.
func (w *desired) note(key objects.Key) *objectNote {
	if w.notes[key] == nil {
		w.notes[key] = &objectNote{}
	}
	return w.notes[key]
}

// compare notes which of the pair's objects are as they should be.
// Such an object is compared again only after it has changed.
func (w *desired) compare(pair *v1alpha1.StreamPair, seen *observed.Pair) {
	for _, d := range w.all() {
		live := seen.Objects[d.Key()]
		if live != nil && objects.IsOwned(live, pair) && !w.changes(d, live) {
			w.note(d.Key()).upToDate = live.GetResourceVersion()
		}
	}
}

// changes reports whether applying d would change live.
func (w *desired) changes(d objects.Desired, live client.Object) bool {
	return !w.isUpToDate(d, live) && drift.Changes(d, live) && w.about(d.Key()).accepted != drift.ContentOf(live)
}

// changesTemplate reports whether applying d would change the pod template of live.
func (w *desired) changesTemplate(d objects.Desired, live client.Object) bool {
	if w.isUpToDate(d, live) {
		return false
	}
	if isAdopted(live) && w.about(d.Key()).templateWouldStay != drift.ContentOf(live) {
		return true
	}
	return drift.ChangesTemplate(d, live) && w.about(d.Key()).accepted != drift.ContentOf(live)
}

// isOutdated is changesTemplate for the Deployment of one leg.
func (w *desired) isOutdated(role v1alpha1.Role, live *appsv1.Deployment) bool {
	return w.changesTemplate(w.deployments[slices.Index(objects.Roles(), role)], live)
}

// isAdopted reports whether the object was adopted and nothing has been applied to it since.
func isAdopted(live client.Object) bool {
	return live.GetAnnotations()[objects.AnnotationApplied] == objects.AppliedByAdoption
}

// needsAdoptionDryRun reports whether the server still has to be asked about an
// adopted Deployment: an apply may remove something from its pod template.
func (w *desired) needsAdoptionDryRun(d objects.Desired, live client.Object) bool {
	if !isAdopted(live) || drift.ChangesTemplate(d, live) {
		return false
	}
	content := drift.ContentOf(live)
	known := w.about(d.Key())
	return known.templateWouldChange != content && known.templateWouldStay != content
}

// noteAdoptionDryRun notes what the server made of a dry-run apply to an adopted Deployment.
func (w *desired) noteAdoptionDryRun(d objects.Desired, live, answer *appsv1.Deployment) {
	if equality.Semantic.DeepEqual(live.Spec.Template, answer.Spec.Template) {
		w.note(d.Key()).templateWouldStay = drift.ContentOf(live)
	} else {
		w.note(d.Key()).templateWouldChange = drift.ContentOf(live)
	}
}

// noteAnswer notes what the server made of an apply, dry run or not.
func (w *desired) noteAnswer(d objects.Desired, answer client.Object) {
	if drift.Changes(d, answer) {
		w.note(d.Key()).accepted = drift.ContentOf(answer)
	} else {
		w.note(d.Key()).accepted = ""
	}
}

// keepsFailing notes how a write ended. It reports whether the API server itself
// has failed failuresTold times in a row at the object. A person has to mend that.
func (w *desired) keepsFailing(key objects.Key, err error) bool {
	if !isServerFailure(err) {
		w.note(key).failures = 0
		return false
	}
	w.note(key).failures++
	return w.about(key).failures >= failuresTold
}

// needsDryRun reports whether the object differs from d although its annotation says that d was
// applied. Somebody has changed the object since, or a webhook changed it during the apply.
func (w *desired) needsDryRun(d objects.Desired, live client.Object) bool {
	return live.GetAnnotations()[objects.AnnotationApplied] == d.Annotation(objects.AnnotationApplied) && w.changes(d, live) &&
		w.about(d.Key()).drifted != drift.ContentOf(live)
}

func (w *desired) isUpToDate(d objects.Desired, live client.Object) bool {
	version := live.GetResourceVersion()
	return version != "" && w.about(d.Key()).upToDate == version
}

// keys returns the keys of all the objects.
func (w *desired) keys() []objects.Key {
	var keys []objects.Key
	for _, d := range w.all() {
		keys = append(keys, d.Key())
	}
	return keys
}

// all returns all the objects, in the order in which they are applied.
func (w *desired) all() []objects.Desired {
	return append(w.others[:len(w.others):len(w.others)], w.deployments[:]...)
}
