package events

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silentOutput and silentAudio discard what a pair plays.
type silentOutput struct{ changed chan struct{} }

func (silentOutput) WriteVideo(time.Duration, *stream.AccessUnit, bool) {}
func (silentOutput) WriteOpus(time.Duration, time.Duration, []byte)     {}
func (silentOutput) BurstDuration(int) time.Duration                    { return 0 }
func (silentOutput) ViewerCount() int                                   { return 0 }
func (o silentOutput) ViewersChanged() <-chan struct{}                  { return o.changed }

type silentAudio struct{}

func (silentAudio) Switch([]*stream.AccessUnit) {}
func (silentAudio) Write(*stream.AccessUnit)    {}
func (silentAudio) Fill(time.Duration)          {}
func (silentAudio) SetPassthrough(bool)         {}
func (silentAudio) Stop()                       {}

type source struct{ stream *stream.Stream }

func (s source) Stream() *stream.Stream { return s.stream }
func (source) Demand(bool)              {}

func TestPlayersAreToldWhatIsOnAir(t *testing.T) {
	m := metrics.New(prometheus.NewRegistry())
	registry := stream.NewRegistry(stream.Config{Metrics: m})
	leg := func(id string) source { return source{registry.Stream(stream.Key{App: "live", ID: id})} }
	pair := failover.NewPair(failover.PairConfig{
		Name: "sunday", PrimaryID: "primary", BackupID: "backup", Primary: leg("primary"), Backup: leg("backup"),
		Policy: failover.Policy{InputLoss: time.Minute}, Output: silentOutput{}, NewAudio: func(func(time.Duration, time.Duration, []byte)) failover.Audio { return silentAudio{} },
		Logger: slog.New(slog.DiscardHandler), Metrics: m,
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pair.Run(ctx)
	}()
	defer func() {
		stop()
		<-done
	}()
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	var way reducedWay
	mux := http.NewServeMux()
	NewHandler(Config{
		Open: func(_ netip.Prefix, _, streamID, backupID string) (*failover.Pair, func(), error) {
			if streamID != "primary" || backupID != "backup" {
				return nil, nil, errors.New("no more pairs")
			}
			return pair, release, nil
		},
		Authorize: func(_, _, _, token string) error {
			if token == "paused" {
				return stream.ErrUndeclared
			}
			if token != "secret" {
				return errors.New("the token is missing or wrong")
			}
			return nil
		},
		Session: func(name string) (<-chan struct{}, bool) {
			return make(chan struct{}), name == "mine" || name == "other"
		},
		Reduced: way.reducedOf,
		Epoch:   registry.Epoch(), Metrics: m,
	}).Register(mux)
	server := httptest.NewServer(mux)
	defer server.Close()

	for path, want := range map[string]int{
		"/live/events/primary?backupStreamId=backup":              http.StatusUnauthorized,
		"/live/events/primary?backupStreamId=backup&token=paused": http.StatusNotFound,
		"/live/events/primary?backupStreamId=third&token=secret":  http.StatusServiceUnavailable,
	} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("GET %s: %d %s, want %d", path, answer.StatusCode, body, want)
		}
	}

	events := mediatest.FollowEvents(t, server.URL+"/live/events/primary?backupStreamId=backup&token=secret")
	var waiting, playing State
	events.Next("state", &waiting)
	if waiting.OnAir || waiting.Active != "" || waiting.Reason != failover.ReasonNoLiveStream || len(waiting.Legs) != 2 {
		t.Errorf("before anybody publishes: %+v", waiting)
	}
	publication, err := registry.Publish(stream.PublishRequest{Key: stream.Key{App: "live", ID: "backup"}, Protocol: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := publication.SetAudioFormat(stream.Format{Codec: stream.Opus, SampleRate: 48000, Channels: 2}); err != nil {
		t.Fatal(err)
	}
	if err := publication.WriteAudio(0, []byte{0xfc, 0xff, 0xfe}); err != nil {
		t.Fatal(err)
	}
	for !playing.OnAir {
		events.Next("state", &playing)
	}
	want := State{
		StreamID: "primary", BackupStreamID: "backup", Active: failover.Backup, ActiveStreamID: "backup", OnAir: true,
		Reason: failover.ReasonStarted, Since: playing.Since, ServerTime: playing.ServerTime,
		Legs: []LegState{
			{Role: failover.Primary, StreamID: "primary", Rank: "None"},
			{Role: failover.Backup, StreamID: "backup", Live: true, Rank: "Full"},
		},
		Warnings: []LegWarning{}, BaseURLs: []string{},
	}
	if diff := cmp.Diff(want, playing); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if playing.Since == nil || time.Since(*playing.Since) > time.Minute {
		t.Errorf("since: %v", playing.Since)
	}
	var beat Heartbeat
	events.Next("heartbeat", &beat)
	events.Close()
	select {
	case <-released:
	case <-time.After(10 * time.Second):
		t.Error("the pair was not released when the player went away")
	}

	mine := mediatest.FollowEvents(t, server.URL+"/live/events/primary?backupStreamId=backup&token=secret&session=mine")
	for _, reduced := range []bool{false, true, false} {
		way.set(reduced)
		var state State
		eventually.True(t, "the state says whether the viewer gets IDRs only", func() bool {
			mine.Next("state", &state)
			return state.Reduced == reduced
		})
	}
	way.set(true)
	var state State
	other := mediatest.FollowEvents(t, server.URL+"/live/events/primary?backupStreamId=backup&token=secret&session=other")
	other.Next("state", &state)
	mine.Close()
	other.Close()
	if state.Reduced {
		t.Error("another viewer is told so too")
	}
}

// A reducedWay says whether the viewer of the session "mine" gets IDRs only.
type reducedWay struct {
	mu      sync.Mutex // guards the rest
	reduced bool
	changed chan struct{}
}

func (w *reducedWay) reducedOf(session string) (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.reduced && session == "mine", w.changed
}

func (w *reducedWay) set(reduced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reduced = reduced
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}
