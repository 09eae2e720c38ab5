package controllers

import (
	"fmt"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// A Plan is what is to be done about a pair now. What it leaves out is as it should be.
type Plan struct {
	// Writes are the objects to be created or applied, in this order.
	Writes []Write
	// Deletes are objects of the pair that its spec no longer needs.
	Deletes []client.Object
	// Conflicts are objects with a name that the pair needs, and which are not its own.
	Conflicts []ObjectKey
	// Follow are the pods to be followed.
	Follow []PodTarget
	// Pushes tell pods what they may not know yet.
	Pushes []Push
	// Addresses are where the pair is reached.
	Addresses Addresses
	// Rollout says which legs are being replaced, and what the others wait for.
	Rollout Rollout
	// Recheck is when to decide again though nothing happened; 0: never.
	Recheck time.Duration
}

// A Write creates an object, or applies it to the one that is there.
type Write struct {
	Object desired
	// UID of the object that is there; empty: none is known of, so that it is created.
	UID types.UID
}

// A Push is what one pod is to be told.
type Push struct {
	Pod PodKey
	// Manifest is the pair with its directives, as in the ConfigMap; nil: the pod is not to
	// have it, see decidePods.
	Manifest []byte
	// Addresses are what viewers are told.
	Addresses control.MediaAddresses
	// Peers say how the pods of the other leg are reached; nil: the pod is of a version that
	// cannot be told.
	Peers *control.Peers
	// TellAddresses is false when there are none to tell, nor any to take back.
	TellAddresses bool
}

// secretRecheck is how often the pair's Secret is looked at when nothing else happens: it is
// not watched, and who deletes it wants other keys. Pairs take turns.
const secretRecheck = 2 * time.Minute

// idleRecheck is how often a change that waits until nobody watches looks whether that is
// so: viewers come and go without a word from the pods. One that holds other pairs up looks
// as often; those are hinted at.
const idleRecheck = 30 * time.Second

// decide returns what is to be done. Keys that have to be made are random; apart from them
// it is pure.
func decide(pair *v1alpha1.StreamPair, want *wanted, seen *Observation, now time.Time) (*Plan, error) {
	keys, renew, err := KeysPlan(ownSecret(pair, seen), pair, now)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Addresses: addressesOf(pair, seen)}
	plan.decideSecret(pair, seen, keys, renew)
	legs := viewLegs(pair, seen, now)
	plan.decideObjects(pair, want, seen, legs, now)
	plan.decidePods(pair, want.manifest, seen, keys)
	plan.Recheck = earliest(recheckHosts(seen, now), recheckConflicts(pair, plan.Conflicts, now))
	plan.Recheck = earliest(plan.Recheck, spread(pair, secretRecheck))
	if r := plan.Rollout; r.WaitsForIdle || r.WaitsForStandby && r.NeedsTurn {
		plan.Recheck = earliest(plan.Recheck, idleRecheck)
	}
	return plan, nil
}

func ownSecret(pair *v1alpha1.StreamPair, seen *Observation) *corev1.Secret {
	if !isOwned(seen.Secret, pair) {
		return nil
	}
	return seen.Secret
}

func (p *Plan) decideSecret(pair *v1alpha1.StreamPair, seen *Observation, keys Keys, renew bool) {
	object := desired{KeysObject(pair, keys)}
	switch {
	case seen.Secret == nil:
		p.Writes = append(p.Writes, Write{Object: object})
	case !isOwned(seen.Secret, pair):
		p.Conflicts = append(p.Conflicts, object.Key())
	case renew && seen.Secret.DeletionTimestamp.IsZero():
		p.Writes = append(p.Writes, Write{Object: object, UID: seen.Secret.UID})
	}
}

func (p *Plan) decideObjects(pair *v1alpha1.StreamPair, want *wanted, seen *Observation, legs *views, now time.Time) {
	for _, object := range want.others {
		p.decideObject(pair, want, object, seen, now)
	}
	for _, key := range Obsolete(pair) {
		if o := seen.Objects[key]; isOwned(o, pair) && o.GetDeletionTimestamp().IsZero() {
			p.Deletes = append(p.Deletes, o)
		}
	}
	p.Rollout = decideRollout(pair, want, seen, legs, now)
	// A media pod mounts the Secret and the ConfigMap by name: none is started on those of
	// somebody else.
	for i, role := range Roles() {
		deployment := want.deployments[i]
		exists := seen.Objects[deployment.Key()] != nil
		if (exists || len(p.Conflicts) == 0) && p.Rollout.mayWrite(role) {
			p.decideObject(pair, want, deployment, seen, now)
		}
	}
}

