package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/pairtls"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/signalling"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Config configures a Peer.
type Config struct {
	// URL is the base URL of the other leg's media servers, without a slash at the end; empty: this
	// server has no peer.
	URL string
	// Insecure reports whether peers are reached in clear, and served in clear.
	Insecure bool
	// ToldByOperator reports whether the operator made this server, and tells it how each peer is
	// reached. The URL then is http, as in an earlier version. It must not change while pods of that
	// version exist. The server at its host is asked over TLS on RelayPort. The URL's own port is for
	// servers that relay in clear.
	ToldByOperator bool
	// RelayPort is where peers that the operator made are reached over TLS.
	RelayPort uint16
	// Own is this server's own address; zero: unknown.
	Own netip.Addr
	// Role is the leg of this server; empty: both.
	Role failover.Role
	// Origin is the origin of this server's sessions. Required.
	Origin signalling.Origin
	// Lookup returns the addresses of a name. Default: net.DefaultResolver does.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to a peer. Default: it connects by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Pair returns a declared pair, or nil. Required.
	Pair func(failover.PairKey) *failover.Pair
	// Epoch is the zero point of this server's media clock.
	Epoch time.Time
	// Pull relays a stream: see ClientConfig. Required if there is a URL.
	Pull func(ctx context.Context, r *Reader, key stream.Key)
	// PullPlaylist reads a playlist: see ClientConfig.
	PullPlaylist func(ctx context.Context, r *Reader, key failover.PairKey)
	// PullMeasures reads what the peer measures of a stream: see ClientConfig.
	PullMeasures func(ctx context.Context, r *Reader, key stream.Key)
	// OnChange is called when a peer's connection begins or ends, and when the operator says how
	// peers are reached. It must not block. Default: nothing is called.
	OnChange func()
	// Recovery confines a panic to one connection. Default: a panic ends the process.
	Recovery *recovery.Recovery
	// Logger receives the log. Default: nothing is logged.
	Logger *slog.Logger
	// Metrics is required.
	Metrics *metrics.Metrics
}

// A Peer is the other leg's media servers, as this server sees them, whether there are any or not.
type Peer struct {
	cfg Config
	log *slog.Logger

	// Token is the cluster token. It must be loaded before peers are reached in clear.
	Token    ClusterToken
	identity *pairtls.Identity

	directory *Directory // nil: there is no peer
	client    *Client    // nil: there is no peer
	standings *StandingHandler
	forwarder *Forwarder

	counting sync.Mutex // held while the connected peers are counted
}

// New returns a Peer. An error says what is wrong with the URL.
func New(cfg Config) (*Peer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	p := &Peer{cfg: cfg, log: cfg.Logger, identity: pairtls.NewIdentity()}
	p.standings = NewStandingHandler(StandingHandlerConfig{Pair: cfg.Pair, Epoch: cfg.Epoch, Clear: p.ClearAccess()})
	forwarding := ForwarderConfig{
		Own: cfg.Origin, Token: p.Token.relayToken, Clear: p.ClearAccess(), Logger: p.log, Metrics: cfg.Metrics,
	}
	if cfg.URL != "" {
		if err := p.connect(); err != nil {
			return nil, err
		}
		forwarding.Peers, forwarding.TLS, forwarding.Dial = p.directory.Routes, p.clientTLS(), cfg.Dial
	}
	p.forwarder = NewForwarder(forwarding)
	return p, nil
}

// connect makes what asks the peers.
func (p *Peer) connect() error {
	where, err := p.where()
	if err != nil {
		return err
	}
	if p.directory, err = NewDirectory(where); err != nil {
		return err
	}
	if p.cfg.Insecure {
		p.log.Warn("relay and forwarding are in clear: whoever is on the way to the peer reads and replaces the streams; see --peer and --peer-insecure", "peer", p.cfg.URL)
	}
	p.client = NewClient(ClientConfig{
		Peers: p.directory, TLS: p.clientTLS(), Dial: p.cfg.Dial, Token: p.Token.relayToken,
		Epoch: p.cfg.Epoch, Pull: p.cfg.Pull, PullPlaylist: p.cfg.PullPlaylist, PullMeasures: p.cfg.PullMeasures, Recovery: p.cfg.Recovery, Logger: p.log, Metrics: p.cfg.Metrics,
	})
	return nil
}

