package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// readEvery is how often a pod is read, and readTimeout how long an answer may take.
	readEvery, readTimeout = 500 * time.Millisecond, 5 * time.Second
	// podRetry is the wait after a pod could not be reached.
	podRetry = time.Second
	// maxReading and maxThumbnail bound the answers of a pod, in bytes.
	maxReading, maxThumbnail = 4 << 20, 256 << 10
	// maxPodError bounds what a node says of a connection that it could not make, in bytes.
	maxPodError = 4 << 10
)

// A reading is what a pod has told last.
type reading struct {
	status   *control.Status // nil: nothing yet
	measures *control.Measures
	at       time.Time // of status and measures
	err      error     // why the pod does not tell now; nil: it does
}

// A podReader reads the pod of a leg. It goes through the API server as kubectl port-forward does,
// and opens no port of this machine: other users of this machine would reach such a port.
type podReader struct {
	plugin *plugin
	role   v1alpha1.Role
	now    func() time.Time
	// slowAfter is when an attempt to reach the pod is said to be slow. Default: apiTimeout.
	slowAfter time.Duration

	mu     sync.Mutex // guards all below
	got    reading
	client *http.Client // nil: the pod is not reached
}

func (r *podReader) last() reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// run reads until ctx ends. When the pod goes, another one of the leg is looked for.
func (r *podReader) run(ctx context.Context, pair *v1alpha1.StreamPair) {
	for ctx.Err() == nil {
		r.fail(r.follow(ctx, pair))
		select {
		case <-ctx.Done():
		case <-time.After(podRetry):
		}
	}
}

// fail notes why the pod does not tell now.
func (r *podReader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got.err, r.client = err, nil
}

// follow reads one pod until it cannot be read, and returns why.
func (r *podReader) follow(ctx context.Context, pair *v1alpha1.StreamPair) error {
	pod, err := r.plugin.connect(ctx, pair, r.role, cmp.Or(r.slowAfter, apiTimeout), r.fail)
	if err != nil {
		return err
	}
	defer pod.close()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		got := pod.read(ctx)
		if got.err != nil {
			return got.err
		}
		got.at = r.now()
		r.take(got, pod.client)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pod.tunnel.CloseChan():
			return fmt.Errorf("the connection to pod %s is lost", pod.name)
		case <-tick.C:
		}
	}
}

// take notes what the pod has told.
func (r *podReader) take(got reading, from *http.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.client = got, from
}

// A podConnection is a connection to the monitor port of a pod.
type podConnection struct {
	name      string // of the pod
	tunnel    *tunnel
	transport *http.Transport
	client    *http.Client
}

// connect connects to a ready pod of a leg. slowAfter and slow are as for tunnelTo.
func (p *plugin) connect(ctx context.Context, pair *v1alpha1.StreamPair, role v1alpha1.Role, slowAfter time.Duration, slow func(error)) (*podConnection, error) {
	lookup, cancel := context.WithTimeout(ctx, apiTimeout)
	pod, err := p.readyPod(lookup, pair, role)
	cancel()
	if err != nil {
		return nil, err
	}
	tunnel, err := p.tunnelTo(ctx, pod, slowAfter, slow)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: tunnel.dial, MaxConnsPerHost: 4}
	return &podConnection{name: pod.Name, tunnel: tunnel, transport: transport, client: &http.Client{Transport: transport, Timeout: readTimeout}}, nil
}

func (c *podConnection) close() {
	c.transport.CloseIdleConnections()
	_ = c.tunnel.Close()
}

// read reads the pod once. The reading has status and measures, or an error.
func (c *podConnection) read(ctx context.Context) reading {
	got := reading{status: &control.Status{}, measures: &control.Measures{}}
	for path, into := range map[string]any{"/v1/status": got.status, "/v1/measures": got.measures} {
		body, err := get(ctx, c.client, path, maxReading)
		if err != nil {
			return reading{err: errors.Join(c.tunnel.refusal(), err)}
		}
		if err := json.Unmarshal(body, into); err != nil {
			return reading{err: fmt.Errorf("read %s: %w", path, err)}
		}
	}
	return got
}