func (p *Plan) decideObject(pair *v1alpha1.StreamPair, want *wanted, object desired, seen *Observation, now time.Time) {
	live := seen.Objects[object.Key()]
	switch {
	case live == nil && now.Before(want.inTheWay[object.Key()]):
		p.Conflicts = append(p.Conflicts, object.Key())
	case live == nil:
		p.Writes = append(p.Writes, Write{Object: object})
	case !isOwned(live, pair):
		p.Conflicts = append(p.Conflicts, object.Key())
	case !live.GetDeletionTimestamp().IsZero():
		// It goes, which is seen; then it is made anew.
	case want.changes(object, live):
		p.Writes = append(p.Writes, Write{Object: object, UID: live.GetUID()})
	}
}

// decidePods says which pods to follow and what to tell them.
func (p *Plan) decidePods(pair *v1alpha1.StreamPair, manifest []byte, seen *Observation, keys Keys) {
	for _, role := range Roles() {
		for _, pod := range seen.Pods[role] {
			if pod.ControlAddress == "" || hasEnded(pod.Pod) {
				continue
			}
			key := podKey(pair, role, pod.Pod)
			p.Follow = append(p.Follow, PodTarget{
				Key: key, Name: pod.Name, Address: pod.ControlAddress, Token: keys.ClusterToken, Certificate: keys.ControlCert,
				ServerName: ControlServerName(pair.Namespace, pair.Name), Started: startOf(pod.Pod),
			})
			if !pod.State.Connected || pod.State.Status == nil {
				continue // it hears of it when it is connected
			}
			push := Push{Pod: key}
			if speaksTLS(pod.State.Status) {
				told := peersToTell(seen, role, pod.State.Status)
				push.Peers = &told
			}
			push.Addresses, push.TellAddresses = p.Addresses.told(pair, role, pod.State.Status)
			// Another app or stream id would end the pod's pair, and its publisher and viewers
			// with it, in both legs at once. The pod serves as it does until the rollout
			// replaces it, one leg after the other.
			if pod.Annotations[AnnotationStreams] == streamsOf(pair) {
				push.Manifest = manifest
			}
			p.Pushes = append(p.Pushes, push)
		}
	}
}

// startOf is when the container of a pod was started last; zero: it does not run.
func startOf(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			return c.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

// told returns what a leg's pod is to tell viewers, and whether it has to hear of it.
//
// A name that does not resolve, or a load balancer that has no address just now, is no reason
// to take away what viewers were told: an operator that starts while name servers are down
// would.
func (a Addresses) told(pair *v1alpha1.StreamPair, role v1alpha1.Role, status *control.Status) (control.MediaAddresses, bool) {
	m := control.MediaAddresses{WebRTC: a.WebRTC[role], HTTP: map[string]string{}}
	exposure := pair.Spec.Exposure.WebRTC
	if len(m.WebRTC) == 0 && exposure.Type != v1alpha1.ExposureClusterIP {
		m.WebRTC = status.Advertised[:min(len(status.Advertised), maxMediaAddresses)]
	}
	for _, role := range Roles() {
		base := a.Bases[role]
		if base == "" && exposure.Type == v1alpha1.ExposureLoadBalancer && mediaCarriesHTTP(pair, role) {
			base = status.BaseURLs[string(role)]
		}
		if base != "" {
			m.HTTP[string(role)] = base
		}
	}
	tell := len(m.WebRTC) > 0 || len(m.HTTP) > 0 || len(status.Advertised) > 0 || len(status.BaseURLs) > 0
	return m, tell
}

// spread returns d give or take a tenth, which depends on the pair: 500 pairs that an
// operator meets at its start are not met together for ever.
func spread(pair *v1alpha1.StreamPair, d time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(pair.UID))
	return d*9/10 + time.Duration(h.Sum64()%uint64(d/5))
}

// recheckHosts returns when the first of the load balancers' names is to be looked up again.
func recheckHosts(seen *Observation, now time.Time) time.Duration {
	var recheck time.Duration
	for _, host := range seen.Hosts {
		if host.Expires.IsZero() {
			continue // it is being looked up
		}
		recheck = earliest(recheck, max(host.Expires.Sub(now), time.Second))
	}
	return recheck
}

// recheckConflicts returns when to look whether the objects in the way are gone. They are
// not watched, as nothing but their names has to do with the pair; the longer they have
// been there, the rarer.
func recheckConflicts(pair *v1alpha1.StreamPair, conflicts []ObjectKey, now time.Time) time.Duration {
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

// String names the object as kubectl takes it.
func (k ObjectKey) String() string { return fmt.Sprintf("%s %s", k.Kind, k.Name) }
