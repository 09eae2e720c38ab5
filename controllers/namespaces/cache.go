package namespaces

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// A namespaceCache has one cache for each namespace. It never waits for a namespace
// that cannot be read. Events of its objects arrive once the namespace can be read.
type namespaceCache struct {
	namespaces *Namespaces
	scopes     map[string]*scope
	scheme     *runtime.Scheme
	mapper     meta.RESTMapper

	// wanted is closed once somebody asks for events.
	// An operator that does not lead fills no caches.
	wanted     chan struct{}
	wantedOnce sync.Once
}

// Start fills the caches until ctx ends.
func (c *namespaceCache) Start(ctx context.Context) error {
	var all sync.WaitGroup
	for _, s := range c.scopes {
		all.Go(func() { s.run(ctx) })
	}
	all.Wait()
	return nil
}

// WaitForCacheSync returns at once: see namespaceCache.
func (c *namespaceCache) WaitForCacheSync(context.Context) bool { return true }

// scopeOf returns the open cache of a namespace. Objects
// without a namespace, such as nodes, are in every cache.
func (c *namespaceCache) scopeOf(namespace string) (cache.Cache, error) {
	if namespace == "" && c.scopes[allNamespaces] == nil {
		for _, name := range slices.Sorted(maps.Keys(c.scopes)) {
			if opened := c.scopes[name].opened(); opened != nil {
				return opened, nil
			}
		}
		return nil, fmt.Errorf("%w: none of those that the operator watches", errNotServed)
	}
	s := c.scopes[namespace]
	if s == nil {
		s = c.scopes[allNamespaces]
	}
	if s == nil {
		return nil, fmt.Errorf("%w: %q is not among those that the operator watches", errNotServed, namespace)
	}
	opened := s.opened()
	if opened == nil {
		return nil, fmt.Errorf("%w: %s: %s", errNotServed, namespace, c.namespaces.problem(s.name))
	}
	return opened, nil
}

// Get reads an object.
func (c *namespaceCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	s, err := c.scopeOf(key.Namespace)
	if err != nil {
		return err
	}
	return s.Get(ctx, key, object, options...)
}

// List lists the objects of one namespace, or of all namespaces that are served.
func (c *namespaceCache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	if o.Namespace != "" || c.scopes[allNamespaces] != nil {
		s, err := c.scopeOf(o.Namespace)
		if err != nil {
			return err
		}
		return s.List(ctx, list, options...)
	}
	var items []runtime.Object
	for _, s := range c.scopes {
		opened := s.opened()
		if opened == nil {
			continue
		}
		part, _ := list.DeepCopyObject().(client.ObjectList)
		if err := opened.List(ctx, part, options...); err != nil {
			return err
		}
		found, err := meta.ExtractList(part)
		if err != nil {
			return err
		}
		items = append(items, found...)
	}
	return meta.SetList(list, items)
}

// GetInformer returns an informer that delivers events once a namespace is served.
func (c *namespaceCache) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	c.wantedOnce.Do(func() { close(c.wanted) })
	return &namespaceInformer{c, object}, nil
}

// GetInformerForKind is GetInformer for a kind.
func (c *namespaceCache) GetInformerForKind(ctx context.Context, kind schema.GroupVersionKind, options ...cache.InformerGetOption) (cache.Informer, error) {
	object, err := c.scheme.New(kind)
	if err != nil {
		return nil, err
	}
	typed, ok := object.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%s is no object", kind)
	}
	return c.GetInformer(ctx, typed, options...)
}

// RemoveInformer ends the watches of a kind in every namespace that has some.
func (c *namespaceCache) RemoveInformer(ctx context.Context, object client.Object) error {
	for _, s := range c.scopes {
		if opened := s.opened(); opened != nil {
			if err := opened.RemoveInformer(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

// IndexField indexes the objects of a kind. It must be called before Start.
func (c *namespaceCache) IndexField(_ context.Context, object client.Object, field string, values client.IndexerFunc) error {
	for _, s := range c.scopes {
		s.indexes = append(s.indexes, index{object, field, values})
	}
	return nil
}

// A namespaceInformer adds handlers to the informers of each
// namespace. It adds them at once, or when the namespace is served.
type namespaceInformer struct {
	cache *namespaceCache
	kind  client.Object
}

// AddEventHandler adds a handler.
func (i *namespaceInformer) AddEventHandler(h toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(h, toolscache.HandlerOptions{})
}

// AddEventHandlerWithResyncPeriod adds a handler.
func (i *namespaceInformer) AddEventHandlerWithResyncPeriod(h toolscache.ResourceEventHandler, period time.Duration) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandlerWithOptions(h, toolscache.HandlerOptions{ResyncPeriod: &period})
}

// AddEventHandlerWithOptions adds a handler.
func (i *namespaceInformer) AddEventHandlerWithOptions(h toolscache.ResourceEventHandler, o toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	for _, s := range i.cache.scopes {
		if err := s.handle(handling{i.kind, h, o}); err != nil {
			return nil, err
		}
	}
	return alwaysSynced{}, nil
}

// RemoveEventHandler does nothing, because an operator's handlers stay until the process ends.
func (i *namespaceInformer) RemoveEventHandler(toolscache.ResourceEventHandlerRegistration) error {
	return nil
}

// AddIndexers always fails: see namespaceCache.IndexField.
func (i *namespaceInformer) AddIndexers(toolscache.Indexers) error {
	return fmt.Errorf("index %T by IndexField", i.kind)
}

// HasSynced returns true, so that a namespace that cannot be read delays nobody.
func (i *namespaceInformer) HasSynced() bool { return true }

// HasSyncedChecker returns a checker that is done: see HasSynced.
func (i *namespaceInformer) HasSyncedChecker() toolscache.DoneChecker { return alwaysSynced{} }

// IsStopped returns false, because informers end with the process.
func (i *namespaceInformer) IsStopped() bool { return false }

// alwaysSynced is synced from the start, because nothing waits for a namespace.
type alwaysSynced struct{}

func (alwaysSynced) HasSynced() bool                          { return true }
func (alwaysSynced) HasSyncedChecker() toolscache.DoneChecker { return alwaysSynced{} }
func (alwaysSynced) Name() string                             { return "namespaces" }
func (alwaysSynced) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// ofNamespace returns the options for the cache of one
// namespace. failed gets the errors of the cache's watches.
func ofNamespace(o cache.Options, namespace string, failed func(error)) cache.Options {
	o.DefaultNamespaces = maps.Clone(o.DefaultNamespaces)
	if namespace != allNamespaces {
		o.DefaultNamespaces = map[string]cache.Config{namespace: o.DefaultNamespaces[namespace]}
	}
	o.DefaultWatchErrorHandler = func(ctx context.Context, r *toolscache.Reflector, err error) {
		toolscache.DefaultWatchErrorHandler(ctx, r, err)
		failed(err)
	}
	return o
}

// metadataList returns an empty list for the metadata of objects of kind's type.
func metadataList(c client.Reader, kind client.Object) (*metav1.PartialObjectMetadataList, error) {
	known, ok := c.(client.Client)
	if !ok {
		return nil, fmt.Errorf("%T knows no kinds", c)
	}
	gvk, err := apiutil.GVKForObject(kind, known.Scheme())
	if err != nil {
		return nil, err
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	return list, nil
}
