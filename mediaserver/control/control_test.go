package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a Backend with one pair named sunday.
type backend struct {
	changed  chan struct{}
	manifest string
	selected string
	told     control.MediaAddresses
	clear    []string
	old      int // manifests of operators that do not tell of peers
}

func (b *backend) HearOldOperator() { b.old++ }

func (b *backend) TellPeers(p control.Peers) error {
	if slices.Contains(p.Clear, "wrong") {
		return errors.New("clear[0]: wrong")
	}
	b.clear = p.Clear
	return nil
}

func (b *backend) Status() control.Status {
	return control.Status{BootID: "1", Pairs: []control.Pair{{Name: "sunday", Select: b.selected}}}
}
func (b *backend) Changed() <-chan struct{} { return b.changed }
func (b *backend) Configure(manifest []byte) error {
	if strings.Contains(string(manifest), "wrong") {
		return errors.New("spec.app: wrong\nspec.backup: missing")
	}
	if strings.Contains(string(manifest), "stale") {
		return fmt.Errorf("%w: it has 1, and the one in force 2", ErrStaleManifest)
	}
	b.manifest = string(manifest)
	return nil
}

func (b *backend) Advertise(told control.MediaAddresses) error {
	if slices.Contains(told.WebRTC, "wrong") {
		return errors.New("webrtc[0]: wrong\nwebrtc[1]: wrong too")
	}
	b.told = told
	return nil
}

func (b *backend) Select(pair, selection string) error {
	switch {
	case pair != "sunday":
		return ErrUnknownPair
	case selection != "Backup":
		return errors.New("select must be Auto, Primary or Backup")
	}
	b.selected = selection
	return nil
}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		answer                   string
	}{
		{"status", "GET", "/v1/status", "", 200, `"bootID":"1"`},
		{"a manifest is taken", "PUT", "/v1/config", "kind: StreamPair", 204, ""},
		{"a wrong manifest gives one line per mistake", "PUT", "/v1/config", "wrong", 422, `{"errors":["spec.app: wrong","spec.backup: missing"]}`},
		{"a manifest of any length is not", "PUT", "/v1/config", strings.Repeat("x", maxManifest+1), 413, "longer than"},
		{"a leg is selected", "PUT", "/v1/pairs/sunday/select", `{"select":"Backup"}`, 204, ""},
		{"no such leg", "PUT", "/v1/pairs/sunday/select", `{"select":"Third"}`, 422, "Auto, Primary or Backup"},
		{"no such pair", "PUT", "/v1/pairs/monday/select", `{"select":"Backup"}`, 404, "no pair of this name"},
		{"no JSON", "PUT", "/v1/pairs/sunday/select", `Backup`, 400, "the body must be"},
		{"an older manifest is not", "PUT", "/v1/config", "stale", 409, "older generation than the one in force: it has 1"},
		{"media addresses", "PUT", "/v1/addresses", `{"webrtc":["192.0.2.1:30000:30001"]}`, 204, ""},
		{"no media addresses", "PUT", "/v1/addresses", `{"webrtc":[]}`, 204, ""},
		{"base URLs", "PUT", "/v1/addresses", `{"webrtc":[],"http":{"Primary":"http://192.0.2.1"}}`, 204, ""},
		{"wrong media addresses", "PUT", "/v1/addresses", `{"webrtc":["wrong"]}`, 422, `{"errors":["webrtc[0]: wrong","webrtc[1]: wrong too"]}`},
		{"other addresses", "PUT", "/v1/addresses", `{"rtmp":[]}`, 400, "webrtc is missing"},
		{"what a newer operator tells beside them", "PUT", "/v1/addresses", `{"webrtc":[],"srt":["192.0.2.1:9000"]}`, 204, ""},
		{"very many media addresses", "PUT", "/v1/addresses", `{"webrtc":["` + strings.Repeat("x", maxBody) + `"]}`, 400, "too large"},
		{"peers in clear", "PUT", "/v1/peers", `{"clear":["10.0.0.5"]}`, 204, ""},
		{"no peers in clear, and what a newer operator tells beside them", "PUT", "/v1/peers", `{"clear":[],"quic":[]}`, 204, ""},
		{"wrong peers", "PUT", "/v1/peers", `{"clear":["wrong"]}`, 422, `{"errors":["clear[0]: wrong"]}`},
		{"other peers", "PUT", "/v1/peers", `{}`, 400, "clear is missing"},
		{"very many peers", "PUT", "/v1/peers", `{"clear":["` + strings.Repeat("x", maxBody) + `"]}`, 400, "too large"},
		{"no such path", "GET", "/v2", "", 404, ""},
		{"no such method", "POST", "/v1/status", "", 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			w := httptest.NewRecorder()
			NewCommands(b).ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.answer) {
				t.Errorf("got %d %q, want %d and %q", w.Code, w.Body, tt.code, tt.answer)
			}
			if tt.code == 204 && b.manifest == "" && b.selected == "" && b.told.WebRTC == nil && b.clear == nil {
				t.Error("the backend was not told")
			}
		})
	}
}

