package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/controlroom"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

const (
	// pairsEvery and leaseEvery are how often StreamPairs and the operator's Lease are read.
	pairsEvery = time.Second
	leaseEvery = 10 * time.Second
	// apiTimeout bounds each request to the API server.
	apiTimeout = 10 * time.Second
	// maxConnections bounds the connections of browsers, since every user of this machine may connect.
	maxConnections = 64
)

// monitor serves the control room of the named pairs, or of all in the namespace, until ctx ends.
func (p *plugin) monitor(ctx context.Context, names []string) error {
	lease, err := parseLease(p.operator)
	if err != nil {
		return err
	}
	m := &monitor{plugin: p, names: names, lease: lease, pairs: make(map[string]*monitoredPair), now: time.Now}
	if err := m.look(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := context.WithCancel(ctx)
	defer m.running.Wait()
	defer stop()
	m.running.Go(func() { m.follow(ctx) })
	m.running.Go(func() { m.followLease(ctx) })
	room := controlroom.New(controlroom.Config{Source: m})
	fmt.Fprintln(p.out, room.URL("http://"+l.Addr().String()))
	fmt.Fprintln(p.errOut, "# the URL opens one browser, within an hour; until Ctrl-C")
	return serve(ctx, netutil.LimitListener(l, maxConnections), room.Handler())
}

// parseLease parses NAMESPACE/NAME.
func parseLease(s string) (client.ObjectKey, error) {
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || namespace == "" || name == "" {
		return client.ObjectKey{}, fmt.Errorf("--operator must be NAMESPACE/NAME, not %q", s)
	}
	return client.ObjectKey{Namespace: namespace, Name: name}, nil
}

// A monitor is the controlroom.Source of a namespace.
type monitor struct {
	plugin  *plugin
	names   []string // empty: all pairs of the namespace
	lease   client.ObjectKey
	now     func() time.Time
	running sync.WaitGroup

	mu       sync.Mutex // guards all below
	pairs    map[string]*monitoredPair
	readErr  error // why the pairs could not be read last; nil: they were
	operator string
}

// monitoredPair is what is known of a pair. monitor.mu guards it.
type monitoredPair struct {
	object v1alpha1.StreamPair
	// lagging is since when the operator has not seen the object's generation; zero: it has.
	lagging time.Time
	stop    context.CancelFunc // nil: the pods are not followed yet
	pods    map[v1alpha1.Role]*podReader
}

// follow reads the pairs and follows their pods until ctx ends.
func (m *monitor) follow(ctx context.Context) {
	tick := time.NewTicker(pairsEvery)
	defer tick.Stop()
	for {
		m.followPods(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := m.look(ctx)
			m.mu.Lock()
			m.readErr = err
			m.mu.Unlock()
		}
	}
}

// look reads the pairs.
func (m *monitor) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	found, err := m.read(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range found {
		m.take(&found[i])
	}
	for name, pair := range m.pairs {
		if !slices.ContainsFunc(found, func(p v1alpha1.StreamPair) bool { return p.Name == name }) {
			if pair.stop != nil {
				pair.stop()
			}
			delete(m.pairs, name)
		}
	}
	return nil
}

// read reads the named pairs, or all. A named pair that is gone is left out once it has been there.
func (m *monitor) read(ctx context.Context) ([]v1alpha1.StreamPair, error) {
	if len(m.names) == 0 {
		var list v1alpha1.StreamPairList
		err := m.plugin.client.List(ctx, &list, client.InNamespace(m.plugin.namespace))
		return list.Items, err
	}
	var found []v1alpha1.StreamPair
	for _, name := range m.names {
		one, err := m.plugin.pairs(ctx, name)
		if apierrors.IsNotFound(err) && m.knows(name) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, one...)
	}
	return found, nil
}

func (m *monitor) knows(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pairs[name] != nil
}

// take takes an object as it was read. m.mu must be held.
func (m *monitor) take(object *v1alpha1.StreamPair) {
	pair := m.pairs[object.Name]
	if pair == nil {
		pair = &monitoredPair{pods: make(map[v1alpha1.Role]*podReader)}
		for _, role := range objects.Roles() {
			pair.pods[role] = &podReader{plugin: m.plugin, role: role, now: m.now}
		}
		m.pairs[object.Name] = pair
	}
	pair.object = *object
	switch {
	case object.Status.ObservedGeneration == object.Generation:
		pair.lagging = time.Time{}
	case pair.lagging.IsZero():
		pair.lagging = m.now()
	}
}

// followPods begins to follow the pods of pairs that are new.
func (m *monitor) followPods(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pair := range m.pairs {
		if pair.stop != nil {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		pair.stop = stop
		object := pair.object
		for _, pod := range pair.pods {
			m.running.Go(func() { pod.run(ctx, &object) })
		}
	}
}

// followLease looks at the operator's Lease until ctx ends.
func (m *monitor) followLease(ctx context.Context) {
	for {
		warning := m.lookAtLease(ctx)
		m.mu.Lock()
		m.operator = warning
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(leaseEvery):
		}
	}
}

func (m *monitor) lookAtLease(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var lease coordinationv1.Lease
	err := m.plugin.client.Get(ctx, m.lease, &lease)
	return operatorWarning(m.lease, &lease, err, m.now())
}

// State implements controlroom.Source.
func (m *monitor) State(context.Context) controlroom.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	state := controlroom.State{Place: "namespace " + m.plugin.namespace, Time: now.UTC(), Pairs: []controlroom.Pair{}}
	for _, pair := range m.pairs {
		seen := sight{object: &pair.object, operator: m.operator, readErr: m.readErr, pods: make(map[v1alpha1.Role]reading)}
		if !pair.lagging.IsZero() {
			seen.lag = now.Sub(pair.lagging)
		}
		for role, pod := range pair.pods {
			seen.pods[role] = pod.last()
		}
		state.Pairs = append(state.Pairs, seen.pair(now))
	}
	slices.SortFunc(state.Pairs, func(a, b controlroom.Pair) int { return strings.Compare(a.Name, b.Name) })
	return state
}

// Thumbnail implements controlroom.Source.
func (m *monitor) Thumbnail(ctx context.Context, name, role string) ([]byte, error) {
	m.mu.Lock()
	var pod *podReader
	var object v1alpha1.StreamPair
	if pair := m.pairs[name]; pair != nil {
		pod, object = pair.pods[v1alpha1.Role(role)], pair.object
	}
	m.mu.Unlock()
	if pod == nil {
		return nil, nil
	}
	object.Default()
	id := object.Spec.Primary.StreamID
	if v1alpha1.Role(role) == v1alpha1.RoleBackup {
		id = object.Spec.Backup.StreamID
	}
	return pod.thumbnail(ctx, object.Spec.App, id)
}

// Take implements controlroom.Source. It patches the StreamPair, so the API server decides who may.
func (m *monitor) Take(ctx context.Context, name, selection string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if !m.knows(name) {
		return controlroom.ErrUnknownPair
	}
	object := &v1alpha1.StreamPair{}
	object.Namespace, object.Name = m.plugin.namespace, name
	if err := m.plugin.setSelect(ctx, object, v1alpha1.Selection(selection)); err != nil {
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("you may not patch StreamPairs in the namespace %s", m.plugin.namespace)
		}
		return fmt.Errorf("take of %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take(object)
	return nil
}

// errNoMonitorPort says that a pod runs an image of an earlier release.
var errNoMonitorPort = errors.New("its media server measures nothing, or is of an earlier release")

// podName returns how the page names the pod of a leg.
func podName(role v1alpha1.Role) string { return "The pod of the " + objects.LegName(role) + " leg" }