// where returns where to find the peers.
func (p *Peer) where() (DirectoryConfig, error) {
	cfg := DirectoryConfig{Base: p.cfg.URL, Own: p.cfg.Own, Lookup: p.cfg.Lookup, OnChange: p.changed, Logger: p.log}
	u, err := url.Parse(p.cfg.URL)
	if err != nil {
		return cfg, fmt.Errorf("read the peer's URL: %w", err)
	}
	if u.Scheme != "http" || p.cfg.Insecure {
		return cfg, nil
	}
	if !p.cfg.ToldByOperator {
		return cfg, fmt.Errorf("read the peer's URL: %s needs --peer-insecure", p.cfg.URL)
	}
	cfg.ClearPort = 80
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		cfg.ClearPort = uint16(port)
	}
	cfg.Base = "https://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(int(p.cfg.RelayPort)))
	return cfg, nil
}

// clientTLS returns how to connect to the peers; nil: in clear.
func (p *Peer) clientTLS() *tls.Config {
	if p.cfg.Insecure {
		return nil
	}
	other := p.cfg.Role.Other()
	if other == "" {
		other = failover.Primary
	}
	return p.identity.ClientConfig(string(other))
}

// Exists reports whether this server has a peer.
func (p *Peer) Exists() bool { return p.client != nil }

// Includes reports whether one of the peers has address a.
func (p *Peer) Includes(a netip.Addr) bool { return p.directory != nil && p.directory.Includes(a) }

// Run relays from the peers until ctx ends.
func (p *Peer) Run(ctx context.Context) error {
	if !p.Exists() {
		<-ctx.Done()
		return ctx.Err()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.directory.Run(ctx) })
	g.Go(func() error { return p.client.Run(ctx) })
	return g.Wait()
}

// Follow sets the pairs that are played here and at the peers.
func (p *Peer) Follow(pairs []SharedPair) {
	if p.Exists() {
		p.client.Follow(pairs)
	}
}

// FollowPlaylists sets the playlists that are read from the peers.
func (p *Peer) FollowPlaylists(keys []failover.PairKey) {
	if p.Exists() {
		p.client.FollowPlaylists(keys)
	}
}

// Names returns the names of the peers that are known: the values of Reader.Base.
func (p *Peer) Names() []string {
	if p.directory == nil {
		return nil
	}
	return p.directory.Bases()
}

// Standings returns how a pair stands at the peers that can be heard.
func (p *Peer) Standings(pair *failover.Pair) []failover.Standing {
	if !p.Exists() {
		return nil
	}
	return p.client.Standings(pair)
}

// ClearAccess admits the requests that peers make in clear.
func (p *Peer) ClearAccess() ClearAccess {
	return ClearAccess{IsToken: p.Token.isRelayToken, Allowed: p.isClearAllowed, Metrics: p.cfg.Metrics}
}

// isClearAllowed reports whether peers are served in clear. over is closed when that ends.
func (p *Peer) isClearAllowed() (allowed bool, over <-chan struct{}) {
	if p.directory == nil {
		return false, nil
	}
	return p.directory.IsClearAllowed()
}

// Register mounts what peers ask for in clear.
func (p *Peer) Register(mux *http.ServeMux) { p.standings.Register(mux) }

// RegisterPeers mounts what peers ask for over TLS. sessions answers the requests that they forward.
// Whoever reaches mux must have proved to be a peer.
func (p *Peer) RegisterPeers(mux *http.ServeMux, sessions http.Handler) {
	p.standings.RegisterPeers(mux)
	registerForwarded(mux, sessions)
}

// Forwarding passes requests about the peers' sessions on to the peers. All other requests are
// answered by next.
func (p *Peer) Forwarding(next http.Handler) http.Handler { return p.forwarder.Handler(next) }

// Drain tells peers that this server is about to end.
func (p *Peer) Drain() { p.standings.Drain() }

// Close ends all answers to peers, and all requests that are being forwarded.
func (p *Peer) Close() {
	p.standings.Close()
	p.forwarder.Close()
}