func TestStatusEventsAreWholeSnapshots(t *testing.T) {
	b := &backend{changed: make(chan struct{})}
	server := httptest.NewServer(NewCommands(b))
	defer server.Close()
	events := subscribe(t, server.URL+"/v1/events")
	var first, second control.Status
	events.next(t, "status", &first)
	b.selected = "Backup"
	changed := b.changed
	b.changed = make(chan struct{})
	close(changed)
	events.next(t, "status", &second)
	events.close()
	if first.Pairs[0].Select != "" || second.Pairs[0].Select != "Backup" {
		t.Errorf("got select %q, then %q", first.Pairs[0].Select, second.Pairs[0].Select)
	}
}

func TestProbe(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics.New(registry).StreamsLive.Set(2)
	var notReady error
	h := NewProbe(registry, func() error { return notReady })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, body := get(path); code != 200 {
			t.Errorf("GET %s: %d %s", path, code, body)
		}
	}
	if _, body := get("/metrics"); !strings.Contains(body, "streampair_streams_live 2") {
		t.Errorf("metrics lack the streams: %s", body)
	}
	notReady = errors.New("no address yet")
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "no address yet") {
		t.Errorf("not ready: got %d %q", code, body)
	}
}

// silentOutput and silentAudio take what a pair plays.
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
	mux := http.NewServeMux()
	NewEvents(EventsConfig{
		Open: func(_ netip.Prefix, _, streamID, backupID string) (*failover.Pair, func(), error) {
			if streamID != "primary" || backupID != "backup" {
				return nil, nil, errors.New("no more pairs")
			}
			return pair, func() { close(released) }, nil
		},
		Authorize: func(_, _, _, token string) error {
			if token == "paused" {
				return access.ErrUnknownStream
			}
			if token != "secret" {
				return errors.New("the token is missing or wrong")
			}
			return nil
		},
		Epoch: registry.Epoch(), Metrics: m,
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

	events := subscribe(t, server.URL+"/live/events/primary?backupStreamId=backup&token=secret")
	var waiting, playing State
	events.next(t, "state", &waiting)
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
		events.next(t, "state", &playing)
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
	events.next(t, "heartbeat", &beat)
	events.close()
	select {
	case <-released:
	case <-time.After(10 * time.Second):
		t.Error("the pair was not released when the player went away")
	}
}

// subscription is an event stream being read.
type subscription struct {
	body  io.ReadCloser
	lines *bufio.Scanner
	stop  context.CancelFunc
}

func subscribe(t *testing.T, url string) *subscription {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if ct := answer.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q, status %s", ct, answer.Status)
	}
	return &subscription{answer.Body, bufio.NewScanner(answer.Body), stop}
}

func (s *subscription) close() {
	s.stop()
	_ = s.body.Close()
}

// next reads up to the next event of that name, into v.
func (s *subscription) next(t *testing.T, name string, v any) {
	t.Helper()
	found := false
	for s.lines.Scan() {
		line := s.lines.Text()
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			found = event == name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && found {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				t.Fatalf("event %s: %v in %q", name, err, data)
			}
			return
		}
	}
	t.Fatalf("no event %s: %v", name, s.lines.Err())
}

func TestAManifestSaysWhetherItsOperatorTellsOfPeers(t *testing.T) {
	for value, want := range map[string]int{"": 1, "1": 0} {
		b := &backend{}
		r := httptest.NewRequest("PUT", "/v1/config", strings.NewReader("stale")) // which is said even so
		if value != "" {
			r.Header.Set(control.HeaderTellsPeers, value)
		}
		NewCommands(b).ServeHTTP(httptest.NewRecorder(), r)
		if b.old != want {
			t.Errorf("header %q: an operator of a version before was heard %d times, want %d", value, b.old, want)
		}
	}
}
