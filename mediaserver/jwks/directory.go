package jwks

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// look is how often the Directory looks which fetches are due.
	look = time.Second
)

// Config says how a Directory reaches the outside.
type Config struct {
	// Networks are the networks of private addresses that may be called. Default: none.
	Networks []netip.Prefix
	// TLS is how the URLs are called. Default: with the system's authorities.
	TLS *tls.Config
	// Peers asks the server's peers for their keys. Default: there are no peers.
	Peers func(context.Context) []Keys
	// OnFetch is called after each fetch with its error, for metrics. Default: nothing.
	OnFetch func(err error)
	// OnChange is called when a source may have other keys, or another fault. Default: nothing.
	OnChange func()
	// Logger is told of fetches that fail. Required.
	Logger *slog.Logger
}

// A Directory has the sources of a server. It is safe for concurrent use.
type Directory struct {
	cfg  Config
	wake chan struct{}

	mu      sync.Mutex // guards sources
	sources map[string]*Source
}

// NewDirectory returns a Directory without sources. Run must be called.
func NewDirectory(cfg Config) *Directory {
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	return &Directory{cfg: cfg, wake: make(chan struct{}, 1), sources: make(map[string]*Source)}
}

// Use replaces the sources: those of the same URL stay.
func (d *Directory) Use(urls []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := make(map[string]*Source, len(urls))
	for _, u := range urls {
		next[u] = d.sources[u]
		if next[u] == nil {
			next[u] = newSource(u, newClient(d.cfg.Networks, d.cfg.TLS), d.wakeUp)
		}
	}
	d.sources = next
	d.wakeUp()
}

// Source returns the source of a URL that Use was given last; nil: there is none.
func (d *Directory) Source(url string) *Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sources[url]
}

func (d *Directory) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// all returns the sources in the order of their URLs.
func (d *Directory) all() []*Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*Source, 0, len(d.sources))
	for _, s := range d.sources {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Source) int { return cmp.Compare(a.url, b.url) })
	return all
}

// Run fetches keys until ctx ends.
func (d *Directory) Run(ctx context.Context) error {
	fetches, fetching := errgroup.WithContext(ctx)
	defer func() { _ = fetches.Wait() }()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var asking atomic.Bool // the peers
	for {
		now := time.Now()
		sources := d.all()
		lacking := slices.ContainsFunc(sources, func(s *Source) bool { return s.lacksKeys(now) })
		if d.cfg.Peers != nil && lacking && asking.CompareAndSwap(false, true) {
			fetches.Go(func() error {
				defer asking.Store(false)
				d.askPeers(fetching)
				return nil
			})
		}
		for _, s := range sources {
			if s.begin(now) {
				fetches.Go(func() error { d.fetch(fetching, s); return nil })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-d.wake:
		}
	}
}

func (d *Directory) fetch(ctx context.Context, s *Source) {
	err := s.fetch(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		fetched, _ := s.fault()
		d.cfg.Logger.Warn("the keys of JSON Web Tokens could not be fetched", "url", s.url, "error", err, "keysFrom", fetched)
	}
	if d.cfg.OnFetch != nil {
		d.cfg.OnFetch(err)
	}
	d.cfg.OnChange()
}

func (d *Directory) askPeers(ctx context.Context) {
	for _, keys := range d.cfg.Peers(ctx) {
		s := d.Source(keys.URL)
		if s == nil {
			continue
		}
		if err := s.take(keys, time.Now()); err != nil {
			d.cfg.Logger.Warn("the peer's keys of JSON Web Tokens cannot be used", "url", s.url, "error", err)
		}
		d.cfg.OnChange()
	}
}

// Keys returns the keys that count, for the peers.
func (d *Directory) Keys() []Keys {
	var all []Keys
	for _, s := range d.all() {
		if k, ok := s.keys(time.Now()); ok {
			all = append(all, k)
		}
	}
	return all
}

// cause returns why a fetch failed, without the addresses, ports and times that differ each time.
func cause(err error) string {
	if name := (*net.DNSError)(nil); errors.As(err, &name) {
		switch {
		case name.IsNotFound:
			return "there is no host " + name.Name
		case name.IsTimeout:
			return "the name server does not answer for " + name.Name
		}
		return "the name server fails for " + name.Name
	}
	if expired := (x509.CertificateInvalidError{}); errors.As(err, &expired) {
		if expired.Reason == x509.Expired {
			return "its certificate has expired, or is not valid yet"
		}
		return "its certificate is not valid"
	}
	if network := (*net.OpError)(nil); errors.As(err, &network) {
		return network.Op + ": " + network.Err.Error()
	}
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err.Error()
	}
	return err.Error()
}

// Faults returns, for each URL without keys that count, why its last fetch failed.
func (d *Directory) Faults() map[string]string {
	faults := make(map[string]string)
	for _, s := range d.all() {
		if _, err := s.fault(); err != nil && s.lacksKeys(time.Now()) {
			faults[s.url] = cause(err)
		}
	}
	return faults
}
