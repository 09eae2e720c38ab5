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
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// buildFolder takes what is built for the tests; TestMain sets and removes it.
var buildFolder string

// mediaServer is built once for all tests of the binary.
var mediaServer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildFolder, "streampair-mediaserver")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../mediaserver/cmd/streampair-mediaserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the media server: %w\n%s", err, out)
	}
	return path, nil
})

// A kubelet is scheduler, kubelet and network of a world in small: it gives each leg an
// address of its own on the loopback interface and a node, runs the media server of each
// pod as a process, mounts the Secrets and the manifest as files, and reports readiness.
type kubelet struct {
	*world
	binary string
	dir    string
	// node names the node of a leg's pods.
	node func(role string) string

	mu        sync.Mutex // guards all below; processes are written by sync only
	addresses map[string]string
	processes map[types.UID]*process
	// blind keeps readiness as it is: the nodes are there, and the operator's way to the
	// pods is not.
	blind bool
	// lost are pods on nodes that are gone: nobody ever says that they have ended.
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

// runPods starts a kubelet for the world. It ends, and its processes with it, after the test.
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
		said := "" // once, not each time
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
		return nil // seen next time
	}
	dir := filepath.Join(k.dir, pod.Name)
	if err := k.mount(ctx, pod, dir); err != nil {
		return err
	}
	ip := k.address(pair, role)
	for _, other := range k.processes {
		if other.ip == ip && !other.ended() {
			return nil // the leg's pod before
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
	// All pods share this machine's addresses, so each takes its own alone.
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

// mount writes what the pod mounts: the ConfigMap, and the Secrets by name and key.
func (k *kubelet) mount(ctx context.Context, pod *corev1.Pod, dir string) error {
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.ConfigMap != nil:
			object := &corev1.ConfigMap{}
			if err := k.admin.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: volume.ConfigMap.Name}, object); err != nil {
				return err
			}
			for key, value := range object.Data {
				if err := writeFile(filepath.Join(dir, "config", key), []byte(value)); err != nil {
					return err
				}
			}
		case volume.Projected != nil:
			for _, source := range volume.Projected.Sources {
				optional := source.Secret.Optional != nil && *source.Secret.Optional
				if err := k.mountSecret(ctx, source.Secret.Name, optional, source.Secret.Items, filepath.Join(dir, "secrets")); err != nil {
					return err
				}
			}
		case volume.Secret != nil:
			if err := k.mountSecret(ctx, volume.Secret.SecretName, true, volume.Secret.Items, filepath.Join(dir, "tls")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *kubelet) mountSecret(ctx context.Context, name string, optional bool, items []corev1.KeyToPath, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	object := &corev1.Secret{}
	err := k.admin.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: name}, object)
	if optional && client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, item := range items {
		if value, found := object.Data[item.Key]; found {
			if err := writeFile(filepath.Join(dir, item.Path), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFile replaces a file as a whole, and only if it changed.
func writeFile(path string, content []byte) error {
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
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

// loseNode is the end of the node of a leg's pod: what runs there ends at once, the node's
// controller reports the pod unready and evicts it, and nobody says that it has ended.
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

// An encoder is a real ffmpeg that publishes a test picture.
type encoder struct {
	cmd  *exec.Cmd
	gone chan struct{}
}

// publish starts an encoder for a leg, with the pair's publish token.
func (k *kubelet) publish(pair, role, streamID string) *encoder {
	k.t.Helper()
	secret := &corev1.Secret{}
	k.get(pair+"-keys", secret)
	return k.publishWith(pair, role, streamID, string(secret.Data[v1alpha1.SecretKeyPublishToken]))
}

// publishBoth brings both legs on the air, the primary first.
func (k *kubelet) publishBoth(pair string) (primary, backup *encoder) {
	k.t.Helper()
	primary = k.publish(pair, "primary", "primary")
	k.waitFor(pair, "OnAir=True/OnAir", "PrimaryLive=True/Live")
	backup = k.publish(pair, "backup", "backup")
	k.waitFor(pair, "Redundant=True/Redundant", "Progressing=False/UpToDate")
	return primary, backup
}

func (k *kubelet) publishWith(pair, role, streamID, token string) *encoder {
	k.t.Helper()
	url := fmt.Sprintf("rtmp://%s:1935/live/%s?token=%s", k.address(pair, role), streamID, token)
	e := &encoder{gone: make(chan struct{})}
	e.cmd = exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-re",
		"-f", "lavfi", "-i", "testsrc=size=160x90:rate=15", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15", "-bf", "0", "-b:v", "100k",
		"-c:a", "aac", "-b:a", "48k", "-f", "flv", url)
	k.must(e.cmd.Start())
	go func() {
		_ = e.cmd.Wait()
		close(e.gone)
	}()
	k.t.Cleanup(e.kill)
	return e
}

func (e *encoder) kill() {
	_ = e.cmd.Process.Kill()
	<-e.gone
}

func needFFmpeg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("install ffmpeg first (make test does)")
	}
}
