package addresses

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

type fakeResolver struct {
	addresses []string
	err       error
	asked     int
	hangs     bool
}

func (f *fakeResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	f.asked++
	if f.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var list []netip.Addr
	for _, a := range f.addresses {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, f.err
}

// hostScene runs a Hosts, and notes which pairs are hinted at.
func hostScene(t *testing.T, resolver Resolver, act func(cache *Hosts, ask func() string, hinted func() int)) {
	synctest.Test(t, func(t *testing.T) {
		cache := NewHosts(resolver, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = cache.Start(ctx) }()
		sunday := types.NamespacedName{Namespace: "live", Name: "sunday"}
		var hints atomic.Int64
		go func() {
			for {
				select {
				case hint := <-cache.hints.Delivered():
					if hint.Object == sunday {
						hints.Add(1)
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		ask := func() string {
			began := time.Now()
			var list []string
			for _, a := range cache.Resolve("lb.example.com", sunday, began).Addresses {
				list = append(list, a.String())
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("a reconcile waited %v for a name server", took)
			}
			return strings.Join(list, " ")
		}
		act(cache, ask, func() int { synctest.Wait(); return int(hints.Load()) })
	})
}

func TestNamesOfLoadBalancersAreRefreshedAndKept(t *testing.T) {
	resolver := &fakeResolver{addresses: []string{"198.51.100.2", "::ffff:198.51.100.1", "198.51.100.2"}}
	hostScene(t, resolver, func(_ *Hosts, ask func() string, hinted func() int) {
		if got := ask(); got != "" {
			t.Errorf("resolved to %q before anybody was asked", got)
		}
		if n := hinted(); n != 1 {
			t.Errorf("%d hints, want one when the name is known", n)
		}
		const want = "198.51.100.1 198.51.100.2"
		if got := ask(); got != want || resolver.asked != 1 {
			t.Errorf("resolved to %q, want them in order, once; asked %d times", got, resolver.asked)
		}
		time.Sleep(hostTTL - time.Second)
		if ask(); hinted() != 1 || resolver.asked != 1 {
			t.Error("what is known is asked again")
		}
		time.Sleep(time.Second)
		resolver.addresses, resolver.err = nil, errors.New("server failure")
		for range 3 {
			if got := ask(); got != want {
				t.Errorf("a name server's failure takes the addresses: %q", got)
			}
			hinted()
		}
		if resolver.asked != 2 {
			t.Errorf("asked %d times, want once more", resolver.asked)
		}
	})
}

func TestANameThatDoesNotResolveIsAskedRarerAndRarer(t *testing.T) {
	resolver := &fakeResolver{err: errors.New("no such host")}
	hostScene(t, resolver, func(cache *Hosts, ask func() string, hinted func() int) {
		var waits []time.Duration
		for range 6 {
			ask()
			hinted()
			now := time.Now()
			again := cache.Resolve("lb.example.com", types.NamespacedName{}, now).Expires.Sub(now)
			waits = append(waits, again)
			time.Sleep(again)
		}
		want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		resolver.addresses, resolver.err = []string{"198.51.100.1"}, nil
		ask()
		hinted()
		if got := ask(); got != "198.51.100.1" {
			t.Errorf("resolved to %q when it does", got)
		}
		time.Sleep(11 * hostTTL)
		cache.Resolve("other.example.com", types.NamespacedName{}, time.Now())
		hinted()
		if _, kept := cache.hosts["lb.example.com"]; kept {
			t.Error("a name that nobody asks for is kept for ever")
		}
	})
}

func TestAHangingNameServerHoldsNobodyUp(t *testing.T) {
	resolver := &fakeResolver{hangs: true}
	hostScene(t, resolver, func(_ *Hosts, ask func() string, hinted func() int) {
		for range 5 {
			ask()
			hinted()
		}
		if resolver.asked != 1 {
			t.Errorf("asked %d times at once", resolver.asked)
		}
		time.Sleep(hostTimeout)
		if n := hinted(); n != 1 {
			t.Errorf("%d hints when the look-up failed", n)
		}
	})
}
