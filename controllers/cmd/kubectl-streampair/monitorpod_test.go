package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/eventually"
)

// fakeAPI forwards the monitor ports of pods as an API server and a node do. Its pods are HTTP servers of
// this machine.
type fakeAPI struct {
	t    *testing.T
	pods map[string]string // the address of each pod's server, host:port, by the pod's name
	// hangs is closed when the API server answers again; nil: it answers.
	hangs chan struct{}
	// refuses answers a request to forward to a pod, if it returns true. Nil: none is refused.
	refuses func(w http.ResponseWriter, r *http.Request, pod string) bool

	mu    sync.Mutex // guards all below
	ports []string   // that were asked for
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pod := path.Base(path.Dir(r.URL.Path))
	if f.hangs != nil {
		select {
		case <-f.hangs:
		case <-r.Context().Done():
		}
	}
	if f.refuses != nil && f.refuses(w, r, pod) {
		return
	}
	if r.Method != http.MethodPost { // WebSocket
		http.Error(w, "something on the way does not let WebSocket through", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		f.t.Errorf("handshake: %v", err)
		return
	}
	forward := &fakeForward{api: f, pod: f.pods[pod], waiting: make(map[string]httpstream.Stream)}
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		go forward.take(s)
		return nil
	})
	if connection != nil {
		<-connection.CloseChan()
	}
}

// fakeForward is one connection to a pod.
type fakeForward struct {
	api *fakeAPI
	pod string // host:port
	// waiting has the streams whose other one has not come. api.mu guards it.
	waiting map[string]httpstream.Stream
}

// take takes one of the two streams of a connection, and connects the second one.
func (f *fakeForward) take(s httpstream.Stream) {
	id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
	f.api.mu.Lock()
	other := f.waiting[id]
	f.waiting[id] = s
	f.api.ports = append(f.api.ports, s.Headers().Get(corev1.PortHeader))
	f.api.mu.Unlock()
	if other == nil {
		return
	}
	data, errs := s, other
	if data.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
		data, errs = other, s
	}
	to, err := net.Dial("tcp", f.pod)
	if err != nil {
		_, _ = io.WriteString(errs, err.Error())
		_ = errs.Close()
		return
	}
	go func() {
		_, _ = io.Copy(to, data)
		_ = to.Close()
	}()
	_, _ = io.Copy(data, to)
	_ = data.Close()
	_ = errs.Close()
}

