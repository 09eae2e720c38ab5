package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// buildFolder is the folder of what is built for the tests. TestMain sets and removes it.
var buildFolder string

// mediaServer builds the media server once for all tests of the binary.
var mediaServer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildFolder, "streampair-mediaserver")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../mediaserver/cmd/streampair-mediaserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the media server: %w\n%s", err, out)
	}
	return path, nil
})

// A kubelet is scheduler, kubelet and network of a world. It gives each leg a node,
// and its own address on the loopback interface. It runs the media server of each pod
// as a process, mounts the Secrets and the manifest as files, and reports readiness.
type kubelet struct {
	*world
	binary string
	dir    string
	// node returns the name of the node of a leg's pods.
	node func(role string) string

	mu        sync.Mutex // guards all below; only sync writes processes
	addresses map[string]string
	processes map[types.UID]*process
	// blind keeps readiness unchanged. The nodes exist, but the operator cannot reach the pods.
	blind bool
	// lost are the pods on nodes that are gone. Nobody ever reports that these pods have ended.
	lost map[types.UID]bool
}

type process struct {
	cmd   *exec.Cmd
	dir   string
	ip    string
	log   *bytes.Buffer
	ready bool
	gone  chan struct{}
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// runPods starts a kubelet for the world. The kubelet and its processes end after the test.
func (w *world) runPods() *kubelet {
	w.t.Helper()
	binary, err := mediaServer()
	w.must(err)
	k := &kubelet{
		world: w, binary: binary, dir: w.t.TempDir(), addresses: map[string]string{}, processes: map[types.UID]*process{}, lost: map[types.UID]bool{},
		node: func(role string) string { return "node-" + role + "-" + w.namespace },
	}
	for _, role := range []string{"primary", "backup"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.node(role)}}
		w.must(w.admin.Create(w.t.Context(), node))
		before := node.DeepCopy()
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: map[string]string{"primary": "192.0.2.1", "backup": "192.0.2.2"}[role]}}
		w.must(w.admin.Status().Patch(w.t.Context(), node, client.MergeFrom(before)))
		w.t.Cleanup(func() { _ = w.admin.Delete(context.Background(), node) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		said := "" // logged once, not each time
		for ctx.Err() == nil {
			if err := k.sync(ctx); err != nil && ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				w.t.Logf("kubelet: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		for _, p := range k.processes {
			_ = p.cmd.Process.Kill()
			<-p.gone
			if w.t.Failed() {
				w.t.Logf("%s said:\n%s", filepath.Base(p.dir), tail(p.log.String(), 3000))
			}
		}
	})
	return k
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// address returns the address of a leg of a pair.
func (k *kubelet) address(pair, role string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := pair + "/" + role
	if k.addresses[key] == "" {
		k.addresses[key] = fmt.Sprintf("127.%d.%d.%d", 10+rand.IntN(240), rand.IntN(256), 1+rand.IntN(254))
	}
	return k.addresses[key]
}

// sync brings all pods one step further.
func (k *kubelet) sync(ctx context.Context) error {
	pods := &corev1.PodList{}
	if err := k.admin.List(ctx, pods, client.InNamespace(k.namespace), client.HasLabels{v1alpha1.LabelPair}); err != nil {
		return err
	}
	there := map[types.UID]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		there[pod.UID] = true
		if err := k.syncPod(ctx, pod); err != nil {
			return fmt.Errorf("%s: %w", pod.Name, err)
		}
	}
	for uid, p := range k.processes {
		if !there[uid] {
			_ = p.cmd.Process.Kill()
			<-p.gone
			k.drop(uid)
		}
	}
	return nil
}

func (k *kubelet) drop(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.processes, uid)
}