// thumbnail reads the picture of a stream; empty: there is none.
func (r *podReader) thumbnail(ctx context.Context, app, streamID string) ([]byte, error) {
	r.mu.Lock()
	from := r.client
	r.mu.Unlock()
	if from == nil {
		return nil, nil
	}
	jpeg, err := get(ctx, from, "/v1/thumbnails/"+url.PathEscape(app)+"/"+url.PathEscape(streamID), maxThumbnail)
	if errors.Is(err, errNotThere) {
		return nil, nil
	}
	return jpeg, err
}

var errNotThere = errors.New("the pod does not have this")

// get reads a path of the pod, at most limit bytes.
func get(ctx context.Context, from *http.Client, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := from.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNotThere
	default:
		return nil, fmt.Errorf("read %s: %s", path, answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("read %s: longer than %d bytes", path, limit)
	}
	return body, err
}

// A tunnel is a connection by way of the API server to the monitor port of a pod.
type tunnel struct {
	httpstream.Connection
	requests atomic.Int64
	refused  atomic.Pointer[error] // what the node said last of the port
}

// tunnelTo connects to a pod. slow is told if the API server has not answered after slowAfter. client-go
// cannot end such an attempt, so tunnelTo goes on to wait for the attempt, until ctx ends.
func (p *plugin) tunnelTo(ctx context.Context, pod *corev1.Pod, slowAfter time.Duration, slow func(error)) (*tunnel, error) {
	dialer, err := p.dialer(pod)
	if err != nil {
		return nil, err
	}
	type attempt struct {
		httpstream.Connection
		err error
	}
	attempts := make(chan attempt, 1)
	go func() { // ends with the attempt, or with the program
		connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		attempts <- attempt{connection, err}
	}()
	late := time.NewTimer(slowAfter)
	defer late.Stop()
	for {
		select {
		case got := <-attempts:
			if got.err != nil {
				return nil, fmt.Errorf("forward to pod %s: %w", pod.Name, got.err)
			}
			return &tunnel{Connection: got.Connection}, nil
		case <-late.C:
			slow(fmt.Errorf("forward to pod %s: the API server does not answer", pod.Name))
		case <-ctx.Done():
			go func() {
				if got := <-attempts; got.err == nil {
					_ = got.Close()
				}
			}()
			return nil, ctx.Err()
		}
	}
}

// dial opens a connection inside the tunnel: a pair of streams with the same number.
func (t *tunnel) dial(context.Context, string, string) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(control.MonitorPort))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(t.requests.Add(1), 10))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	errs, err := t.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	_ = errs.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := t.CreateStream(headers)
	if err != nil {
		_ = errs.Reset()
		return nil, err
	}
	go func() { // ends with the stream, which ends with the tunnel
		message, _ := io.ReadAll(io.LimitReader(errs, maxPodError))
		if len(message) > 0 {
			refusal := refusalOf(string(message))
			t.refused.Store(&refusal)
			_ = data.Reset()
		}
	}()
	return &tunnelConn{Stream: data, close: func() {
		_ = data.Reset()
		t.RemoveStreams(data, errs)
	}}, nil
}

// refusalOf returns the error for what a node says of a port that it could not connect to.
func refusalOf(message string) error {
	if strings.Contains(strings.ToLower(message), "connection refused") {
		return errNoMonitorPort
	}
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return fmt.Errorf("its node cannot connect to it: %s", line)
}

// refusal returns what the node said of the port; nil: nothing.
func (t *tunnel) refusal() error {
	if err := t.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// A tunnelConn is a stream as a net.Conn. Its deadlines do nothing: http.Client has its own.
type tunnelConn struct {
	httpstream.Stream
	close func()
}

type tunnelAddr struct{}

func (tunnelAddr) Network() string { return "portforward" }
func (tunnelAddr) String() string  { return "pod" }

// Close ends both directions.
func (c *tunnelConn) Close() error {
	c.close()
	return nil
}

// LocalAddr implements net.Conn.
func (*tunnelConn) LocalAddr() net.Addr { return tunnelAddr{} }

// RemoteAddr implements net.Conn.
func (*tunnelConn) RemoteAddr() net.Addr { return tunnelAddr{} }

// SetDeadline implements net.Conn.
func (*tunnelConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (*tunnelConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (*tunnelConn) SetWriteDeadline(time.Time) error { return nil }
