package peer

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// connectTimeout is how long the peer may take to accept a connection, and again to begin its
	// answer.
	connectTimeout = time.Second
	// A lost connection is tried again within retryWithin, at a random moment, so that the streams
	// of many pairs do not come at once. A peer that has been away for long is asked less often:
	// after a retryShare-th of that time, but at least once every seldom.
	retryWithin = 250 * time.Millisecond
	seldom      = 500 * time.Millisecond
	retryShare  = 20
	// proven is how long a connection must last before the peer counts as back. A connection that
	// ends sooner is still the same trouble.
	proven = 2 * time.Second
	// maxRefusal bounds how many bytes of a refusal are read.
	maxRefusal = 512
)

// Peers are the other leg's media servers.
type Peers interface {
	// Bases returns the base URLs of the servers, without a slash at the end.
	Bases() []string
	// Changed returns a channel that is closed when Bases changes.
	Changed() <-chan struct{}
	// Route, Failed and Joined do the same as the methods of Directory.
	Route(base string) Route
	Failed(base string, r Route)
	Joined(base string, r Route) (left func())
}

// ClientConfig configures a Client.
type ClientConfig struct {
	// Peers are the servers to ask. Each is asked by itself: a dead one delays no other. Required.
	Peers Peers
	// TLS configures TLS connections to peers, which prove the peer's and this server's identity.
	// Default: any server with a certificate of the system's roots is a peer.
	TLS *tls.Config
	// Dial connects to a peer; default: by TCP, in at most a second.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Token returns the cluster token in force. It is shown to peers that are reached in clear.
	Token func() string
	// Epoch is the zero point of this server's media clock.
	Epoch time.Time
	// Pull reads the stream by r, again and again, and publishes the media here, until ctx ends.
	// Required.
	Pull func(ctx context.Context, r *Reader, key stream.Key)
	// PullPlaylist reads a playlist by r, again and again, until ctx ends. Required for
	// FollowPlaylists.
	PullPlaylist func(ctx context.Context, r *Reader, key failover.PairKey)
	// PullMeasures reads what the peer measures of a stream, again and again, until ctx ends. Default:
	// nothing is read.
	PullMeasures func(ctx context.Context, r *Reader, key stream.Key)
	// Recovery confines a panic to its Reader. Default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A SharedPair is a pair that is played here and at the peer.
type SharedPair struct {
	failover.PairKey
	Pair *failover.Pair
}

// A Client reads what the peers have: how each pair stands there, and the streams that are published
// there. Two peers may have the same leg, so a Client asks each peer for everything.
type Client struct {
	cfg  ClientConfig
	http *http.Client

	running sync.WaitGroup

	mu        recovery.Mutex // guards all below
	closed    bool
	pairs     []SharedPair
	playlists []failover.PairKey
	standings map[SharedPair]*pairStandings
	readers   map[resource]context.CancelFunc // ends each Reader
}

// A resource is what a Reader asks one of the peers for: a SharedPair, a stream.Key, the
// failover.PairKey of a playlist, or the measures of a stream.
type resource struct {
	base string
	what any
}

// measuresOf is the resource of the measures of a stream.
type measuresOf struct{ stream.Key }

// NewClient returns a Client. Call Run to start it.
func NewClient(cfg ClientConfig) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	return &Client{
		cfg: cfg, standings: make(map[SharedPair]*pairStandings), readers: make(map[resource]context.CancelFunc),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:            cfg.Dial,
				TLSClientConfig:        cfg.TLS,
				TLSHandshakeTimeout:    connectTimeout,
				ResponseHeaderTimeout:  connectTimeout,
				MaxResponseHeaderBytes: 16 << 10,
				DisableKeepAlives:      true, // an answer lasts as long as its connection
				DisableCompression:     true,
			},
			// Only the peers may see the token.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Run relays from the current peers until ctx ends. It returns when all Readers have ended.
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
	for _, stop := range c.readers {
		stop()
	}
	c.mu.Unlock()
	c.running.Wait()
	return ctx.Err()
}

// Follow sets the pairs that are relayed.
func (c *Client) Follow(pairs []SharedPair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pairs = pairs
	c.arrange()
}

// FollowPlaylists sets the playlists that are read from the peers: of a pair, or of one stream, whose
// key has no backup.
func (c *Client) FollowPlaylists(keys []failover.PairKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.playlists = keys
	c.arrange()
}

// arrange begins and ends Readers, so that each resource of each peer has one. c.mu must be held.
func (c *Client) arrange() {
	if c.closed {
		return
	}
	wanted := make(map[resource]func(context.Context))
	standings := make(map[SharedPair]*pairStandings)
	for _, p := range c.pairs {
		standings[p] = c.standings[p]
		if standings[p] == nil {
			standings[p] = newPairStandings(p.Pair)
		}
	}
	for _, base := range c.cfg.Peers.Bases() {
		for p, known := range standings {
			reader := c.reader(base, "pair", p.String())
			wanted[resource{base, p}] = (&standingReader{Reader: reader, pair: p.PairKey, standings: known}).run
			for _, leg := range []failover.Role{failover.Primary, failover.Backup} {
				key := p.Stream(leg)
				reader := c.reader(base, "stream", key.String())
				wanted[resource{base, key}] = func(ctx context.Context) { c.cfg.Pull(ctx, reader, key) }
				if c.cfg.PullMeasures != nil {
					reader := c.reader(base, "measures", key.String())
					wanted[resource{base, measuresOf{key}}] = func(ctx context.Context) { c.cfg.PullMeasures(ctx, reader, key) }
				}
			}
		}
		for _, key := range c.playlists {
			reader := c.reader(base, "playlist", key.String())
			wanted[resource{base, key}] = func(ctx context.Context) { c.cfg.PullPlaylist(ctx, reader, key) }
		}
	}
	for r, stop := range c.readers {
		if wanted[r] == nil {
			stop()
			delete(c.readers, r)
		}
	}
	for r, run := range wanted {
		if c.readers[r] == nil {
			ctx, stop := context.WithCancel(context.Background()) // until it is not wanted, or Run ends
			c.readers[r] = stop
			c.running.Go(func() { c.keepRunning(ctx, run) })
		}
	}
	c.standings = standings
}

// Standings returns how pair p stands at the peers that can be heard.
func (c *Client) Standings(p *failover.Pair) []failover.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	for shared, known := range c.standings {
		if shared.Pair == p {
			return known.all()
		}
	}
	return nil
}

// keepRunning runs a Reader until ctx ends. After a panic the Reader rests for as long as an expelled
// publisher is refused: the peer would send the same data again.
func (c *Client) keepRunning(ctx context.Context, run func(context.Context)) {
	for c.cfg.Recovery.Do("relay", func() { run(ctx) }) != nil {
		if !Wait(ctx, stream.ExpulsionTime) {
			return
		}
	}
}
