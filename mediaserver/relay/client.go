package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/pairtls"
	"github.com/streampair/streampair/mediaserver/peers"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// connectTimeout is how long the peer may take to accept a connection, and then to
	// begin its answer.
	connectTimeout = time.Second
	// A lost connection is tried again within retryWithin, at a random moment, so that
	// the streams of many pairs do not come at once. A peer that has been away for long
	// is asked less often: after a retryShare-th of that time, or seldom.
	retryWithin = 250 * time.Millisecond
	seldom      = 500 * time.Millisecond
	retryShare  = 20
	// proven is how long a connection lasts before the peer counts as being there again:
	// one that ends sooner is still the same trouble.
	proven = 2 * time.Second
	// maxRefusal is how much of a refusal is read.
	maxRefusal = 512
)

// Peers are the other leg's media servers.
type Peers interface {
	// Bases are their base URLs, without a slash at the end.
	Bases() []string
	// Changed returns a channel that is closed when Bases changes.
	Changed() <-chan struct{}
	// Route, Failed and Joined are as those of peers.Directory.
	Route(base string) peers.Route
	Failed(base string, r peers.Route)
	Joined(base string, r peers.Route) (left func())
}

// ClientConfig configures a Client.
type ClientConfig struct {
	// Peers are asked, each by itself: one that is dead delays no other. Required.
	Peers Peers
	// TLS is how peers are connected to over TLS, which proves who they are and who this
	// server is. Default: any server with a certificate of the system's roots is a peer.
	TLS *tls.Config
	// Dial connects to a peer; default: by TCP, in at most a second.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Token returns the cluster token in force, which is shown to peers that are reached in
	// clear.
	Token func() string
	// Registry is where it is published; required.
	Registry *stream.Registry
	// Changed returns a channel that is closed when a stream of the registry changes.
	Changed func() <-chan struct{}
	// Recovery keeps a panic to its link; default: it ends the process.
	Recovery *recovery.Recovery
	// Logger; default none.
	Logger *slog.Logger
	// Metrics; required.
	Metrics *metrics.Metrics
}

// A Twin is a pair that is played here and at the peer.
type Twin struct {
	App, PrimaryID, BackupID string
	Pair                     *failover.Pair
}

// A Client reads from the peers what is published there.
type Client struct {
	cfg  ClientConfig
	http *http.Client

	running sync.WaitGroup

	mu       recovery.Mutex // guards all below
	closed   bool
	twins    []Twin
	choruses map[Twin]*chorus
	links    map[resource]context.CancelFunc
}

// A resource is what a link is for: a Twin or a stream.Key, at one of the peers.
type resource struct {
	base string
	what any
}

// NewClient returns a Client; call Run.
func NewClient(cfg ClientConfig) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	return &Client{
		cfg: cfg, choruses: make(map[Twin]*chorus), links: make(map[resource]context.CancelFunc),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:            cfg.Dial,
				TLSClientConfig:        cfg.TLS,
				TLSHandshakeTimeout:    connectTimeout,
				ResponseHeaderTimeout:  connectTimeout,
				MaxResponseHeaderBytes: 16 << 10,
				DisableKeepAlives:      true, // an answer ends with its connection
				DisableCompression:     true,
			},
			// The token is for the peers alone.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Run relays from the peers that there are until ctx ends, and then ends all of it.
func (c *Client) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := c.cfg.Peers.Changed()
		c.mu.Lock()
		c.arrange()
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	c.mu.Lock()
	c.closed = true
	for _, stop := range c.links {
		stop()
	}
	c.mu.Unlock()
	c.running.Wait()
	return ctx.Err()
}

// Follow makes these the pairs that are relayed.
func (c *Client) Follow(twins []Twin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.twins = twins
	c.arrange()
}

// arrange begins and ends links, so that there is one for each resource of each peer. c.mu
// is held.
func (c *Client) arrange() {
	if c.closed {
		return
	}
	wanted := make(map[resource]func(context.Context))
	choruses := make(map[Twin]*chorus)
	for _, t := range c.twins {
		choruses[t] = c.choruses[t]
		if choruses[t] == nil {
			choruses[t] = newChorus(t.Pair)
		}
	}
	for _, base := range c.cfg.Peers.Bases() {
		for t, chorus := range choruses {
			link := c.link(base, "pair", t.App+"/"+t.PrimaryID+"+"+t.BackupID)
			wanted[resource{base, t}] = (&standings{link: link, twin: t, chorus: chorus}).run
			for _, id := range []string{t.PrimaryID, t.BackupID} {
				key := stream.Key{App: t.App, ID: id}
				wanted[resource{base, key}] = (&puller{link: c.link(base, "stream", key.String()), key: key}).run
			}
		}
	}
	for r, stop := range c.links {
		if wanted[r] == nil {
			stop()
			delete(c.links, r)
		}
	}
	for r, run := range wanted {
		if c.links[r] == nil {
			ctx, stop := context.WithCancel(context.Background()) // until it is not wanted, or Run ends
			c.links[r] = stop
			c.running.Go(func() { c.keepRunning(ctx, run) })
		}
	}
	c.choruses = choruses
}

// Standings are how a pair stands at those peers that can be heard.
func (c *Client) Standings(p *failover.Pair) []failover.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t, chorus := range c.choruses {
		if t.Pair == p {
			return chorus.all()
		}
	}
	return nil
}

// Reasons for which a connection to the peer ends, as metrics have them.
const (
	failedConnect   = "connect"   // nobody accepts it
	failedUntrusted = "untrusted" // who answers has not proved to be the peer
	failedRefused   = "refused"   // the answer is not what was asked for
	failedClosed    = "closed"    // the peer closed it
	failedSilent    = "silent"    // nothing came for too long
	failedMalformed = "malformed" // the peer sent nonsense
	failedRoute     = "route"     // the peer is reached in another way from now on; not counted
)

