package kubetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KubeletConfig configures what Kubelet does with pods.
type KubeletConfig struct {
	// Nodes is the number of nodes over which the pods are spread in turn, whatever their
	// affinity. Default 2. Node n is named NAMESPACE-n and has the address 10.1.0.n.
	Nodes int
	// Run starts the contents of a pod. It returns when they are ready, with the
	// address for the pod's status and a function that ends them. The context ends when
	// the pod is deleted. The API server accepts loopback addresses there, but makes no
	// endpoints of them. If Run fails, the pod stays Pending and Run is called again
	// after a second. Default: nothing runs, and the address is 10.244.x.y.
	Run func(ctx context.Context, pod *corev1.Pod) (ip string, stop func(), err error)
}

// Kubelet acts as scheduler and kubelets for the pods of a namespace until the end
// of the test. Each pod gets a node. Once Run has returned, the pod becomes Running
// and Ready with an address. A deleted pod is removed once stop has returned. A pod
// that has ended is not restarted. There are no probes and no evictions.
func (c *Cluster) Kubelet(t TB, namespace string, config KubeletConfig) {
	t.Helper()
	if config.Nodes == 0 {
		config.Nodes = 2
	}
	k := &kubelet{t: t, namespace: namespace, config: config, admin: c.Client(t, nil), pods: make(map[types.UID]*kubeletPod)}
	ctx, cancel := context.WithCancel(context.Background())
	for n := range config.Nodes {
		node := k.node(n)
		setup, done := context.WithTimeout(ctx, requestTimeout)
		defer done()
		if err := k.admin.Create(setup, node); err != nil {
			t.Fatalf("create a node: %v", err)
		}
		c.deleteAfter(t, k.admin, node)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		k.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-finished
	})
}

// A kubelet has one goroutine that owns pods, and one for each pod that is starting or ending.
type kubelet struct {
	t         TB
	namespace string
	config    KubeletConfig
	admin     client.Client
	pods      map[types.UID]*kubeletPod
	bound     int // how many pods got a node; the next pod gets another one
}

// A kubeletPod is a pod that runs, starts or ends.
type kubeletPod struct {
	node   int
	cancel context.CancelFunc // ends Run's context; nil before Run

	mu   sync.Mutex // guards all below
	busy bool       // a goroutine is starting or ending the pod
	ip   string     // empty until the pod is ready
	stop func()     // nil if nothing runs
}

func (k *kubelet) run(ctx context.Context) {
	var work sync.WaitGroup
	defer func() {
		work.Wait()
		k.clear()
	}()
	// It polls instead of watching. It must survive a stopped
	// API server, and be simple enough to be trusted.
	for {
		k.look(ctx, &work)
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// look does the next step for each pod. A failed step is tried again at the next call.
func (k *kubelet) look(ctx context.Context, work *sync.WaitGroup) {
	var list corev1.PodList
	if err := k.admin.List(ctx, &list, client.InNamespace(k.namespace)); err != nil {
		return
	}
	present := make(map[types.UID]bool)
	for i := range list.Items {
		pod := &list.Items[i]
		present[pod.UID] = true
		state := k.pods[pod.UID]
		if state == nil {
			state = &kubeletPod{node: k.bound % k.config.Nodes}
			k.bound++
			k.pods[pod.UID] = state
		}
		state.mu.Lock()
		busy, ip := state.busy, state.ip
		state.mu.Unlock()
		if pod.DeletionTimestamp != nil && state.cancel != nil {
			state.cancel()
		}
		switch {
		case busy:
		case pod.DeletionTimestamp != nil:
			state.work(work, func() {
				state.end()
				_ = k.admin.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
			})
		case pod.Spec.NodeName == "":
			binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: k.node(state.node).Name}}
			_ = k.admin.SubResource("binding").Create(ctx, pod, binding)
		case ip == "":
			starting, cancel := context.WithCancel(ctx)
			state.cancel = cancel
			state.work(work, func() { k.start(starting, state, pod) })
		case pod.Status.Phase == corev1.PodPending:
			k.report(ctx, pod, state.node, ip)
		}
	}
	for uid, state := range k.pods {
		if !present[uid] {
			if state.cancel != nil {
				state.cancel()
			}
			work.Go(state.end)
			delete(k.pods, uid)
		}
	}
}

// work runs a slow step in a goroutine. The pod is busy until the step is done.
func (p *kubeletPod) work(work *sync.WaitGroup, do func()) {
	p.mu.Lock()
	p.busy = true
	p.mu.Unlock()
	work.Go(func() {
		do()
		p.mu.Lock()
		p.busy = false
		p.mu.Unlock()
	})
}

func (k *kubelet) start(ctx context.Context, state *kubeletPod, pod *corev1.Pod) {
	// The address comes from the pod's UID, so that two pods hardly ever have the same one.
	ip, stop := fmt.Sprintf("10.244.%d.%d", hexByte(pod.UID, 0), hexByte(pod.UID, 2)%254+1), func() {}
	if k.config.Run != nil {
		var err error
		if ip, stop, err = k.config.Run(ctx, pod); err != nil {
			if ctx.Err() == nil {
				k.t.Logf("pod %s does not start: %v", pod.Name, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			return
		}
	}
	if ctx.Err() != nil { // the pod is gone or the test is over, so nobody will stop it
		stop()
		return
	}
	state.mu.Lock()
	state.ip, state.stop = ip, stop
	state.mu.Unlock()
}

// end ends what runs in the pod, once.
func (p *kubeletPod) end() {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// report writes the pod's status as a kubelet does when all containers are ready.
func (k *kubelet) report(ctx context.Context, pod *corev1.Pod, node int, ip string) {
	now := metav1.Now()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = &now
	pod.Status.PodIP, pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	pod.Status.HostIP, pod.Status.HostIPs = nodeAddress(node), []corev1.HostIP{{IP: nodeAddress(node)}}
	for _, condition := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now,
		})
	}
	pod.Status.ContainerStatuses = nil
	for _, container := range pod.Spec.Containers {
		started := true
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, ImageID: container.Image, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	_ = k.admin.Status().Update(ctx, pod)
}

// clear ends everything that runs, and removes the pods. Nobody else
// would, and remaining pods would keep their namespace from being removed.
func (k *kubelet) clear() {
	for _, state := range k.pods {
		state.end()
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = k.admin.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(k.namespace), client.GracePeriodSeconds(0))
}

func (k *kubelet) node(n int) *corev1.Node {
	name := fmt.Sprintf("%s-%d", k.namespace, n+1)
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"),
		corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress(n)}},
			Capacity:    resources,
			Allocatable: resources,
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}},
		},
	}
}

func nodeAddress(n int) string { return fmt.Sprintf("10.1.0.%d", n+1) }

// hexByte returns the byte of two hexadecimal digits of a UID.
func hexByte(uid types.UID, at int) (b byte) {
	_, _ = fmt.Sscanf(string(uid)[at:at+2], "%02x", &b)
	return b
}
