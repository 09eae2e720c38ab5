package pods

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

const fakeToken = "cluster-token-of-the-pair-sunday"

var (
	sunday        = types.NamespacedName{Namespace: "live", Name: "sunday"}
	sundayPrimary = Key{"live", "sunday", v1alpha1.RolePrimary, "uid-1"}
)

// fakePod is the command port of a media pod, without the media pod.
type fakePod struct {
	certificate tls.Certificate
	pem         []byte
	server      *http.Server
	// events serves GET /v1/events. By default it sends what send is given.
	events http.HandlerFunc
	out    chan string
	hangUp chan struct{}

	mu      sync.Mutex // guards all below
	token   string
	put     http.HandlerFunc // serves PUT; by default 204
	streams int              // opened so far
	puts    []string         // path and body
}

func newFakePod(tb testing.TB) *fakePod {
	tb.Helper()
	f := &fakePod{out: make(chan string), hangUp: make(chan struct{}), token: fakeToken}
	f.certificate, f.pem = fakeCertificate(tb)
	f.events = f.stream
	f.put = accept
	f.server = &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
	return f
}

func accept(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func fakeCertificate(tb testing.TB) (tls.Certificate, []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sunday-control.live.streampair"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serve serves TLS on the listener until the test ends.
func (f *fakePod) serve(tb testing.TB, l net.Listener) {
	tb.Helper()
	// A session ticket would be written while the client
	// writes its request, and a pipe buffers neither.
	config := &tls.Config{Certificates: []tls.Certificate{f.certificate}, SessionTicketsDisabled: true}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.server.Serve(tls.NewListener(l, config))
	}()
	tb.Cleanup(func() {
		_ = f.server.Close()
		<-done
	})
}

func (f *fakePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	token, put := f.token, f.put
	f.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(control.Error{Errors: []string{"the bearer token is missing", "or wrong"}})
		return
	}
	if r.Method == http.MethodPut {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.puts = append(f.puts, r.URL.Path+" "+string(body))
		f.mu.Unlock()
		put(w, r)
		return
	}
	f.mu.Lock()
	f.streams++
	events := f.events
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	events(w, r)
}

func (f *fakePod) stream(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-f.hangUp:
			return
		case text := <-f.out:
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			_ = flush.Flush()
		}
	}
}

func (f *fakePod) change(token string, put http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token, f.put = token, put
}

// answerWith replaces what serves GET /v1/events, and returns the previous handler.
func (f *fakePod) answerWith(events http.HandlerFunc) (before http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.events = f.events, events
	return before
}

func (f *fakePod) opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams
}

func (f *fakePod) received() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	puts := f.puts
	f.puts = nil
	return puts
}

// send sends an event with a status.
func (f *fakePod) send(s control.Status) { f.out <- statusEvent(s) }

func statusEvent(s control.Status) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return "event: status\ndata: " + string(data) + "\n\n"
}

func (f *fakePod) target(key Key) Target {
	return Target{
		Key: key, Name: "sunday-primary-0", Address: "192.0.2.1:9091", Token: fakeToken,
		Certificate: f.pem, ServerName: "sunday-control.live.streampair",
	}
}

// playing returns a status of the pair sunday with this leg on air.
func playing(leg string) control.Status {
	since := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	return control.Status{
		Version: "1.0", BootID: "boot-1", StartTime: since,
		Streams: []control.Stream{
			{App: "live", StreamID: "primary", Publishing: true, BitrateBPS: 2_400_000, EntryPoint: true, Video: &control.Track{Codec: "H264", FrameRate: 30}},
			{App: "live", StreamID: "backup", Publishing: true, BitrateBPS: 2_400_000, EntryPoint: true, Video: &control.Track{Codec: "H264", FrameRate: 30}},
		},
		Pairs: []control.Pair{{
			Name: "sunday", Declared: true, App: "live", PrimaryID: "primary", BackupID: "backup", Active: leg, OnAir: leg != "",
			Reason: "Started", Since: &since, Select: "Auto",
			Legs: []control.Leg{
				{Role: "Primary", StreamID: "primary", Live: true, Rank: "Full", EntryPoint: true},
				{Role: "Backup", StreamID: "backup", Live: true, Rank: "Full", EntryPoint: true},
			},
		}},
	}
}

// pipes is an in-memory network that works in a synctest bubble. Each address has its pod.
type pipes struct {
	mu        sync.Mutex // guards listeners
	listeners map[string]*pipeListener
}

type pipeListener struct {
	address  net.Addr
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (n *pipes) listen(address string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*pipeListener{}
	}
	l := &pipeListener{address: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, accepted: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l
}

func (n *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{}, Err: io.ErrClosedPipe}
	if l == nil {
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.address }

// followed is a running Streams in a bubble, with one fake pod.
type followed struct {
	*Streams
	t       *testing.T
	network *pipes
	pod     *fakePod
	stop    context.CancelFunc
}

// inBubble runs a test in a synctest bubble. The primary's pod of
// the pair sunday is served at 192.0.2.1:9091 but not followed yet.
func inBubble(t *testing.T, test func(*testing.T, *followed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &followed{Streams: New(Config{}), t: t, network: &pipes{}, pod: newFakePod(t)}
		f.Streams.dial = f.network.dial
		f.pod.serve(t, f.network.listen("192.0.2.1:9091"))
		ctx, stop := context.WithCancel(t.Context())
		f.stop = stop
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		test(t, f)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// hinted returns the pairs that were hinted at, once nothing more happens.
func (f *followed) hinted() []types.NamespacedName {
	var pairs []types.NamespacedName
	for {
		synctest.Wait()
		select {
		case e := <-f.hints.Delivered():
			pairs = append(pairs, e.Object)
		default:
			return pairs
		}
	}
}

// wantHints checks how often the pair sunday was hinted at since the last call.
func (f *followed) wantHints(want int, why string) {
	f.t.Helper()
	got := f.hinted()
	if len(got) != want {
		f.t.Errorf("%s: %d hints, want %d", why, len(got), want)
	}
	for _, pair := range got {
		if pair != sunday {
			f.t.Errorf("%s: hint at %v", why, pair)
		}
	}
}

// connect follows the pod and waits for its first status.
func (f *followed) connect() {
	f.t.Helper()
	f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
	f.pod.send(playing("Primary"))
	f.wantHints(1, "the pod connects")
	if s := f.State(sundayPrimary); !s.Connected {
		f.t.Fatalf("not connected: %+v", s)
	}
}
