package peer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addresses(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func TestAddressesFollowTheName(t *testing.T) {
	notFound := &net.DNSError{IsNotFound: true}
	type answer struct {
		addresses []netip.Addr
		err       error
	}
	type step struct {
		what   string
		answer answer
		// after is how long it lasts before the bases are looked at.
		after time.Duration
		want  []string
	}
	tests := []struct {
		name  string
		base  string
		steps []step
	}{
		{"one pod, its replacement beside it, the replacement alone", "http://sunday-backup-pods.live.svc:5080", []step{
			{"one", answer{addresses("10.0.0.5"), nil}, 0, []string{"http://10.0.0.5:5080"}},
			{"two", answer{addresses("10.0.0.9", "10.0.0.5"), nil}, time.Second, []string{"http://10.0.0.5:5080", "http://10.0.0.9:5080"}},
			{"the old one is missing for a moment", answer{addresses("10.0.0.9"), nil}, 2 * time.Second, []string{"http://10.0.0.5:5080", "http://10.0.0.9:5080"}},
			{"the old one is gone", answer{addresses("10.0.0.9"), nil}, 2 * time.Second, []string{"http://10.0.0.9:5080"}},
		}},
		{"a name server that is away changes nothing", "http://peer:80", []step{
			{"one", answer{addresses("10.0.0.5"), nil}, 0, []string{"http://10.0.0.5:80"}},
			{"nobody answers", answer{nil, errors.New("timeout")}, time.Minute, []string{"http://10.0.0.5:80"}},
			{"no such name", answer{nil, notFound}, 4 * time.Second, []string{}},
			{"again", answer{addresses("10.0.0.6"), nil}, time.Second, []string{"http://10.0.0.6:80"}},
		}},
		{"the own address is left out, and so is the second of a server that has two", "https://peer:5443", []step{
			{"four", answer{addresses("10.0.0.1", "::ffff:10.0.0.1", "fd00::7", "::ffff:10.0.0.2"), nil}, 0, []string{"https://10.0.0.2:5443"}},
		}},
		{"IPv6 alone, as URLs have it", "https://peer:5443", []step{
			{"one", answer{addresses("fd00::7"), nil}, 0, []string{"https://[fd00::7]:5443"}},
		}},
		{"no port", "http://peer", []step{
			{"IPv4", answer{addresses("10.0.0.2"), nil}, 0, []string{"http://10.0.0.2"}},
			{"IPv6 too, and then alone", answer{addresses("fd00::7"), nil}, 4 * time.Second, []string{"http://[fd00::7]"}},
		}},
		{"an address needs no name server", "http://10.0.0.7:5080", []step{
			{"", answer{nil, errors.New("asked")}, time.Second, []string{"http://10.0.0.7:5080"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[answer]
				now.Store(&tt.steps[0].answer)
				d, err := NewDirectory(DirectoryConfig{
					Base: tt.base, Own: netip.MustParseAddr("10.0.0.1"),
					Lookup: func(context.Context, string) ([]netip.Addr, error) {
						a := now.Load()
						return a.addresses, a.err
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- d.Run(ctx) }()
				synctest.Wait()
				for _, s := range tt.steps {
					now.Store(&s.answer)
					changed, before := d.Changed(), d.Bases()
					time.Sleep(s.after)
					synctest.Wait()
					if diff := cmp.Diff(s.want, d.Bases()); diff != "" {
						t.Errorf("%s: %s", s.what, diff)
					}
					select {
					case <-changed:
						if cmp.Equal(before, d.Bases()) {
							t.Errorf("%s: a change without one", s.what)
						}
					default:
						if !cmp.Equal(before, d.Bases()) {
							t.Errorf("%s: nobody is told of the change", s.what)
						}
					}
				}
				stop()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

func TestAServerThatShowsItselfIsKnownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[[]netip.Addr]
		name := func(texts ...string) {
			all := addresses(texts...)
			now.Store(&all)
		}
		name("10.0.0.5")
		d, err := NewDirectory(DirectoryConfig{
			Base: "http://peer:5080", Own: netip.MustParseAddr("10.0.0.1"),
			Lookup: func(context.Context, string) ([]netip.Addr, error) { return *now.Load(), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = d.Run(ctx) }()
		synctest.Wait()
		is := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, d.Bases()); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		for _, a := range addresses("10.0.0.5", "::ffff:10.0.0.9", "10.0.0.1") {
			d.Meet(a)
		}
		is("at once", "http://10.0.0.5:5080", "http://10.0.0.9:5080")
		time.Sleep(30 * time.Second)
		is("before its name is known", "http://10.0.0.5:5080", "http://10.0.0.9:5080")
		name("10.0.0.9")
		time.Sleep(4 * time.Second)
		is("afterwards, the other one is gone", "http://10.0.0.9:5080")
		name()
		time.Sleep(4 * time.Second)
		is("it goes with its name", []string{}...)
		d.Meet(netip.MustParseAddr("10.0.0.7"))
		time.Sleep(provenGrace*time.Second + 4*time.Second)
		is("one that never has a name", []string{}...)
	})
}

func TestANameServerThatHangsIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		d, err := NewDirectory(DirectoryConfig{Base: "http://peer:5080", Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			if asked++; asked == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return addresses("10.0.0.5"), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		began := time.Now()
		go func() {
			<-d.Changed()
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		}()
		_ = d.Run(ctx)
		if len(d.Bases()) != 1 {
			t.Errorf("bases: %v", d.Bases())
		}
	})
}

func TestAnAddressIsOneOfThePeers(t *testing.T) {
	d, err := NewDirectory(DirectoryConfig{Base: "http://10.0.0.5:5080"})
	if err != nil {
		t.Fatal(err)
	}
	d.Meet(netip.MustParseAddr("10.0.0.6")) // who gives an address means it
	for text, want := range map[string]bool{"10.0.0.5": true, "::ffff:10.0.0.5": true, "10.0.0.6": false} {
		if got := d.Includes(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestABaseMustBeOne(t *testing.T) {
	for _, base := range []string{"", "10.0.0.8:5080", "rtmp://peer:1935", "http://:5080", "http://peer:5080/live", "http://peer:50 80"} {
		if _, err := NewDirectory(DirectoryConfig{Base: base}); err == nil {
			t.Errorf("%q is taken", base)
		}
	}
}
