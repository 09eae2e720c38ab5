package integration_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// built builds a command into the test's folder, and returns the command's path.
func (w *world) built(command string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), command)
	build := exec.CommandContext(w.t.Context(), "go", "build", "-buildvcs=false", "-o", path, "../cmd/"+command)
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("build %s: %v\n%s", command, err, out)
	}
	return path
}

// freeAddress returns an address of the loopback interface at which nobody listens.
func (w *world) freeAddress() string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer l.Close()
	return l.Addr().String()
}

// runCommand runs the operator's command in place of the world's own operator.
// stop ends the command as Kubernetes does, and returns how it ended.
func (w *world) runCommand(args ...string) (stop func() error) {
	w.t.Helper()
	w.stop()
	path := w.built("streampair-operator")
	var log bytes.Buffer
	cmd := exec.Command(path, append([]string{
		"--kubeconfig=" + w.cluster.KubeconfigOf(w.t, w.config), "--watch-namespaces=" + w.namespace, "--log-format=json",
	}, args...)...)
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+w.namespace)
	cmd.Stdout, cmd.Stderr = &log, &log
	w.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	running := true
	stop = func() error {
		if !running {
			return nil
		}
		running = false
		w.must(cmd.Process.Signal(syscall.SIGTERM))
		select {
		case err := <-ended:
			return err
		case <-time.After(limit):
			_ = cmd.Process.Kill()
			return fmt.Errorf("still running %v after SIGTERM: %w", limit, <-ended)
		}
	}
	w.t.Cleanup(func() {
		_ = stop()
		if w.t.Failed() {
			w.t.Logf("the operator said:\n%s", tail(log.String(), 5000))
		}
	})
	return stop
}

// The test is of the command itself, with the lease, the probes and the metrics.
func TestTheOperatorsCommand(t *testing.T) {
	w := newWorld(t)
	w.runPods()
	metrics, probes := w.freeAddress(), w.freeAddress()
	stop := w.runCommand("--leader-elect", "--metrics-address="+metrics, "--probe-address="+probes)
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready", "Converged=True/Converged")

	if code, body := get(t, "http://"+probes+"/readyz", ""); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, body)
	}
	may := w.cluster.ServiceAccountConfig(t, w.namespace, "prometheus", `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: metrics-of-`+w.namespace+`}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
`)
	may.BearerToken = strings.TrimSpace(may.BearerToken)
	mayNot := w.cluster.ServiceAccountConfig(t, w.namespace, "stranger")
	for _, tt := range []struct {
		who, token string
		want       int
	}{
		{"who may", may.BearerToken, http.StatusOK},
		{"who may not", mayNot.BearerToken, http.StatusForbidden},
		{"nobody", "", http.StatusUnauthorized},
	} {
		code, body := get(t, "https://"+metrics+"/metrics", tt.token)
		if code != tt.want {
			t.Errorf("metrics for %s: %d, want %d: %s", tt.who, code, tt.want, tail(body, 300))
		}
		if has := strings.Contains(body, `streampair_active_leg{namespace="`+w.namespace+`",pair="sunday",role="Primary"}`); has != (tt.want == http.StatusOK) {
			t.Errorf("metrics for %s: the pair's are there: %v", tt.who, has)
		}
	}

	lease := &coordinationv1.Lease{}
	if !w.get("streampair-operator", lease) || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		t.Errorf("lease %+v", lease.Spec)
	}
	if err := stop(); err != nil {
		t.Errorf("the operator ended: %v", err)
	}
	if w.get("streampair-operator", lease); lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" {
		t.Errorf("who ended kept the lease: %+v", *lease.Spec.HolderIdentity)
	}
}

