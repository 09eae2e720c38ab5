package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// atATime is how many requests this program sends at once.
const atATime = 8

// A fakeCluster is a real API server. This program replaces the Deployment controller, the scheduler
// and the kubelets: each Deployment gets a pod that is ready at once. It watches the pairs.
type fakeCluster struct {
	t       *scope
	cluster *kubetest.Cluster
	admin   client.Client
	pods    *standIn
	names   []types.NamespacedName // of the pairs
	pairs   map[types.NamespacedName]*fakePair

	mu    sync.Mutex // guards all below
	views map[types.NamespacedName]view
}

// A view is what a pair's status last said.
type view struct {
	ready  bool // everything is well
	active v1alpha1.Role
	at     time.Time // when this view was first seen
}

// newFakeCluster starts an API server with namespaces for n pairs. The pairs are not created yet.
func newFakeCluster(t *scope, n int) *fakeCluster {
	const perNamespace = 100
	p := &fakeCluster{
		t: t, cluster: kubetest.StartOwn(t),
		pairs: map[types.NamespacedName]*fakePair{}, views: map[types.NamespacedName]view{},
	}
	p.admin = p.cluster.Client(t, nil)
	p.pods = startStandIn(t, p.admin)
	t.must(p.admin.Create(t.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}))
	var namespace string
	for i := range n {
		if i%perNamespace == 0 {
			namespace = p.cluster.Namespace(t)
		}
		name := types.NamespacedName{Namespace: namespace, Name: fmt.Sprintf("pair-%04d", i)}
		p.names = append(p.names, name)
		p.pairs[name] = p.pods.add(name)
	}
	// The controllers need more of the machine than the operator does.
	p.cluster.StopControllers(t)
	p.watch()
	// The API server needs seconds before it stores a kind that it has just learned.
	t.must(p.create(p.names[0], client.DryRunAll))
	return p
}

// watch follows pairs and Deployments until the scope ends.
func (p *fakeCluster) watch() {
	ctx, cancel := context.WithCancel(p.t.ctx)
	watched, err := cache.New(p.cluster.Config, cache.Options{Scheme: kubetest.Scheme()})
	p.t.must(err)
	deployments := make(chan *appsv1.Deployment, 2*len(p.names))
	on := func(object client.Object, handlers toolscache.ResourceEventHandler) {
		informer, err := watched.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		p.t.must(err)
		_, err = informer.AddEventHandler(handlers)
		p.t.must(err)
	}
	on(&v1alpha1.StreamPair{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(o.(*v1alpha1.StreamPair)) },
		UpdateFunc: func(_, o any) { p.see(o.(*v1alpha1.StreamPair)) },
	})
	on(&appsv1.Deployment{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { deployments <- o.(*appsv1.Deployment) },
	})
	var work sync.WaitGroup
	work.Go(func() { _ = watched.Start(ctx) })
	for range atATime {
		work.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case d := <-deployments:
					if err := p.runPod(ctx, d); err != nil && ctx.Err() == nil {
						p.t.Errorf("a pod for Deployment %s: %v", d.Name, err)
					}
				}
			}
		})
	}
	p.t.Cleanup(func() {
		cancel()
		work.Wait()
	})
	if !watched.WaitForCacheSync(ctx) {
		p.t.Fatal("the pairs cannot be watched")
	}
}

// runPod creates the pod of a new Deployment, and reports it as ready.
func (p *fakeCluster) runPod(ctx context.Context, d *appsv1.Deployment) error {
	role := v1alpha1.RolePrimary
	if d.Labels[v1alpha1.LabelRole] == objects.LegName(v1alpha1.RoleBackup) {
		role = v1alpha1.RoleBackup
	}
	now := metav1.Now()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: podName(d.Name), Labels: d.Spec.Template.Labels, Annotations: d.Spec.Template.Annotations,
		},
		Spec: d.Spec.Template.Spec,
	}
	pod.Spec.NodeName = nodeOf(role)
	if err := p.admin.Create(ctx, pod); err != nil {
		return err
	}
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.PodIP = p.pods.addresses[role]
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	for _, one := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: one, Status: corev1.ConditionTrue, LastTransitionTime: now,
		})
	}
	if err := p.admin.Status().Update(ctx, pod); err != nil {
		return err
	}
	ready := d.DeepCopy()
	ready.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, LastUpdateTime: now, LastTransitionTime: now,
		}},
	}
	return p.admin.Status().Patch(ctx, ready, client.MergeFrom(d))
}