// A failure is the end of a connection to the peer.
type failure struct {
	reason string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

var (
	errSilent = errors.New("the peer has not been heard")
	errEnded  = errors.New("the peer ended its answer")
)

// hung says whether the connection may have ended although the peer still has what it
// was asked for: nothing came, neither media nor a goodbye, or another connection follows.
func hung(err error) bool {
	var f *failure
	if !errors.As(err, &f) {
		return false
	}
	var network net.Error
	return f.reason == failedSilent || f.reason == failedRoute || f.reason == failedConnect && errors.As(err, &network) && network.Timeout()
}

// A link is one resource of the peer that is asked for again and again. It is for one
// goroutine.
type link struct {
	client *Client
	base   string
	log    *slog.Logger
	// lostAt is when the link was lost; zero while it is up. upSince is since when it may be
	// up again.
	lostAt, upSince time.Time
}

func (c *Client) link(base, kind, name string) link {
	return link{client: c, base: base, log: c.cfg.Logger.With("peer", base, kind, name)}
}

// open asks the peer for path, and returns the answer's body, which must be closed. It
// can be read until the peer has been silent for too long.
func (l *link) open(ctx context.Context, path string) (*answerBody, error) {
	directory := l.client.cfg.Peers
	route := directory.Route(l.base)
	ctx, cancel := route.Bind(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, route.Base+path, nil)
	if err != nil {
		cancel(nil)
		return nil, &failure{failedConnect, fmt.Errorf("ask for %s: %w", path, err)}
	}
	if route.Clear { // else the handshake proves more than a token does
		req.Header.Set("Authorization", "Bearer "+l.client.cfg.Token())
		req.Header.Set(relayHeader, "1")
	}
	res, err := l.client.http.Do(req) //nolint:bodyclose // answerBody closes it
	if err != nil {
		defer cancel(nil)
		directory.Failed(l.base, route)
		return nil, unconnected(context.Cause(ctx), err)
	}
	b := &answerBody{body: res.Body, cancel: cancel, cause: func() error { return context.Cause(ctx) }, left: func() {}}
	b.silence = time.AfterFunc(silence, func() { cancel(errSilent) })
	if res.StatusCode != http.StatusOK {
		defer b.Close()
		if res.StatusCode == http.StatusForbidden {
			directory.Failed(l.base, route) // the peer does not serve in clear
		}
		text, _ := io.ReadAll(io.LimitReader(b, maxRefusal))
		return nil, &failure{failedRefused, fmt.Errorf("the peer answers %s: %.200q", res.Status, text)}
	}
	b.left = directory.Joined(l.base, route)
	return b, nil
}

// unconnected is the failure of a request that was not answered; cause is why its context
// ended, if it did.
func unconnected(cause, err error) *failure {
	var unsaid *url.Error // it would name the URL in each line of the log
	if errors.As(err, &unsaid) {
		err = unsaid.Err
	}
	var stranger *pairtls.Refusal
	switch {
	case errors.Is(cause, peers.ErrRouteOver):
		return &failure{failedRoute, cause}
	case errors.As(err, &stranger):
		return &failure{failedUntrusted, fmt.Errorf("nothing was sent to whoever answers at the peer's address: %w", err)}
	}
	return &failure{failedConnect, fmt.Errorf("connect to the peer: %w", err)}
}

// up notes that the peer gives what it was asked for.
func (l *link) up() {
	switch {
	case l.lostAt.IsZero():
	case l.upSince.IsZero():
		l.upSince = time.Now()
	case time.Since(l.upSince) >= proven:
		l.log.Info("relay restored", "after", l.upSince.Sub(l.lostAt).Round(time.Millisecond))
		l.lostAt = time.Time{}
	}
}

// lost notes the end of a connection, and waits until the next is due. It says whether
// there is to be one.
func (l *link) lost(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	reason := failedClosed
	var f *failure
	if errors.As(err, &f) {
		reason = f.reason
	}
	if reason == failedRoute {
		return true // nothing is wrong
	}
	l.client.cfg.Metrics.RelayFailures.WithLabelValues(reason).Inc()
	if l.lostAt.IsZero() {
		l.lostAt = time.Now()
		l.log.Warn("relay lost", "reason", reason, "error", err)
	}
	l.upSince = time.Time{}
	within := min(max(retryWithin, time.Since(l.lostAt)/retryShare), seldom)
	if hung(err) {
		within = retryWithin // it was slow enough
	}
	return wait(ctx, within/10+rand.N(within-within/10)) //nolint:gosec // no secret: only two servers' moments must differ
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// An answerBody is the body of an answer without an end.
type answerBody struct {
	body    io.ReadCloser
	cancel  context.CancelCauseFunc // ends the request
	cause   func() error            // why it ended
	silence *time.Timer
	left    func() // tells that the peer answers no longer
}

// Read fails with a failure when the connection is of no use any more.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.silence.Reset(silence)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(b.cause(), peers.ErrRouteOver):
		return n, &failure{failedRoute, peers.ErrRouteOver}
	case errors.Is(b.cause(), errSilent):
		return n, &failure{failedSilent, fmt.Errorf("%w for %v", errSilent, silence)}
	case errors.Is(err, io.EOF): // which those who parse would take for their own
		return n, &failure{failedClosed, errEnded}
	}
	return n, &failure{failedClosed, fmt.Errorf("read from the peer: %w", err)}
}

// Close ends the request.
func (b *answerBody) Close() {
	b.silence.Stop()
	b.cancel(nil)
	_ = b.body.Close()
	b.left()
}
