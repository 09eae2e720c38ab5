package integration_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
)

// endsWithin is how long the operator may take to end.
const endsWithin = 5 * time.Second

// An operatorProcess is a process of the operator's command, with its output.
type operatorProcess struct {
	w      *world
	cmd    *exec.Cmd
	ended  chan error
	probes string

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

// Write adds to the operator's output.
func (p *operatorProcess) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(text)
}

func (p *operatorProcess) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// startCommand starts the operator's command as that user.
func (w *world) startCommand(path string, config *rest.Config, namespace string, args ...string) *operatorProcess {
	w.t.Helper()
	p := &operatorProcess{w: w, ended: make(chan error, 1), probes: w.freeAddress()}
	p.cmd = exec.Command(path, append([]string{
		"--kubeconfig=" + w.cluster.KubeconfigOf(w.t, config), "--log-format=json", "--metrics-auth=false", "--probe-address=" + p.probes,
	}, args...)...)
	p.cmd.Env = append(os.Environ(), "POD_NAMESPACE="+namespace)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	w.must(p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("the operator said:\n%s", tail(p.said(), 5000))
		}
	})
	return p
}

// endsInTime tells the operator to end, and checks
// that it does so in time and without an error.
func (p *operatorProcess) endsInTime() {
	p.w.t.Helper()
	began := time.Now()
	p.w.must(p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.ended:
		if took := time.Since(began); err != nil || took > endsWithin {
			p.w.t.Errorf("ended after %v, want %v at most: %v", took, endsWithin, err)
		} else {
			p.w.t.Logf("ended after %v", took)
		}
	case <-time.After(limit):
		p.w.t.Errorf("still running %v after SIGTERM", limit)
	}
}

// readyz returns the answer of /readyz?verbose; 0: the operator does not listen yet.
func (p *operatorProcess) readyz() (code int, text string) {
	p.w.t.Helper()
	if c, err := net.Dial("tcp", p.probes); err != nil {
		return 0, ""
	} else {
		_ = c.Close()
	}
	return get(p.w.t, "http://"+p.probes+"/readyz?verbose", "")
}

// grant gives the account operator of namespace from
// the rights of the operator's Role in namespace.
func (w *world) grant(namespace, from string) {
	w.t.Helper()
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "operator"}, Rules: w.operatorRules()},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "operator"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: from, Name: "operator"}},
		},
	} {
		w.must(w.admin.Create(w.t.Context(), object))
	}
}

// operatorRules returns the rules of the operator's ClusterRole.
func (w *world) operatorRules() []rbacv1.PolicyRule {
	w.t.Helper()
	role := &rbacv1.ClusterRole{}
	w.readYAML("../../config/rbac/role.yaml", role)
	return role.Rules
}

// A watched namespace may be gone, together with its Role, when the operator starts.
func TestAMissingNamespaceCostsOnlyItself(t *testing.T) {
	w := newWorld(t)
	w.stop()
	gone := w.namespace + "-gone"
	w.grant(w.namespace, w.namespace)
	config := w.cluster.ServiceAccountConfig(t, w.namespace, "operator")
	metrics := w.freeAddress()
	p := w.startCommand(w.built("streampair-operator"), config, w.namespace,
		"--watch-namespaces="+gone+","+w.namespace, "--metrics-address="+metrics)

	w.create("sunday", nil)
	w.waitFor("sunday", "Exposed=True/ClusterOnly")
	code, text := p.readyz()
	if code != http.StatusOK || !strings.Contains(text, "[-]namespace "+gone+" not served: ") || !strings.Contains(text, "forbidden") ||
		!strings.Contains(text, "[+]namespace "+w.namespace+" ok\n") {
		t.Errorf("readyz: %d %s", code, text)
	}
	if _, text := get(t, "https://"+metrics+"/metrics", ""); !strings.Contains(text, `streampair_namespace_served{namespace="`+gone+`"} 0`) ||
		!strings.Contains(text, `streampair_namespace_served{namespace="`+w.namespace+`"} 1`) {
		t.Errorf("the metrics do not say which namespace is missing")
	}
	if said := p.said(); strings.Count(said, `"namespace not served`) != 1 || !strings.Contains(said, `"namespace":"`+gone+`"`) {
		t.Errorf("the log does not name the namespace once")
	}

	// The namespace is created again.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gone}}
	w.must(w.admin.Create(t.Context(), namespace))
	t.Cleanup(func() { _ = w.admin.Delete(context.Background(), namespace) })
	w.grant(gone, w.namespace)
	back := &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: gone, Name: "monday"},
		Spec:       v1alpha1.StreamPairSpec{Primary: v1alpha1.Leg{StreamID: "a"}, Backup: v1alpha1.Leg{StreamID: "b"}},
	}
	w.must(w.admin.Create(t.Context(), back))
	took := eventually.True(w.t, "the pair of the namespace that is back is served", func() bool {
		w.must(w.admin.Get(t.Context(), client.ObjectKeyFromObject(back), back))
		return len(back.Status.Conditions) > 0
	})
	t.Logf("served %v after the namespace was back", took)
	if code, text := p.readyz(); code != http.StatusOK || strings.Contains(text, "[-]") {
		t.Errorf("readyz: %d %s", code, text)
	}
	p.endsInTime()
}

// Two operators cannot read anything: one of the whole cluster
// without its ClusterRole, and one whose namespaces are all gone.
func TestAnOperatorThatServesNothingSaysSoAndEnds(t *testing.T) {
	w := newWorld(t)
	w.stop()
	path := w.built("streampair-operator")
	config := w.cluster.ServiceAccountConfig(t, w.namespace, "operator")
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"the whole cluster", "[-]namespaces not served: ", nil},
		{"one namespace", "[-]namespace gone not served: ", []string{"--watch-namespaces=gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.startCommand(path, config, w.namespace, append(tt.args, "--metrics-address=0")...)
			var code int
			var text string
			eventually.True(w.t, "the operator says what is missing", func() bool {
				code, text = p.readyz()
				return strings.Contains(text, "forbidden")
			})
			if code != http.StatusServiceUnavailable || !strings.Contains(text, tt.want) {
				t.Errorf("readyz: %d %s", code, text)
			}
			if code, text := get(t, "http://"+p.probes+"/healthz", ""); code != http.StatusOK {
				t.Errorf("healthz: %d %s", code, text)
			}
			p.endsInTime()
		})
	}
}

// An API server that accepts connections but never
// answers must not keep the operator from ending.
func TestAnOperatorEndsWhileTheAPIServerHangs(t *testing.T) {
	w := newWorld(t)
	w.stop()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	t.Cleanup(func() { _ = silent.Close() })
	config := rest.CopyConfig(w.config)
	config.Host = "http://" + silent.Addr().String()
	config.TLSClientConfig = rest.TLSClientConfig{}
	for _, args := range [][]string{{"--leader-elect"}, {"--watch-namespaces=a,b"}} {
		p := w.startCommand(w.built("streampair-operator"), config, w.namespace, append(args, "--metrics-address=0")...)
		eventually.True(w.t, "the operator has started", func() bool { return strings.Contains(p.said(), "starting") })
		p.endsInTime()
	}
}