// createPairs creates all pairs.
func (p *fakeCluster) createPairs() {
	p.each(func(name types.NamespacedName) error { return p.create(name) })
}

func (p *fakeCluster) create(name types.NamespacedName, options ...client.CreateOption) error {
	return p.admin.Create(p.t.ctx, &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec: v1alpha1.StreamPairSpec{
			Primary: v1alpha1.Leg{StreamID: "primary"}, Backup: v1alpha1.Leg{StreamID: "backup"},
		},
	}, options...)
}

// each calls do for every pair.
func (p *fakeCluster) each(do func(types.NamespacedName) error) {
	names := make(chan types.NamespacedName, len(p.names))
	for _, name := range p.names {
		names <- name
	}
	close(names)
	var work sync.WaitGroup
	for range atATime {
		work.Go(func() {
			for name := range names {
				if err := do(name); err != nil {
					p.t.Errorf("pair %v: %v", name, err)
					return
				}
			}
		})
	}
	work.Wait()
	if p.t.Failed() {
		p.t.Fatal("not all pairs could be done")
	}
}

// see notes a status that the watch delivered.
func (p *fakeCluster) see(pair *v1alpha1.StreamPair) {
	now := view{ready: pair.Status.ObservedGeneration == pair.Generation, at: time.Now()}
	for _, condition := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionOnAir, v1alpha1.ConditionRedundant, v1alpha1.ConditionConverged,
	} {
		now.ready = now.ready && meta.IsStatusConditionTrue(pair.Status.Conditions, condition)
	}
	if pair.Status.ActiveStream != nil {
		now.active = pair.Status.ActiveStream.Role
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := client.ObjectKeyFromObject(pair)
	if before := p.views[name]; before.ready == now.ready && before.active == now.active {
		return
	}
	p.views[name] = now
}

// reported returns how many pairs' statuses are right, and when the last of these arrived.
func (p *fakeCluster) reported() (n int, last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, fake := range p.pairs {
		if v := p.views[name]; v.ready && v.active == fake.onAir() {
			n++
			if v.at.After(last) {
				last = v.at
			}
		}
	}
	return n, last
}

// allReported waits until the statuses of all pairs
// are right, and returns when the last one was.
func (p *fakeCluster) allReported(limit time.Duration) time.Time {
	var last time.Time
	n, said := 0, time.Now()
	p.t.within(limit, fmt.Sprintf("all %d pairs are reported", len(p.names)), func() bool {
		n, last = p.reported()
		if n < len(p.names) && time.Since(said) > 10*time.Second {
			said = time.Now()
			say("  %d of %d pairs are reported", n, len(p.names))
		}
		return n == len(p.names)
	})
	return last
}

// switchAll puts the other leg of every pair on air, at once.
func (p *fakeCluster) switchAll() {
	for _, pair := range p.pairs {
		pair.switchOver()
	}
}

// switchEach switches one pair after another, spread evenly over the
// time. It returns how long each switch took to show in the status.
func (p *fakeCluster) switchEach(over time.Duration) measure.Figures {
	at := make(map[types.NamespacedName]time.Time, len(p.names))
	begun := time.Now()
	for i, name := range p.names {
		p.t.sleep(time.Until(begun.Add(over * time.Duration(i) / time.Duration(len(p.names)))))
		at[name] = p.pairs[name].switchOver()
	}
	p.allReported(time.Minute)
	p.mu.Lock()
	defer p.mu.Unlock()
	var took measure.Figures
	for name, switched := range at {
		took = append(took, p.views[name].at.Sub(switched))
	}
	return took
}

// leader returns the holder of the operators' lease; empty: there is none.
func (p *fakeCluster) leader() string {
	lease := &coordinationv1.Lease{}
	err := p.admin.Get(p.t.ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "streampair-operator"}, lease)
	if err != nil && !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled) {
		p.t.Fatalf("read the lease: %v", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// newLeader waits until another operator than before leads.
func (p *fakeCluster) newLeader(before string, limit time.Duration) string {
	var now string
	p.t.within(limit, "an operator leads", func() bool {
		now = p.leader()
		return now != "" && now != before
	})
	return now
}

// writes counts the operator's writes after the given time, by verb and resource.
func (p *fakeCluster) writes(user string, after time.Time) kubetest.Requests {
	count := kubetest.Requests{}
	for _, w := range p.cluster.Writes(p.t, user) {
		if w.Time.After(after) {
			count[w.Verb+" "+w.Resource]++
		}
	}
	return count
}
