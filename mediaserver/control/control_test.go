package control

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a Backend with one pair named sunday.
type backend struct {
	changed  chan struct{}
	manifest string
	selected string
	told     control.MediaAddresses
	clear    []string
	replaced []Replaced
	old      int // manifests of operators that do not tell of peers
}

func (b *backend) NoteOldOperator() { b.old++ }

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
func (b *backend) Measures() control.Measures {
	return control.Measures{Pairs: []control.PairMeasures{{Name: "sunday"}}}
}

func (b *backend) Thumbnail(app, streamID string) ([]byte, time.Time) {
	if app != "live" || streamID != "cam 1" {
		return nil, time.Time{}
	}
	return []byte("JPEG"), time.Unix(1, 0)
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

func (b *backend) Replace(manifest []byte, replaced Replaced) error {
	b.replaced = append(b.replaced, replaced)
	return b.Configure(manifest)
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
		{"measures", "GET", "/v1/measures", "", 200, `"pairs":[{"name":"sunday"`},
		{"a thumbnail", "GET", "/v1/thumbnails/live/cam%201", "", 200, "JPEG"},
		{"no thumbnail", "GET", "/v1/thumbnails/live/cam2", "", 404, "no thumbnail"},
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

func TestWhoReadsCannotCommand(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/v1/status", 200},
		{"GET", "/v1/measures", 200},
		{"GET", "/v1/thumbnails/live/cam%201", 200},
		{"PUT", "/v1/pairs/sunday/select", 404},
		{"PUT", "/v1/config", 404},
		{"PUT", "/v1/measures", 405},
		{"GET", "/v1/events", 404},
	} {
		b := &backend{}
		w := httptest.NewRecorder()
		NewReadings(b).ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(`{"select":"Backup"}`)))
		if w.Code != tt.code || b.selected != "" {
			t.Errorf("%s %s: %d, selected %q; want %d", tt.method, tt.path, w.Code, b.selected, tt.code)
		}
	}
}

func TestStatusEventsAreWholeSnapshots(t *testing.T) {
	b := &backend{changed: make(chan struct{})}
	server := httptest.NewServer(NewCommands(b))
	defer server.Close()
	events := mediatest.FollowEvents(t, server.URL+"/v1/events")
	var first, second control.Status
	events.Next("status", &first)
	b.selected = "Backup"
	changed := b.changed
	b.changed = make(chan struct{})
	close(changed)
	events.Next("status", &second)
	events.Close()
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

func TestAManifestSaysWhetherItsOperatorTellsOfPeers(t *testing.T) {
	for value, want := range map[string]int{"": 1, "1": 0} {
		b := &backend{}
		r := httptest.NewRequest("PUT", "/v1/config", strings.NewReader("stale")) // said even with a stale manifest
		if value != "" {
			r.Header.Set(control.HeaderTellsPeers, value)
		}
		NewCommands(b).ServeHTTP(httptest.NewRecorder(), r)
		if b.old != want {
			t.Errorf("header %q: an operator of a version before was heard %d times, want %d", value, b.old, want)
		}
	}
}

func TestAManifestNamesWhatItReplaces(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		code         int
		want         []Replaced
	}{
		{"nothing", "", 204, nil},
		{"a generation", "7", 204, []Replaced{{Generation: 7}}},
		{"a generation of a pair", "7/6e5f9f6a", 204, []Replaced{{Generation: 7, UID: "6e5f9f6a"}}},
		{"no number", "seven", 400, nil},
		{"no generation", "0", 400, nil},
		{"a generation below none", "-1/6e5f9f6a", 400, nil},
		{"a number beyond all", "99999999999999999999", 400, nil},
		{"a UID of any length", "7/" + strings.Repeat("x", maxUID+1), 400, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{changed: make(chan struct{})}
			r := httptest.NewRequest("PUT", "/v1/config", strings.NewReader("kind: StreamPair"))
			if tt.header != "" {
				r.Header.Set(control.HeaderReplaces, tt.header)
			}
			w := httptest.NewRecorder()
			NewCommands(b).ServeHTTP(w, r)
			if w.Code != tt.code || !slices.Equal(b.replaced, tt.want) {
				t.Errorf("%d %s, replaces %v; want %d, %v", w.Code, w.Body, b.replaced, tt.code, tt.want)
			}
			if taken := b.manifest != ""; taken != (tt.code == 204) {
				t.Errorf("the manifest was taken: %v", taken)
			}
		})
	}
}
