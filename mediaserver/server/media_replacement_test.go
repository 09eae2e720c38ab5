package server

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A nameServer knows the addresses of one name.
type nameServer struct {
	mu        sync.Mutex // guards addresses
	addresses []netip.Addr
}

func (n *nameServer) is(texts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = nil
	for _, text := range texts {
		n.addresses = append(n.addresses, netip.MustParseAddr(text))
	}
}

func (n *nameServer) lookup(context.Context, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses, nil
}

// keepPublishing runs an encoder that connects again whenever its connection ends.
func keepPublishing(t *testing.T, path, url string) {
	t.Helper()
	mediatest.SkipInShort(t) // here, because the goroutine below cannot skip the test
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		stop()
		<-done
	})
	var first sync.WaitGroup
	first.Add(1)
	go func() {
		defer close(done)
		begun := sync.OnceFunc(first.Done)
		for ctx.Err() == nil {
			p := mediatest.Publish(t, path, url, "-stream_loop", "-1")
			begun()
			select {
			case <-ctx.Done():
			case <-p.Exited():
			}
			p.Kill()
			time.Sleep(200 * ms)
		}
	}()
	first.Wait()
}

// The pod of the leg on air is deleted. Its replacement starts while
// the old pod still drains. The name of the leg's pods leads to both.
func TestTwoServersOfOneLeg(t *testing.T) {
	files := newMount(t, t.TempDir(), keys(t, firstToken, firstCluster))
	legPods, service := &nameServer{}, mediatest.NewFaultyProxy(t)
	legPods.is("127.0.0.1")
	as := func(role v1alpha1.Role, name string) func(*Config) {
		return func(c *Config) {
			c.Role, c.Control, c.RelayAddress, c.DrainTimeout = role, files.controlFiles(), "127.0.0.1:0", patience
			c.Logger = c.Logger.With("server", name)
		}
	}
	toBackup := mediatest.NewFaultyProxy(t)
	peer := func(base string) func(*Config) {
		return func(c *Config) { c.Peer, c.lookup = base, legPods.lookup }
	}
	ending := startServer(t, sticky, as(v1alpha1.RolePrimary, "ending"), peer("https://"+toBackup.Addr()))
	_, port, err := net.SplitHostPort(ending.Addresses().Relay)
	if err != nil {
		t.Fatal(err)
	}
	stays := startServer(t, sticky, as(v1alpha1.RoleBackup, "stays"), peer("https://sunday-primary-pods:"+port))
	toBackup.SetTarget(stays.Addresses().Relay)
	service.SetTarget(ending.Addresses().RTMP)
	keepPublishing(t, file(t, mediatest.Programme{}), "rtmp://"+service.Addr()+"/live/primary")
	stays.onAir("primary", true, false)
	mediatest.Publish(t, file(t, mediatest.Programme{Leg: 1, GOPPhase: 700 * ms}), stays.publishURL("backup"), "-stream_loop", "-1")
	for _, s := range []*testServer{ending, stays} {
		s.onAir("primary", true, true)
	}
	other, own := stays.watchPair(), ending.watchPair()
	for _, v := range []*viewer{other, own} {
		v.sees(0, 2*fps, time.Time{})
	}

	deleted := time.Now()
	ending.end()
	next := startServer(t, sticky, as(v1alpha1.RolePrimary, "next"), peer("https://"+toBackup.Addr()), func(c *Config) {
		c.RelayAddress = "127.0.0.2:" + port
	})
	legPods.is("127.0.0.1", "127.0.0.2")
	service.SetTarget(next.Addresses().RTMP)
	for _, s := range []*testServer{stays, next} {
		s.onAir("backup", true, true)
		t.Logf("both legs live, the backup on air after %v", time.Since(deleted).Round(ms))
	}
	ending.onAir("backup", false, true)
	for _, v := range []*viewer{other, own} {
		v.sees(1, 2*fps, time.Now())
	}
	own.leaves().isContinuous()
	select {
	case <-ending.ended:
		t.Logf("the server ended after %v", time.Since(deleted).Round(ms))
	case <-time.After(patience / 3):
		t.Fatal("the server goes on without viewers")
	}
	legPods.is("127.0.0.2")
	time.Sleep(5 * time.Second)
	for _, s := range []*testServer{stays, next} {
		s.onAir("backup", true, true)
	}
	gap := mediatest.LongestGap(other.Sightings(), deleted, time.Now())
	t.Logf("longest gap for the viewer of the other leg's server: %v", gap.Round(ms))
	if gap > maxGap/2 {
		t.Error("that is too long")
	}
	other.leaves().isContinuous()
	if p := stays.pair("sunday"); p.Switches != 1 || p.Reason != string(failover.ReasonPrimaryDraining) || !p.Peer.Connected {
		t.Errorf("%d switches, the last for %s; the peer: %+v", p.Switches, p.Reason, p.Peer)
	}
	if p := next.pair("sunday"); p.Switches != 0 {
		t.Errorf("the replacement made %d switches, the last for %s", p.Switches, p.Reason)
	}
}
