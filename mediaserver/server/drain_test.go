package server

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestADrainingServerWaitsForItsViewers(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky, func(c *Config) { c.DrainTimeout = patience })
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	v := s.watchPair()
	v.sees(0, fps, time.Time{})
	told := make(chan bool, 1)
	go func() {
		draining := false
		for state := range s.states("primary", "backupStreamId", "backup") {
			draining = state.Draining
		}
		told <- draining
	}()
	eventually.True(t, "the player's events", func() bool { return s.status().Viewers == 1 })
	time.Sleep(100 * ms)

	s.end()
	select {
	case draining := <-told:
		if !draining {
			t.Error("the player's events ended without a word")
		}
	case <-time.After(patience):
		t.Fatal("the player was not told to go elsewhere")
	}
	if !s.status().Draining {
		t.Error("status does not tell")
	}
	for _, path := range []string{"whep/second", "whip/second"} {
		answer, err := http.Post(s.url(path), "application/sdp", strings.NewReader(offer(t)))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q", path, answer.Status, answer.Header.Get("Retry-After"))
		}
	}
	answer, err := http.Get(s.url("events/primary", "backupStreamId", "backup"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || !answer.Close {
		t.Errorf("events: %s, connection closed: %v", answer.Status, answer.Close)
	}
	if _, err := s.registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "backup"}}); !errors.Is(err, stream.ErrShuttingDown) {
		t.Errorf("a new publisher: %v", err)
	}
	v.sees(0, 2*fps, time.Now())
	select {
	case <-s.ended:
		t.Fatal("it ended before its viewer had gone")
	default:
	}
	left := time.Now()
	v.leaves().isContinuous()
	select {
	case <-s.ended:
		t.Logf("it ended %v after the viewer left", time.Since(left).Round(ms))
	case <-time.After(patience / 2):
		t.Error("it goes on without viewers")
	}
}

func TestADrainEndsInTime(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{"at once": 0, "after its time-out": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky, func(c *Config) { c.DrainTimeout = timeout })
			s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
			s.watchPair().sees(0, fps, time.Time{})
			began := time.Now()
			s.end()
			<-s.ended
			took := time.Since(began)
			t.Logf("it took %v", took.Round(ms))
			if took < timeout || took > timeout+patience/3 {
				t.Errorf("it took %v, want %v", took, timeout)
			}
		})
	}
}