func (k *kubelet) syncPod(ctx context.Context, pod *corev1.Pod) error {
	k.mu.Lock()
	p, lost := k.processes[pod.UID], k.lost[pod.UID]
	k.mu.Unlock()
	switch {
	case lost:
		return nil
	case pod.DeletionTimestamp != nil:
		if p != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-p.gone:
			case <-time.After(2 * time.Second):
				_ = p.cmd.Process.Kill()
				<-p.gone
			}
			k.drop(pod.UID)
		}
		return client.IgnoreNotFound(k.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)))
	case p == nil:
		return k.startPod(ctx, pod)
	}
	if err := k.mount(ctx, pod, p.dir); err != nil {
		return err
	}
	k.mu.Lock()
	blind := k.blind
	k.mu.Unlock()
	if blind {
		return nil
	}
	ready := !p.ended() && k.isReady(pod)
	if ready == p.ready {
		return nil
	}
	if err := k.report(ctx, pod, ready); err != nil {
		return err
	}
	p.ready = ready
	return nil
}

func (k *kubelet) isReady(pod *corev1.Pod) bool {
	response, err := (&http.Client{Timeout: time.Second}).Get("http://" + pod.Status.PodIP + ":9090/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (k *kubelet) startPod(ctx context.Context, pod *corev1.Pod) error {
	pair, role := pod.Labels[v1alpha1.LabelPair], pod.Labels[v1alpha1.LabelRole]
	if pod.Spec.NodeName == "" {
		binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: k.node(role)}}
		if err := k.admin.SubResource("binding").Create(ctx, pod, binding); err != nil {
			return err
		}
		return nil // the next call sees it
	}
	dir := filepath.Join(k.dir, pod.Name)
	if err := k.mount(ctx, pod, dir); err != nil {
		return err
	}
	ip := k.address(pair, role)
	for _, other := range k.processes {
		if other.ip == ip && !other.ended() {
			return nil // it is the leg's previous pod
		}
	}
	peer := map[string]string{"primary": "backup", "backup": "primary"}[role]
	var args []string
	for _, arg := range pod.Spec.Containers[0].Args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case strings.HasSuffix(name, "-address") && strings.HasPrefix(value, ":"):
			value = ip + value
		case name == "--peer":
			value = "http://" + k.address(pair, peer) + ":5080"
		}
		args = append(args, name+"="+strings.ReplaceAll(value, "/etc/streampair", dir))
	}
	p := &process{dir: dir, ip: ip, log: &bytes.Buffer{}, gone: make(chan struct{})}
	p.cmd = exec.Command(k.binary, args...)
	// All pods share this machine's addresses, so each pod listens at its own address only.
	p.cmd.Env = []string{"RELAY_ADDRESS=" + ip + ":9092", "POD_IP=" + ip, "POD_NAME=" + pod.Name, "NODE_NAME=" + pod.Spec.NodeName, "PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.gone)
	}()
	k.mu.Lock()
	k.processes[pod.UID] = p
	k.mu.Unlock()
	return k.report(ctx, pod, false)
}

func (k *kubelet) report(ctx context.Context, pod *corev1.Pod, ready bool) error {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	before := pod.DeepCopy()
	ip := k.address(pod.Labels[v1alpha1.LabelPair], pod.Labels[v1alpha1.LabelRole])
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	pod.Status.HostIP, pod.Status.HostIPs = ip, []corev1.HostIP{{IP: ip}}
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()},
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
	}
	return k.admin.Status().Patch(ctx, pod, client.MergeFrom(before))
}

func (k *kubelet) setBlind(blind bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.blind = blind
}

// loseNode loses the node of a leg's pod. What runs there ends at once. The node
// controller reports the pod unready and evicts it, and nobody reports that it has ended.
func (k *kubelet) loseNode(pod string) {
	k.t.Helper()
	object := &corev1.Pod{}
	if !k.get(pod, object) {
		k.t.Fatalf("there is no pod %s", pod)
	}
	k.mu.Lock()
	k.lost[object.UID] = true
	p := k.processes[object.UID]
	k.mu.Unlock()
	if p != nil {
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
	k.must(k.report(k.t.Context(), object, false))
	k.must(k.admin.Delete(k.t.Context(), object))
	k.t.Cleanup(func() { _ = k.admin.Delete(context.Background(), object, client.GracePeriodSeconds(0)) })
}

// signal sends a signal to the media servers of a Deployment.
func (k *kubelet) signal(deployment string, signal syscall.Signal) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.processes {
		if strings.HasPrefix(filepath.Base(p.dir), deployment+"-") {
			k.must(p.cmd.Process.Signal(signal))
		}
	}
}
