package audience

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A feed follows the events of one session, once. The watcher decides what its end means.
type feed struct {
	mu       sync.Mutex // guards all below
	heard    time.Time
	broken   error
	onAir    bool
	draining bool
}

// followFeed opens the event stream and follows it until ctx
// ends. before is when the feed counts as last heard at first.
func followFeed(ctx context.Context, client *http.Client, url string, before time.Time, running *sync.WaitGroup) *feed {
	f := &feed{heard: before}
	running.Go(func() {
		err := f.follow(ctx, client, url)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.broken = err
	})
	return f
}

func (f *feed) follow(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f.hear(lines.Text())
	}
	return fmt.Errorf("the events ended: %w", lines.Err())
}

// hear handles one line of the stream. Heartbeats have no onAir.
func (f *feed) hear(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = time.Now()
	data, found := strings.CutPrefix(line, "data:")
	if !found {
		return
	}
	var state struct {
		OnAir    *bool `json:"onAir"`
		Draining bool  `json:"draining"`
	}
	if json.Unmarshal([]byte(data), &state) == nil && state.OnAir != nil {
		f.onAir, f.draining = *state.OnAir, state.Draining
	}
}

// heartbeatLimit is two heartbeats and a little more.
const heartbeatLimit = 1100 * time.Millisecond

// lost returns why the server seems to be gone; nil: it seems to be there.
func (f *feed) lost(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	if silent := now.Sub(f.heard); silent > heartbeatLimit {
		return fmt.Errorf("no heartbeat for %v", silent.Round(time.Millisecond))
	}
	return nil
}

func (f *feed) isDraining() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.draining
}

func (f *feed) isOnAir() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.onAir
}
