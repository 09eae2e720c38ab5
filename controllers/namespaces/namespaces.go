// Package namespaces has the namespaces that an operator serves, and the cache
// of their objects. A namespace that cannot be read does not affect the others.
package namespaces

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/oneline"
)

// Namespaces are the namespaces that an operator works in, each served or not.
//
// A namespace is not served while the operator may not list one of the kinds there.
// This happens when somebody deletes the namespace together with its Role. The
// other namespaces are still served. The manager's own cache is filled for all
// namespaces or for none, so one missing namespace keeps the manager from starting.
// (runnableGroup.Start of controller-runtime 0.25 waits for ever, and does not even
// end then.) The manager therefore gets the cache of [Namespaces.NewCache].
type Namespaces struct {
	names []string
	log   logr.Logger
	gauge *prometheus.GaugeVec

	mu sync.Mutex
	// problems say why a namespace is not served; empty: it is served. Guarded by mu.
	problems map[string]string
}

// allNamespaces stands for all namespaces of the cluster.
const allNamespaces = ""

// notLookedAt is the problem of a namespace before it is first tried.
const notLookedAt = "it has not been looked at yet"

// New returns the given namespaces, or all namespaces of the
// cluster if none are given. None of them is served yet.
func New(names []string, log logr.Logger, registry prometheus.Registerer) *Namespaces {
	if len(names) == 0 {
		names = []string{allNamespaces}
	}
	n := &Namespaces{
		names: slices.Sorted(slices.Values(names)), log: log, problems: map[string]string{},
		gauge: metrics.Register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "streampair_namespace_served",
			Help: "1 for each namespace whose pairs this operator can serve, 0 for one that it cannot read; all namespaces of the cluster are one, without a name.",
		}, []string{"namespace"})),
	}
	for _, name := range n.names {
		n.problems[name] = notLookedAt
		n.gauge.WithLabelValues(name).Set(0)
	}
	return n
}

// set notes whether a namespace is served. err says why it is not. Changes are logged.
func (n *Namespaces) set(name string, err error) {
	problem, value := "", 1.0
	if err != nil {
		problem, value = oneline.Short(err.Error()), 0
	}
	n.mu.Lock()
	before := n.problems[name]
	n.problems[name] = problem
	n.mu.Unlock()
	n.gauge.WithLabelValues(name).Set(value)
	switch {
	case err == nil && before != "":
		n.log.Info("namespace served", "namespace", name)
	case err != nil && (before == "" || before == notLookedAt):
		n.log.Error(err, "namespace not served"+adviceOnRights(name, err), "namespace", name)
	}
}

// adviceOnRights returns what to do about a namespace in which the operator lacks a right.
func adviceOnRights(name string, err error) string {
	switch {
	case !apierrors.IsForbidden(err):
		return ""
	case name == allNamespaces:
		return ": bind the operator's ClusterRole, or set --watch-namespaces"
	}
	return ": create the namespace and the operator's Role in it, or take it out of --watch-namespaces"
}

// problem returns why a namespace is not served; empty: it is served.
func (n *Namespaces) problem(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.problems[name]
}

// ServeHTTP answers /readyz, with 503 while no namespace is served. With
// ?verbose the answer lists each namespace, and why it is not served.
func (n *Namespaces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	problems := maps.Clone(n.problems)
	n.mu.Unlock()
	var text strings.Builder
	fmt.Fprintln(&text, "[+]ping ok")
	ready := false
	for _, name := range n.names {
		title := "namespace " + name
		if name == allNamespaces {
			title = "namespaces"
		}
		if problem := problems[name]; problem != "" {
			fmt.Fprintf(&text, "[-]%s not served: %s\n", title, problem)
			continue
		}
		ready = true
		fmt.Fprintf(&text, "[+]%s ok\n", title)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, verbose := r.URL.Query()["verbose"]
	switch {
	case !ready:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, text.String(), "readyz check failed: no namespace is served\n")
	case verbose:
		fmt.Fprint(w, text.String(), "readyz check passed\n")
	default:
		fmt.Fprint(w, "ok")
	}
}

// watchedKinds returns the kinds that are listed and watched in each namespace.
func watchedKinds() []client.Object {
	return []client.Object{
		&v1alpha1.StreamPair{}, &appsv1.Deployment{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{},
		&policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}, &corev1.Pod{},
	}
}

// NewCache makes a manager's cache. The cache has a cache for each
// namespace, which is filled once the namespace can be read. NewCache is
// for ctrl.Options.NewCache, together with the options of [CacheOptions].
func (n *Namespaces) NewCache(config *rest.Config, options cache.Options) (cache.Cache, error) {
	reader, err := client.New(config, client.Options{HTTPClient: options.HTTPClient, Scheme: options.Scheme, Mapper: options.Mapper})
	if err != nil {
		return nil, err
	}
	c := &namespaceCache{namespaces: n, scopes: map[string]*scope{}, wanted: make(chan struct{}), scheme: options.Scheme, mapper: options.Mapper}
	for _, name := range n.names {
		c.scopes[name] = newScope(name, c, reader, func(failed func(error)) (cache.Cache, error) {
			return cache.New(config, ofNamespace(options, name, failed))
		})
	}
	return c, nil
}

// errNotServed says why the cache cannot answer for a namespace.
var errNotServed = errors.New("the namespace is not served")

const (
	// namespaceRetry is how long to wait before a namespace that cannot be read is tried again.
	namespaceRetry = 2 * time.Second
	// namespaceTimeout is how long one try may take.
	namespaceTimeout = 10 * time.Second
)

// probeNamespace lists one object of each kind,
// with the rights that the cache needs to list all.
func probeNamespace(ctx context.Context, reader client.Reader, name string) error {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	for _, kind := range watchedKinds() {
		list, err := metadataList(reader, kind)
		if err != nil {
			return err
		}
		if err := reader.List(ctx, list, client.InNamespace(name), client.Limit(1)); err != nil {
			return err
		}
	}
	return nil
}
