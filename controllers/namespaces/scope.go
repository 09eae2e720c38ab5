package namespaces

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A scope is the cache of one namespace, or of all namespaces.
type scope struct {
	name   string
	all    *namespaceCache
	reader client.Reader
	// newCache makes the cache. failed gets the errors of the cache's watches.
	newCache func(failed func(error)) (cache.Cache, error)
	indexes  []index
	// decided is closed once the namespace is served, or has turned out not to be. At the start
	// all namespaces open together, because the first reconcile reads the pairs of all of them.
	decided     chan struct{}
	decidedOnce sync.Once
	// failed has an error of a watch that nobody has handled yet.
	failed chan error

	mu       sync.Mutex
	cache    cache.Cache // nil until the cache is filled; guarded by mu
	handlers []handling  // handlers that wait for the cache; guarded by mu
}

// An index has the arguments of IndexField.
type index struct {
	kind   client.Object
	field  string
	values client.IndexerFunc
}

// A handling has the arguments of AddEventHandlerWithOptions.
type handling struct {
	kind    client.Object
	handler toolscache.ResourceEventHandler
	options toolscache.HandlerOptions
}

func newScope(name string, all *namespaceCache, reader client.Reader, newCache func(func(error)) (cache.Cache, error)) *scope {
	return &scope{name: name, all: all, reader: reader, newCache: newCache, decided: make(chan struct{}), failed: make(chan error, 1)}
}

// opened returns the cache once it is filled; nil before.
func (s *scope) opened() cache.Cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache
}

// handle adds a handler of events, now or once the cache is filled.
func (s *scope) handle(h handling) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil {
		s.handlers = append(s.handlers, h)
		return nil
	}
	return h.addTo(context.Background(), s.cache)
}

func (h handling) addTo(ctx context.Context, c cache.Cache) error {
	informer, err := c.GetInformer(ctx, h.kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandlerWithOptions(h.handler, h.options)
	return err
}

// run fills the cache once the namespace can be read. After
// that it notes whether the namespace stays readable.
func (s *scope) run(ctx context.Context) {
	if !s.waitUntilReadable(ctx) {
		return
	}
	select {
	case <-s.all.wanted:
	case <-ctx.Done():
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		err := s.fill(ctx, &running)
		s.note(ctx, err)
		if err == nil {
			break
		}
		s.markDecided()
		if !sleep(ctx, namespaceRetry) {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-s.failed:
			s.note(ctx, probeNamespace(ctx, s.reader, s.name))
			if s.all.namespaces.problem(s.name) == "" {
				// Only one watch broke, and it can be made
				// again. The API server was away for a moment.
				s.all.namespaces.log.V(1).Info("watch failed", "namespace", s.name, "reason", err.Error())
			} else if !s.waitUntilReadable(ctx) {
				return
			}
			if !sleep(ctx, namespaceRetry) {
				return
			}
		}
	}
}

// waitUntilReadable tries until the namespace can be read.
// It reports whether it can be read; false: ctx ended.
func (s *scope) waitUntilReadable(ctx context.Context) bool {
	for {
		err := probeNamespace(ctx, s.reader, s.name)
		s.note(ctx, err)
		if err == nil {
			return true
		}
		s.markDecided()
		if !sleep(ctx, namespaceRetry) {
			return false
		}
	}
}

// note stores whether the namespace can be read, unless the operator is about to end.
func (s *scope) note(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.all.namespaces.set(s.name, err)
	}
}

func (s *scope) markDecided() { s.decidedOnce.Do(func() { close(s.decided) }) }

// fill makes the cache, waits until it is filled, and adds the waiting handlers.
func (s *scope) fill(ctx context.Context, running *sync.WaitGroup) error {
	ctx, stop := context.WithCancel(ctx)
	filled, err := s.newCache(s.watchFailed)
	if err == nil {
		err = s.prepare(ctx, filled)
	}
	if err != nil {
		stop()
		return err
	}
	running.Go(func() {
		defer stop()
		if err := filled.Start(ctx); err != nil {
			s.all.namespaces.log.Error(err, "the cache of a namespace ended", "namespace", s.name)
		}
	})
	if err := s.waitUntilFilled(ctx, filled); err != nil {
		stop()
		return err
	}
	s.markDecided()
	s.waitForOthers(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.handlers {
		err = errors.Join(err, h.addTo(ctx, filled))
	}
	if err != nil {
		stop()
		return err
	}
	s.cache, s.handlers = filled, nil
	return nil
}

// prepare requests the informers before the cache is started.
func (s *scope) prepare(ctx context.Context, c cache.Cache) error {
	for _, i := range s.indexes {
		if err := c.IndexField(ctx, i.kind, i.field, i.values); err != nil {
			return err
		}
	}
	for _, kind := range watchedKinds() {
		if _, err := c.GetInformer(ctx, kind, cache.BlockUntilSynced(false)); err != nil {
			return err
		}
	}
	return nil
}

// waitUntilFilled waits until the cache is filled. It returns an error when
// the first watch fails, because the namespace has gone in the meantime.
func (s *scope) waitUntilFilled(ctx context.Context, c cache.Cache) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	synced := make(chan bool, 1)
	go func() { synced <- c.WaitForCacheSync(ctx) }()
	for {
		select {
		case ok := <-synced:
			if !ok {
				return ctx.Err()
			}
			return nil
		case err := <-s.failed:
			if probed := probeNamespace(ctx, s.reader, s.name); probed != nil {
				return probed
			}
			if apierrors.IsForbidden(err) {
				return err // the operator may list but not watch
			}
			s.all.namespaces.log.V(1).Info("watch failed", "namespace", s.name, "reason", err.Error())
		}
	}
}

// waitForOthers waits, for a limited time, until each other namespace is decided.
func (s *scope) waitForOthers(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, namespaceTimeout)
	defer stop()
	for _, other := range s.all.scopes {
		select {
		case <-other.decided:
		case <-ctx.Done():
			return
		}
	}
}

// watchFailed keeps an error for run, unless another error waits already. It never blocks.
func (s *scope) watchFailed(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// sleep waits for d, and reports whether ctx is still going on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
