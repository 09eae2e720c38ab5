package controllers

import (
	"hash/fnv"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/orphans"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/rollout"
)

// A Plan is what has to be done about a pair now.
// Whatever the plan does not list is as it should be.
type Plan struct {
	// Writes are the objects to be created or applied, in this order.
	Writes []Write
	// Adoptions are orphans to be adopted. The operator
	// writes to an orphan only after adopting it.
	Adoptions []orphans.Adoption
	// Deletes are objects of the pair that its spec no longer needs.
	Deletes []client.Object
	// Conflicts are objects of others whose names the pair needs.
	Conflicts []orphans.Conflict
	// Follow are the pods to follow.
	Follow []pods.Target
	// KeepsFollowing says to keep following the same pods as before, and no others. It is set
	// while another object has the place of the pair's Secret, so that the keys are unknown.
	KeepsFollowing bool
	// Pushes tell pods what they may not know yet.
	Pushes []Push
	// Addresses are where the pair is reached.
	Addresses addresses.Addresses
	// Rollout says which legs are being replaced, and what the other changes wait for.
	Rollout rollout.Rollout
	// Recheck is after what time to decide again even if nothing happens; 0: never.
	Recheck time.Duration
}

// changesSecret reports whether the plan creates, writes or adopts the pair's Secret.
func (p *Plan) changesSecret() bool {
	return slices.ContainsFunc(p.Writes, func(w Write) bool { return w.Object.Kind == objects.KindSecret }) ||
		slices.ContainsFunc(p.Adoptions, func(a orphans.Adoption) bool { return a.Kind == objects.KindSecret })
}

// A Write creates an object, or applies it to the existing one.
type Write struct {
	Object objects.Desired
	// UID is that of the object that exists. Empty: none is known, and the object is created.
	UID types.UID
}

// A Push is what one pod must be told.
type Push struct {
	Pod pods.Key
	// Manifest is the pair with its directives, as in the ConfigMap.
	// Nil: this pod must not get the manifest, see decidePods.
	Manifest []byte
	// Version is the version of the manifest.
	Version pods.ManifestVersion
	// Replaces is the newer version that the pod has in force and must give up. Zero: none.
	Replaces pods.ManifestVersion
	// Addresses are what viewers are told.
	Addresses control.MediaAddresses
	// Peers say how to reach the pods of the other leg. Nil: the pod's version cannot be told.
	Peers *control.Peers
	// TellAddresses is false if there are no addresses to tell and none to take back.
	TellAddresses bool
}

// secretRecheck is how often the pair's Secret is read if nothing else happens. The
// Secret is not watched, and a user deletes it to get new keys. Pairs take turns.
const secretRecheck = 2 * time.Minute

// idleRecheck is how often a change that waits for the last viewer to leave looks
// again. The pods do not report viewers that come and go. A change that keeps
// other pairs waiting looks as often. The pairs that wait are woken by hints.
const idleRecheck = 30 * time.Second

// decide returns what has to be done, given how far the rollout may
// go. It writes nothing, and is pure except that new keys are random.
func decide(pair *v1alpha1.StreamPair, want *desired, seen *observed.Pair, order rollout.Rollout, now time.Time) (*Plan, error) {
	plan := &Plan{Addresses: addresses.Of(pair, seen), Rollout: order}
	keys, err := plan.decideSecret(pair, seen, now)
	if err != nil {
		return nil, err
	}
	plan.decideObjects(pair, want, seen, now)
	plan.decidePods(pair, want.manifest, seen, keys)
	plan.Recheck = hints.Earliest(addresses.Recheck(seen, now), recheckConflicts(pair, plan.Conflicts, now))
	plan.Recheck = hints.Earliest(plan.Recheck, spread(pair, secretRecheck))
	if !seen.SecretExpires.IsZero() {
		plan.Recheck = hints.Earliest(plan.Recheck, max(seen.SecretExpires.Sub(now), time.Millisecond))
	}
	if order.WaitsForIdle || order.WaitsForStandby && order.NeedsTurn {
		plan.Recheck = hints.Earliest(plan.Recheck, idleRecheck)
	}
	return plan, nil
}

