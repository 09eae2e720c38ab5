package stream

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/budget"
)

// publishAs begins a publication of a stream other than keyLive.
func publishAs(t *testing.T, r *Registry, id string) *Publication {
	t.Helper()
	p, err := r.Publish(PublishRequest{Key: Key{App: "live", ID: id}, Protocol: "test"})
	must(t, err)
	must(t, p.SetVideoParameters(sps240, pps0))
	return p
}

// writePicture writes a picture of that many bytes.
func writePicture(t *testing.T, p *Publication, idr bool, size int) {
	t.Helper()
	slice := interSlice(size)
	if idr {
		slice = idrSlice(size)
	}
	ts := p.Stream().Now()
	must(t, p.WriteVideo(ts, ts, [][]byte{slice}))
}

// Forty publishers, each with an IDR every 10 s and 20 Mbit/s, are what a stranger can send if
// undeclared streams are accepted. Beside them runs a pair of 10 Mbit/s a leg.
func TestFatPublishersStayWithinTheBudget(t *testing.T) {
	const (
		publishers, rate       = 40, 5 // pictures a second
		fatPicture, ownPicture = 20e6 / 8 / rate, 10e6 / 8 / rate
		gop                    = 10 * rate
	)
	for _, pod := range []struct {
		name   string
		memory int64 // bytes
	}{
		{"a pod of 256 MiB", 256 << 20},
		{"a pod of 512 MiB", 512 << 20},
	} {
		t.Run(pod.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := budget.New(budget.FromMemoryLimit(pod.memory / 10 * 9))
				r := NewRegistry(Config{Budget: memory})
				r.Declare([]Key{{"live", "primary"}, {"live", "backup"}})
				legs := []*Publication{publishAs(t, r, "primary"), publishAs(t, r, "backup")}
				var others []*Publication
				for i := range publishers {
					others = append(others, publishAs(t, r, fmt.Sprintf("other-%d", i)))
				}
				lean := publishAs(t, r, "lean")
				var peak, heap uint64
				for n := range 25 * rate {
					for _, p := range legs {
						writePicture(t, p, n%gop == 0, ownPicture)
						if !p.Stream().Snapshot().EntryPoint {
							t.Fatalf("after %d pictures %s has no entry point", n, p.Stream().Key())
						}
					}
					for i, p := range others {
						writePicture(t, p, (n+i)%gop == 0, fatPicture)
					}
					writePicture(t, lean, n%rate == 0, 10_000)
					if !lean.Stream().Snapshot().EntryPoint {
						t.Fatalf("after %d pictures the lean stream has no entry point", n)
					}
					used := memory.Used(budget.Declared) + memory.Used(budget.Undeclared)
					if most := memory.Limit() + (publishers+3)*fatPicture; used > most {
						t.Fatalf("%d bytes are held, of %d", used, memory.Limit())
					}
					peak = max(peak, uint64(used))
					if n%rate == 0 {
						runtime.GC()
						var stats runtime.MemStats
						runtime.ReadMemStats(&stats)
						heap = max(heap, stats.HeapAlloc)
					}
					time.Sleep(time.Second / rate)
				}
				t.Logf("limit %d MiB, charged at most %d MiB, live heap at most %d MiB", memory.Limit()>>20, peak>>20, heap>>20)
				if heap > uint64(pod.memory) {
					t.Errorf("the live heap reaches %d MiB", heap>>20)
				}
				if diff := cmp.Diff([]string(nil), warningCodes(legs[0].Stream())); diff != "" {
					t.Error(diff)
				}
				r.Close()
				if used := memory.Used(budget.Declared) + memory.Used(budget.Undeclared); used != 0 {
					t.Errorf("%d bytes are charged after the end", used)
				}
			})
		})
	}
}

func TestAnUndeclaredStreamGivesWay(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		memory := budget.New(10 * mib)
		r := NewRegistry(Config{Budget: memory})
		r.Declare([]Key{{"live", "primary"}})
		other := publishAs(t, r, "other")
		sub := other.Stream().Subscribe(100)
		defer sub.Close()
		writePicture(t, other, true, 6*mib)
		leg := publishAs(t, r, "primary")
		writePicture(t, leg, true, 6*mib)
		if !other.Stream().Snapshot().EntryPoint {
			t.Fatal("the cache of a stream that sends nothing was emptied without Shed")
		}
		memory.Shed()
		if other.Stream().Snapshot().EntryPoint || !leg.Stream().Snapshot().EntryPoint {
			t.Error("the declared leg must keep its entry point, and the other must not")
		}
		if diff := cmp.Diff([]string{"NoEntryPoint", warningUndeclared}, warningCodes(other.Stream())); diff != "" {
			t.Error(diff)
		}
		if n := gauge(t, r.cfg.Metrics.CachesStarved.WithLabelValues("undeclared")); n != 1 {
			t.Errorf("%v starved caches are counted, want 1", n)
		}

		drain(sub)
		writePicture(t, other, false, 1000)
		if len(drain(sub)) != 1 {
			t.Error("the live picture must go on")
		}
		leg.End(EndClosed)
		writePicture(t, other, true, 6*mib)
		if !other.Stream().Snapshot().EntryPoint || slices.Contains(warningCodes(other.Stream()), "NoEntryPoint") {
			t.Error("with memory again, the next IDR is an entry point")
		}

		r.Declare([]Key{{"live", "other"}})
		writePicture(t, other, false, 1000)
		if memory.Used(budget.Undeclared) != 0 || memory.Used(budget.Declared) == 0 {
			t.Error("a stream that is declared now is charged as undeclared")
		}
		derived := NewDerived(other.Stream())
		if !derived.Declared() {
			t.Error("a derived stream is declared as its parent is")
		}
		r.Close()
	})
}

// Whoever holds one access unit must not hold the whole GOP of its publication.
func TestAnEndedPublicationHoldsNoCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		p := publishAs(t, r, "primary")
		writePicture(t, p, true, 1000)
		p.End(EndClosed)
		if len(p.cache.video) != 0 || r.cfg.Budget.Used(budget.Undeclared) != 0 {
			t.Error("the cache is still there")
		}
	})
}