// No chart makes the lease, so no chart removes it.
func TestTheLeaseGoesWithTheDeployment(t *testing.T) {
	w := newWorld(t)
	labels := map[string]string{"app.kubernetes.io/name": "streampair", "app.kubernetes.io/component": "operator"}
	none := int32(0)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "pairs", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "operator:1"}}},
			},
		},
	}
	w.must(w.admin.Create(t.Context(), deployment))
	stop := w.runCommand("--leader-elect", "--leader-election-id=pairs", "--metrics-address=0", "--probe-address=0")
	lease := &coordinationv1.Lease{}
	eventually.True(w.t, "the lease has its owner", func() bool {
		return w.get("pairs", lease) && len(lease.OwnerReferences) == 1 && lease.OwnerReferences[0].UID == deployment.UID
	})
	w.create("sunday", nil)
	eventually.True(w.t, "the operator still leads", func() bool { return len(w.pair("sunday").Status.Conditions) > 0 })
	if err := stop(); err != nil {
		t.Errorf("the operator ended: %v", err)
	}
	w.must(w.admin.Delete(t.Context(), deployment))
	eventually.True(w.t, "the lease is gone", func() bool { return !w.get("pairs", lease) })
}

func get(t *testing.T, url, token string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // self-signed, on loopback
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// The test runs the plugin as kubectl does, on a pair with real encoders.
func TestThePlugin(t *testing.T) {
	needFFmpeg(t)
	w := newWorld(t)
	k := w.runPods()
	path := w.built("kubectl-streampair")
	kubectl := filepath.Join(w.cluster.Assets(), "kubectl")
	streampair := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), kubectl, append([]string{"streampair", "--namespace=" + w.namespace}, args...)...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "KUBECONFIG="+w.cluster.Kubeconfig())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	wants := func(args string, texts ...string) {
		t.Helper()
		out, err := streampair(strings.Fields(args)...)
		for _, text := range texts {
			if err != nil || !strings.Contains(out, text) {
				t.Errorf("kubectl streampair %s: %v, lacks %q:\n%s", args, err, text, out)
			}
		}
	}

	if out, err := streampair("status"); err == nil || !strings.Contains(out, "no StreamPair in namespace "+w.namespace) {
		t.Errorf("status of nothing: %v, %s", err, out)
	}
	w.create("sunday", nil)
	w.waitFor("sunday", "Ready=True/Ready")
	k.publishBoth("sunday")

	secret := &corev1.Secret{}
	w.get("sunday-keys", secret)
	token := string(secret.Data[v1alpha1.SecretKeyPublishToken])
	pair := w.pair("sunday")
	wants("status", w.namespace+"/sunday", "on air   Primary (primary) for", "Backup    Live", pair.Status.Ingest[0].PodName)
	wants("url sunday", pair.Status.PlaybackURL, "opens inside the cluster only")
	wants("keys", pair.Status.Ingest[0].RTMP+"?token="+token, "primary?token="+token, "backup?token="+token, pair.Status.Ingest[1].WHIP)

	wants("switch backup", "sunday plays Backup")
	eventually.True(w.t, "the backup on air", func() bool { return w.activeIs("sunday", v1alpha1.RoleBackup) })
	wants("status", "on air   Backup (backup) for", "switched Primary to Backup", "pinned   Backup")
	// The pin is a warning. Whether there are errors depends on this machine.
	if out, _ := streampair("check", "sunday", "-o", "json"); !strings.Contains(out, `"code": "Pinned"`) || !strings.Contains(out, `"code": "ClusterOnly"`) {
		t.Errorf("check: %s", out)
	}
	var exit *exec.ExitError
	if out, err := streampair("check", "absent"); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("check of a pair that is not there: %v, %s", err, out)
	}
	wants("switch primary sunday", "sunday plays Primary")
	eventually.True(w.t, "the primary on air", func() bool { return w.activeIs("sunday", v1alpha1.RolePrimary) })
	wants("switch auto", "sunday follows its failover mode, Sticky")

	w.create("monday", nil)
	if out, err := streampair("url"); err == nil || !strings.Contains(out, "monday, sunday") {
		t.Errorf("url of which? %v, %s", err, out)
	}
}

func (w *world) activeIs(pair string, role v1alpha1.Role) bool {
	w.t.Helper()
	a := w.pair(pair).Status.ActiveStream
	return a != nil && a.Role == role
}