// decideRollout returns which Deployments may be written now. It is pure.
func decideRollout(pair *v1alpha1.StreamPair, want *desired, seen *observed.Pair, now time.Time) rollout.Rollout {
	return rollout.Decide(pair, seen, observed.ViewLegs(pair, seen, now), want.specHash, want.isOutdated, now)
}

// decideSecret returns the keys of the pair. While another object
// has the Secret's place it returns none. Invented keys would
// lock the operator out of the pods and encoders out of the pair.
func (p *Plan) decideSecret(pair *v1alpha1.StreamPair, seen *observed.Pair, now time.Time) (keys.Keys, error) {
	key := objects.Key{Kind: objects.KindSecret, Name: objects.KeysSecretName(pair.Name)}
	secret := seen.Secret
	switch {
	case secret == nil || objects.IsOwned(secret, pair):
	case !seen.Ours(pair, key):
		p.Conflicts = append(p.Conflicts, orphans.Conflict{Key: key, Why: seen.Fault(pair, key)})
		p.KeepsFollowing = true
		return keys.Keys{}, nil
	default:
		p.Adoptions = append(p.Adoptions, orphans.Adopt(pair, key, secret))
		return keys.From(secret.Data), nil
	}
	pairKeys, renew, err := keys.Plan(secret, pair, now)
	if err != nil {
		return keys.Keys{}, err
	}
	object := objects.Desired{Object: keys.Object(pair, pairKeys)}
	switch {
	case secret == nil:
		p.Writes = append(p.Writes, Write{Object: object})
	case (renew || !keys.IsMarked(secret) || lacksLabels(secret, pair.Spec.ObjectLabels)) && secret.DeletionTimestamp.IsZero():
		p.Writes = append(p.Writes, Write{Object: object, UID: secret.UID})
	}
	return pairKeys, nil
}

// lacksLabels reports whether the object lacks one of the labels.
func lacksLabels(o client.Object, labels v1alpha1.Labels) bool {
	has := o.GetLabels()
	for key, value := range labels {
		if has[key] != string(value) {
			return true
		}
	}
	return false
}

func (p *Plan) decideObjects(pair *v1alpha1.StreamPair, want *desired, seen *observed.Pair, now time.Time) {
	for _, object := range want.others {
		p.decideObject(pair, want, object, seen, now)
	}
	// A media pod mounts the Secret and the ConfigMap by name. No pod may start
	// on those of somebody else, nor on orphans that are not adopted yet.
	clear := len(p.Conflicts) == 0 && len(p.Adoptions) == 0
	for i, role := range objects.Roles() {
		deployment := want.deployments[i]
		live := seen.Objects[deployment.Key()]
		switch {
		case live == nil && !clear:
		case live != nil && !objects.IsOwned(live, pair) && seen.Ours(pair, deployment.Key()):
			// Adopting the Deployment changes no pod, so no rollout delays it. See apply.
			p.Adoptions = append(p.Adoptions, orphans.Adopt(pair, deployment.Key(), live))
		case p.Rollout.MayWrite(role) || live != nil && !objects.IsOwned(live, pair):
			p.decideObject(pair, want, deployment, seen, now)
		}
	}
	for _, key := range objects.Obsolete(pair) {
		switch o := seen.Objects[key]; {
		case o == nil || !o.GetDeletionTimestamp().IsZero() || !seen.Ours(pair, key):
		case objects.IsOwned(o, pair):
			p.Deletes = append(p.Deletes, o)
		default: // the load balancer of an unneeded Service costs money
			p.Adoptions = append(p.Adoptions, orphans.Adopt(pair, key, o))
		}
	}
}

