package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

func TestStreamNames(t *testing.T) {
	long := make([]byte, 129)
	for i := range long {
		long[i] = 'a'
	}
	for _, tt := range []struct {
		key Key
		ok  bool
	}{
		{Key{"live", "primary"}, true},
		{Key{"a", "0"}, true},
		{Key{"live.1", "Studio_A-2.main"}, true},
		{Key{"live", string(long[:128])}, true},
		{Key{"live", string(long)}, false},
		{Key{"", "primary"}, false},
		{Key{"live", ""}, false},
		{Key{"live", ".."}, false},
		{Key{"live", "-x"}, false},
		{Key{"live", "a/b"}, false},
		{Key{"live", "a b"}, false},
		{Key{"live", "a\n"}, false},
		{Key{"live", "é"}, false},
	} {
		r := NewRegistry(Config{})
		_, err := r.Publish(PublishRequest{Key: tt.key})
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrInvalidStreamID)) {
			t.Errorf("publish %q: %v", tt.key, err)
		}
		r.Close()
	}
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{MaxStreams: 3})
		key := func(i int) Key { return Key{"live", fmt.Sprint(i)} }
		publish := func(i int) (*Publication, error) { return r.Publish(PublishRequest{Key: key(i)}) }
		first, err := publish(0)
		must(t, err)
		sub := r.Stream(key(1)).Subscribe(1)
		defer sub.Close()

		asked := r.Stream(key(2))
		if r.Stream(key(2)) != asked {
			t.Error("another stream for the same key")
		}
		// New streams that are asked for replace streams that were asked for and never used.
		for i := 3; i < 1000; i++ {
			time.Sleep(ms)
			if r.Stream(key(i)) == nil {
				t.Fatal("no stream")
			}
			if len(r.streams) > 3 {
				t.Fatalf("%d streams are known", len(r.streams))
			}
		}
		if r.streams[key(0)] != first.Stream() || r.streams[key(1)] != sub.stream {
			t.Error("a stream in use was forgotten")
		}
		third, err := publish(4)
		must(t, err)
		if _, err := publish(5); !errors.Is(err, ErrTooManyStreams) {
			t.Errorf("publish beyond the bound: %v", err)
		}
		if r.Stream(key(5)) == nil {
			t.Error("no stream")
		}
		third.End(EndClosed)
		if again, err := publish(4); err != nil || again.Stream() != third.Stream() {
			t.Errorf("publish again: %v", err)
		}
		var names []string
		for _, s := range r.Streams() {
			names = append(names, s.Key().String())
		}
		if d := cmp.Diff([]string{"live/0", "live/1", "live/4"}, names); d != "" {
			t.Errorf("streams in use: %s", d)
		}
		r.Close()
	})
}

func TestIdleStreamsAreKeptAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{MaxStreams: 2})
		kept, old := Key{"live", "kept"}, Key{"live", "old"}
		sub := r.Stream(old).Subscribe(1)
		time.Sleep(2 * time.Minute)
		s := r.Stream(kept)
		sub.Close()
		time.Sleep(59 * time.Second)
		if r.Stream(kept) != s {
			t.Error("forgotten without need")
		}
		time.Sleep(2 * time.Second)
		r.Stream(Key{"live", "new"})
		if r.streams[old] != nil || r.streams[kept] != s {
			t.Errorf("known: %v", r.streams)
		}
	})
}

func TestMetricsOfForgottenStreamsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{MaxStreams: 2})
		for i := range 20 {
			p, err := r.Publish(PublishRequest{Key: Key{"live", fmt.Sprint(i)}})
			must(t, err)
			writeIDR(t, p, 0)
			p.End(EndClosed)
			time.Sleep(ms)
		}
		n := 0
		for i := range 20 {
			if r.cfg.Metrics.IngestBytes.DeleteLabelValues("live", fmt.Sprint(i), "video") {
				n++
			}
		}
		if n != 2 {
			t.Errorf("metrics of %d streams, want 2", n)
		}
	})
}

func TestCloseEndsAllAndRefusesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		var mu sync.Mutex
		told := map[string]int{}
		publish := func(id string) *Publication {
			p, err := r.Publish(PublishRequest{Key: Key{"live", id}, Authenticated: true, Close: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				told[fmt.Sprint(id, ": ", err)]++
			}})
			must(t, err)
			return p
		}
		current, waiting, other := publish("a"), publish("a"), publish("b")
		r.Close()
		r.Close()
		for _, p := range []*Publication{current, waiting, other} {
			<-p.Done()
			p.End(EndClosed)
		}
		synctest.Wait()
		want := map[string]int{"a: " + ErrShuttingDown.Error(): 2, "b: " + ErrShuttingDown.Error(): 1}
		if d := cmp.Diff(want, told); d != "" {
			t.Error(d)
		}
		if _, err := r.Publish(PublishRequest{Key: keyLive}); !errors.Is(err, ErrShuttingDown) {
			t.Errorf("publish after Close: %v", err)
		}
	})
}

// Publishers that take over from each other, subscribers that come and go, and readers of
// everything else, all at once: for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := NewRegistry(Config{MaxStreams: 4})
	ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
	defer cancel()
	var group errgroup.Group
	for i := range 3 {
		group.Go(func() error {
			for ctx.Err() == nil {
				p, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, RequestIDR: func() {}, Close: func(error) {}})
				if err != nil {
					if !errors.Is(err, ErrTooManyTakeovers) {
						return err
					}
					time.Sleep(ms)
					continue
				}
				if err := p.SetAudioFormat(formatAAC); err != nil && !errors.Is(err, ErrPublicationEnded) {
					return err
				}
				for n := range 20 {
					ts := time.Duration(n) * 10 * ms
					err = p.WriteVideo(ts, ts, [][]byte{sps240, pps0, idrSlice(100)})
					if err == nil {
						err = p.WriteAudio(ts, []byte{1})
					}
					if err != nil && !errors.Is(err, ErrPublicationEnded) {
						return fmt.Errorf("publisher %d: %w", i, err)
					}
				}
				p.End(EndClosed)
			}
			return nil
		})
		group.Go(func() error {
			for ctx.Err() == nil {
				s := r.Stream(keyLive)
				sub := s.Subscribe(4)
				var last uint64
				for range 50 {
					select {
					case u := <-sub.C:
						if u.Seq <= last {
							return fmt.Errorf("Seq %d after %d", u.Seq, last)
						}
						last = u.Seq
					case <-sub.Changed:
						s.Snapshot()
						for _, u := range s.Cached() {
							_ = u.Seq
						}
					case <-ctx.Done():
					}
				}
				sub.Close()
				s.Warn("Code", "message")
				s.Unwarn("Code")
				s.RequestIDR()
				r.Streams()
				r.Stream(Key{"live", fmt.Sprint(last % 7)})
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	r.Close()
}
