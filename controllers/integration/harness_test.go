package integration_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/kubetest"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/namespaces"
	"github.com/streampair/streampair/controllers/notify"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/hack/eventually"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "streampair-integration-")
	if err != nil {
		panic(err)
	}
	buildFolder = dir
	code := kubetest.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A world is one namespace of the real API server,
// with an operator that sees no other namespace.
type world struct {
	t         *testing.T
	cluster   *kubetest.Cluster
	admin     client.Client
	namespace string
	operator  string // its user name, which identifies its writes
	config    *rest.Config
	metrics   *prometheus.Registry
	settings  controllers.Settings
	// receivers is the certificate of receivers of events; nil: events are not sent.
	receivers *tls.Config
	resolver  addresses.Resolver
	now       func() time.Time
	stop      func() // ends the operator, and waits until it has ended
}

func newWorld(t *testing.T, options ...func(*world)) *world {
	t.Helper()
	t.Parallel()
	return newWorldIn(t, kubetest.Start(t), options...)
}

func newWorldIn(t *testing.T, cluster *kubetest.Cluster, options ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, cluster: cluster}
	w.admin, w.namespace = w.cluster.Client(t, nil), w.cluster.Namespace(t)
	w.operator = "operator-" + w.namespace
	w.config = w.cluster.User(t, w.operator, "system:masters")
	w.resolver = net.DefaultResolver
	w.settings.Objects = objects.Settings{DefaultImage: "media:1"}
	for _, option := range options {
		option(w)
	}
	w.config.QPS, w.config.Burst = 200, 400 // as in the command
	w.start()
	return w
}

// start runs an operator, as the command does.
func (w *world) start() {
	w.t.Helper()
	skip := true
	w.metrics = prometheus.NewRegistry()
	mgr, err := ctrl.NewManager(w.config, ctrl.Options{
		Scheme:     kubetest.Scheme(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		Cache:      namespaces.CacheOptions([]string{w.namespace}),
		NewCache:   namespaces.New([]string{w.namespace}, logr.Discard(), w.metrics).NewCache,
		Client:     namespaces.ClientOptions(),
	})
	w.must(err)
	pods, counted := pods.New(pods.Config{}), metrics.New(w.metrics)
	reconciler := &controllers.StreamPairReconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Pods: pods, Resolver: w.resolver,
		Recorder: mgr.GetEventRecorder("streampair-operator"), Metrics: counted, Settings: w.settings, Now: w.now,
	}
	if w.receivers != nil {
		reconciler.Notifications = notify.New(notify.Config{
			Reader: mgr.GetAPIReader(), Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TLS: w.receivers, Metrics: counted,
		})
	}
	w.must(mgr.Add(pods))
	w.must(reconciler.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	running := true
	w.stop = func() {
		if !running {
			return
		}
		running = false
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the operator ended: %v", err)
		}
	}
	w.t.Cleanup(w.stop)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// readYAML reads an object from a file.
func (w *world) readYAML(path string, object any) {
	w.t.Helper()
	text, err := os.ReadFile(path)
	w.must(err)
	w.must(yaml.Unmarshal(text, object))
}

// create creates a pair with the smallest spec, after change has changed the spec.
func (w *world) create(name string, change func(*v1alpha1.StreamPairSpec)) *v1alpha1.StreamPair {
	w.t.Helper()
	pair := &v1alpha1.StreamPair{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.StreamPairSpec{
			Primary: v1alpha1.Leg{StreamID: "primary"}, Backup: v1alpha1.Leg{StreamID: "backup"},
		},
	}
	if change != nil {
		change(&pair.Spec)
	}
	w.must(w.admin.Create(w.t.Context(), pair))
	return pair
}

// change changes a pair's spec.
func (w *world) change(name string, change func(*v1alpha1.StreamPairSpec)) *v1alpha1.StreamPair {
	w.t.Helper()
	pair := w.pair(name)
	before := pair.DeepCopy()
	change(&pair.Spec)
	w.must(w.admin.Patch(w.t.Context(), pair, client.MergeFrom(before)))
	return pair
}

func (w *world) pair(name string) *v1alpha1.StreamPair {
	w.t.Helper()
	pair := &v1alpha1.StreamPair{}
	w.must(w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, pair))
	return pair
}

// get reads an object by name, and reports whether it exists.
func (w *world) get(name string, object client.Object) bool {
	w.t.Helper()
	err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
	w.must(client.IgnoreNotFound(err))
	return err == nil
}

// owned returns the objects of the namespace with the pair's label, as Kind/name, except pods.
func (w *world) owned(pair string) []string {
	w.t.Helper()
	var names []string
	for kind, list := range map[string]client.ObjectList{
		"ConfigMap": &corev1.ConfigMapList{}, "Deployment": &appsv1.DeploymentList{}, "NetworkPolicy": &networkingv1.NetworkPolicyList{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{}, "Secret": &corev1.SecretList{}, "Service": &corev1.ServiceList{},
		"ServiceAccount": &corev1.ServiceAccountList{},
	} {
		w.must(w.admin.List(w.t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.LabelPair: pair}))
		items, err := meta.ExtractList(list)
		w.must(err)
		for _, item := range items {
			object := item.(client.Object)
			names = append(names, kind+"/"+object.GetName())
			owner := metav1.GetControllerOf(object)
			if owner == nil || owner.Kind != "StreamPair" || owner.Name != pair {
				w.t.Errorf("%s/%s is not owned by the pair: %v", kind, object.GetName(), object.GetOwnerReferences())
			}
		}
	}
	slices.Sort(names)
	return names
}

// limit is how long anything may take. Machines are slow, and measured times are printed.
const limit = eventually.Patience

// waitFor waits for a condition of a pair, written "Type=Status/Reason".
func (w *world) waitFor(pair string, conditions ...string) *v1alpha1.StreamPair {
	w.t.Helper()
	var p *v1alpha1.StreamPair
	eventually.Seen(w.t, eventually.Patience, fmt.Sprintf("%s has %v", pair, conditions), func() (shown, bool) {
		p = w.pair(pair)
		has := conditionsOf(p)
		lacks := slices.ContainsFunc(conditions, func(want string) bool { return !slices.Contains(has, want) })
		return shown{p}, !lacks
	})
	return p
}

func conditionsOf(pair *v1alpha1.StreamPair) []string {
	var list []string
	for _, c := range pair.Status.Conditions {
		list = append(list, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return list
}

// shown is a pair in the form that a failing test prints.
type shown struct{ *v1alpha1.StreamPair }

func (s shown) String() string { return "\n" + describe(s.StreamPair) }

func describe(pair *v1alpha1.StreamPair) string {
	var b strings.Builder
	for _, c := range pair.Status.Conditions {
		fmt.Fprintf(&b, "  %s=%s/%s (generation %d of %d): %s\n", c.Type, c.Status, c.Reason, c.ObservedGeneration, pair.Generation, c.Message)
	}
	fmt.Fprintf(&b, "  active %+v, last switch %+v", pair.Status.ActiveStream, pair.Status.LastSwitch)
	return b.String()
}

// events returns the reasons of the Events about a pair.
func (w *world) events(pair string) []string {
	w.t.Helper()
	list := &eventsv1.EventList{}
	w.must(w.admin.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	var reasons []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "StreamPair" && e.Regarding.Name == pair {
			reasons = append(reasons, e.Reason)
		}
	}
	slices.Sort(reasons)
	return reasons
}