func (p *Plan) decideObject(pair *v1alpha1.StreamPair, want *desired, object objects.Desired, seen *observed.Pair, now time.Time) {
	live := seen.Objects[object.Key()]
	switch {
	case live == nil && now.Before(want.about(object.Key()).retryAt):
		p.Conflicts = append(p.Conflicts, orphans.Conflict{Key: object.Key(), Why: orphans.WhyUnseen})
	case live == nil:
		p.Writes = append(p.Writes, Write{Object: object})
	case !seen.Ours(pair, object.Key()):
		p.Conflicts = append(p.Conflicts, orphans.Conflict{Key: object.Key(), Why: seen.Fault(pair, object.Key())})
	case !objects.IsOwned(live, pair):
		p.Adoptions = append(p.Adoptions, orphans.Adopt(pair, object.Key(), live))
	case !live.GetDeletionTimestamp().IsZero():
		// The object is being deleted. Its end starts another reconcile, which makes it again.
	case want.changes(object, live):
		p.Writes = append(p.Writes, Write{Object: object, UID: live.GetUID()})
	}
}

// decidePods decides which pods to follow and what to tell them.
func (p *Plan) decidePods(pair *v1alpha1.StreamPair, manifest []byte, seen *observed.Pair, keys keys.Keys) {
	for _, role := range objects.Roles() {
		for _, pod := range seen.Pods[role] {
			if pod.ControlAddress == "" || observed.HasEnded(pod.Pod) {
				continue
			}
			key := observed.PodKey(pair, role, pod.Pod)
			if !p.KeepsFollowing {
				p.Follow = append(p.Follow, pods.Target{
					Key: key, Name: pod.Name, Address: pod.ControlAddress, Token: keys.ClusterToken, Certificate: keys.ControlCert,
					ServerName: objects.ControlServerName(pair.Namespace, pair.Name), Started: startOf(pod.Pod),
				})
			}
			if !pod.State.Connected || pod.State.Status == nil {
				continue // it is told once it is connected
			}
			push := Push{Pod: key}
			if speaksTLS(pod.State.Status) {
				told := peersToTell(seen, role, pod.State.Status)
				push.Peers = &told
			}
			push.Addresses, push.TellAddresses = p.Addresses.Told(pair, role, pod.State.Status)
			// Another app or stream id would end the pod's pair with its publisher
			// and viewers, in both legs at once. The pod therefore keeps its
			// manifest until the rollout replaces one leg after the other.
			if pod.Annotations[objects.AnnotationStreams] == objects.StreamsOf(pair) {
				push.Manifest, push.Version = manifest, pods.VersionOf(pair)
				if has := pods.ManifestOf(pod.State.Status); push.Version.IsPassedBy(has) {
					push.Replaces = has
				}
			}
			p.Pushes = append(p.Pushes, push)
		}
	}
}

// startOf returns when the container of a pod was
// last started. Zero: the container does not run.
func startOf(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			return c.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

// spread returns d give or take a tenth, depending on the pair's UID. It spreads
// out the rechecks of 500 pairs that an operator found all at once at its start.
func spread(pair *v1alpha1.StreamPair, d time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(pair.UID))
	return d*9/10 + time.Duration(h.Sum64()%uint64(d/5))
}

// recheckConflicts returns when to look whether the conflicting objects
// are gone. They are not watched, because only their names concern the
// pair. The longer the conflict lasts, the longer the wait.
func recheckConflicts(pair *v1alpha1.StreamPair, conflicts []orphans.Conflict, now time.Time) time.Duration {
	if len(conflicts) == 0 {
		return 0
	}
	const shortest, longest = 2 * time.Second, time.Minute
	for _, c := range pair.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady && c.Reason == v1alpha1.ReasonNameConflict {
			return min(max(now.Sub(c.LastTransitionTime.Time)/4, shortest), longest)
		}
	}
	return shortest
}
