package server

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/stream"
)

const withToken = `
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: sunday}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: Token, tokenGeneration: 0}
`

func TestATokenThatWasMadeUpIsShownOnce(t *testing.T) {
	t.Parallel()
	var shown []string
	var mu sync.Mutex
	s := startServer(t, withToken, func(c *Config) {
		c.OnToken = func(pair, what, token string) {
			mu.Lock()
			defer mu.Unlock()
			shown = append(shown, pair+" "+what+" "+token)
		}
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(shown)
	}
	eventually.True(t, "the first token is shown", func() bool { return count() == 1 })
	for _, step := range []struct {
		what, manifest string
		want           int
	}{
		{"the same manifest", withToken, 1},
		{"another generation", strings.Replace(withToken, "Generation: 0", "Generation: 1", 1), 2},
	} {
		if err := s.Configure([]byte(step.manifest)); err != nil {
			t.Fatal(err)
		}
		if count() != step.want {
			t.Errorf("%s: %d tokens shown, want %d", step.what, count(), step.want)
		}
	}
	key := stream.Key{App: "live", ID: "primary"}
	for i, want := range []bool{false, true} {
		if ok, _ := s.mayPublish(key, strings.TrimPrefix(shown[i], "sunday publish ")); ok != want {
			t.Errorf("token %d opens the stream: %v, want %v", i, ok, want)
		}
	}
}

func TestAPairWithOtherStreamsTakesThePlaceOfItsPredecessor(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	eventually.True(t, "the pair runs", func() bool { return s.pair("sunday").Declared })
	if err := s.Configure([]byte(strings.Replace(sticky, "streamID: primary", "streamID: main", 1))); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.status().Pairs {
		got = append(got, p.Name+" "+p.PrimaryID)
	}
	if diff := cmp.Diff([]string{"sunday main"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReplacedPairsKeepTheMetricOfTheirName(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	eventually.True(t, "the pair runs", func() bool { return s.pair("sunday").Declared })
	for i := range 20 {
		if err := s.Configure([]byte(strings.Replace(sticky, "streamID: primary", fmt.Sprintf("streamID: main%d", i), 1))); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the last of them runs", func() bool {
		s.pairs.mu.Lock()
		defer s.pairs.mu.Unlock()
		return len(s.pairs.ending) == 0
	})
	eventually.True(t, "both legs are shown", func() bool { return testutil.CollectAndCount(s.pairs.metrics.PairActiveLeg) == 2 })
}

func TestANameThatIsDeclaredAgainIsOnePairs(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	eventually.True(t, "the pair runs", func() bool { return s.pair("sunday").Declared })
	key := failover.PairKey{App: "live", Primary: "primary", Backup: "backup"}
	_, release, err := s.pairs.acquire(netip.Prefix{}, key.App, key.Primary, key.Backup) // somebody watches
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	s.pairs.declare(nil)
	s.pairs.declare([]declaration{{PairKey: failover.PairKey{App: "live", Primary: "main", Backup: "backup"}, Name: "sunday"}})
	var got []string
	for _, r := range s.pairs.all() {
		got = append(got, r.name+" "+r.key.Primary)
	}
	if diff := cmp.Diff([]string{"sunday main"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAPausedPairsEventsEnd(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	answer, err := http.Get(s.url("events/primary", "backupStreamId", "backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	if err := s.Configure([]byte(sticky + "  paused: true\n")); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, answer.Body)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("still open: the player would believe its last event for ever")
	}
}

func TestAnEmptyAddressClosesRTMP(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.RTMPAddress = "" })
	if a := s.status().Addresses; a.RTMP != "" || a.HTTP == "" {
		t.Errorf("addresses %+v", a)
	}
}

func TestAnImpossiblePlayURLIsUnknown(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	for _, ids := range [][2]string{{"primary", "primary"}, {"../x", ""}, {"primary", "a b"}} {
		if _, _, err := s.openOutput(netip.Prefix{}, "live", ids[0], ids[1]); !stream.IsUnknown(err) {
			t.Errorf("%q is answered with %v", ids, err)
		}
	}
}