// start serves until the test ends, and returns the API server's address.
func (f *fakeAPI) start() *rest.Config {
	server := httptest.NewServer(f)
	f.t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

// mediaPod returns a ready pod of a leg.
func mediaPod(role v1alpha1.Role) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday-" + objects.LegName(role) + "-x", Labels: objects.LegSelector("sunday", role)},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// readerOf returns a podReader of a pod that is a server of this machine.
func readerOf(t *testing.T, pod string) (*podReader, *fakeAPI) {
	t.Helper()
	object := mediaPod(v1alpha1.RolePrimary)
	api := &fakeAPI{t: t, pods: map[string]string{object.Name: pod}}
	p := &plugin{config: api.start(), client: fake.NewClientBuilder().WithObjects(object).Build(), namespace: "live", errOut: t.Output()}
	return &podReader{plugin: p, role: v1alpha1.RolePrimary, now: time.Now}, api
}

// run runs a reader until the test ends.
func (r *podReader) runInTest(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx, sunday()) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

func TestAPodIsReadThroughTheAPIServer(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/v1/status":
			_ = json.NewEncoder(w).Encode(control.Status{BootID: "1", Pairs: []control.Pair{{Name: "sunday", Declared: true}}})
		case "/v1/measures":
			_ = json.NewEncoder(w).Encode(control.Measures{Pairs: []control.PairMeasures{{Name: "sunday"}}})
		case "/v1/thumbnails/live/cam%201":
			_, _ = io.WriteString(w, "JPEG")
		case "/v1/thumbnails/live/huge":
			_, _ = io.WriteString(w, strings.Repeat("x", maxThumbnail+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer pod.Close()
	r, api := readerOf(t, pod.Listener.Addr().String())
	r.runInTest(t)
	eventually.Seen(t, eventually.Patience, "a reading", func() (any, bool) { return r.last(), r.last().status != nil })
	if got := r.last(); got.err != nil || got.pair().Name != "sunday" || got.measures.Pairs[0].Name != "sunday" {
		t.Errorf("read %+v", got)
	}
	for _, tt := range []struct {
		streamID, want string
		fails          bool
	}{{"cam 1", "JPEG", false}, {"cam2", "", false}, {"huge", "", true}} {
		got, err := r.thumbnail(t.Context(), "live", tt.streamID)
		if (err != nil) != tt.fails || !tt.fails && string(got) != tt.want {
			t.Errorf("thumbnail of %s: %.10q, %v; want %q", tt.streamID, got, err, tt.want)
		}
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	for _, port := range api.ports {
		if diff := cmp.Diff("9094", port); diff != "" {
			t.Errorf("port (-want +got):\n%s", diff)
		}
	}
}

// A pod of an earlier release does not listen on the port.
func TestAPodWithoutTheMonitorPortSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	r, _ := readerOf(t, l.Addr().String())
	r.runInTest(t)
	eventually.Seen(t, eventually.Patience, "why the pod does not tell", func() (any, bool) { return r.last().err, errors.Is(r.last().err, errNoMonitorPort) })
	if r.last().status != nil {
		t.Errorf("it has told %+v", r.last().status)
	}
}

func TestALegWithoutAReadyPodSaysSo(t *testing.T) {
	r, _ := readerOf(t, "127.0.0.1:1")
	r.role = v1alpha1.RoleBackup
	r.runInTest(t)
	eventually.Seen(t, eventually.Patience, "why no pod tells", func() (any, bool) {
		return r.last().err, r.last().err != nil && strings.Contains(r.last().err.Error(), "no pod of the backup leg is ready")
	})
}

// An API server that hangs is told, and reached again when it answers. Meanwhile there is one attempt.
func TestAnAPIServerThatHangsIsToldAndReachedAgain(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}))
	defer pod.Close()
	r, api := readerOf(t, pod.Listener.Addr().String())
	api.hangs, r.slowAfter = make(chan struct{}), time.Millisecond
	r.runInTest(t)
	eventually.Seen(t, eventually.Patience, "that the API server hangs", func() (any, bool) {
		return r.last().err, r.last().err != nil && strings.Contains(r.last().err.Error(), "the API server does not answer")
	})
	close(api.hangs)
	eventually.Seen(t, eventually.Patience, "a reading", func() (any, bool) { return r.last(), r.last().err == nil && r.last().status != nil })
}

// Ctrl-C does not wait for an API server that hangs.
func TestAReaderEndsWhileTheAPIServerHangs(t *testing.T) {
	r, api := readerOf(t, "127.0.0.1:1")
	api.hangs, r.slowAfter = make(chan struct{}), time.Millisecond
	defer close(api.hangs)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		r.run(ctx, sunday())
		close(ended)
	}()
	eventually.Seen(t, eventually.Patience, "that the API server hangs", func() (any, bool) { return r.last().err, r.last().err != nil })
	stop()
	select {
	case <-ended:
	case <-time.After(eventually.Patience):
		t.Error("the reader goes on")
	}
}

func TestRefusalOf(t *testing.T) {
	for message, want := range map[string]string{
		"error forwarding port 9094 to pod ab: dial tcp4 127.0.0.1:9094: connect: connection refused": errNoMonitorPort.Error(),
		"socat[1] E connect(5, AF=2 127.0.0.1:9094, 16): Connection refused\n":                        errNoMonitorPort.Error(),
		"error forwarding port 9094: container not running (ab)\nmore":                                "its node cannot connect to it: error forwarding port 9094: container not running (ab)",
	} {
		if diff := cmp.Diff(want, refusalOf(message).Error()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
