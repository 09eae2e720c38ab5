// Package gather reads one or two streams for some seconds, and measures what package preflight
// judges. It reads HTTP-FLV, as media servers play it, and by ffmpeg anything that ffmpeg opens.
//
// What comes passes the same packages as in a media server: flv or mpegts, feed, stream and measure.
// So it is bounded as there. Start with Run.
package gather

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/preflight"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Config says how to read.
type Config struct {
	// For is how long a stream is watched, from its first media on. Default 20 s. The offset of two
	// legs needs 15 s, and their drift some 90 s.
	For time.Duration
	// Wait is how long the first media may take. Default 15 s.
	Wait time.Duration
	// Insecure reports whether a token is sent to a server whose certificate is not trusted. Default: it
	// is not, and the stream is not read.
	Insecure bool
	// FFmpegPath is the ffmpeg that opens what is no HTTP-FLV. Default: such URLs are not read.
	FFmpegPath string
}

const (
	defaultFor, defaultWait = 20 * time.Second, 15 * time.Second
	headerTimeout           = 10 * time.Second
	maxRedirects            = 5
	// maxCacheBytes bounds what the cache of a stream takes. Nobody reads it.
	maxCacheBytes = 8 << 20
)

// app is the app of the streams that are read.
const app = "check"

var (
	errNoFFmpeg = errors.New("only HTTP-FLV is read without ffmpeg, and there is no ffmpeg on the PATH")
	errNoMedia  = errors.New("no media came")
	// errRedirected is about http and https.
	errRedirected = errors.New("the server leads to a URL of another scheme: name that URL")
	errUntrusted  = errors.New("the server's certificate is not trusted, so the token is not sent to it; --insecure sends it all the same")
)

// Run reads the sources at once, and returns what was seen of each. A source that cannot be read has
// the reason in Leg.Unread.
func Run(ctx context.Context, cfg Config, sources []Source) []preflight.Leg {
	if cfg.For <= 0 {
		cfg.For = defaultFor
	}
	if cfg.Wait <= 0 {
		cfg.Wait = defaultWait
	}
	g := &gatherer{
		cfg: cfg, registry: stream.NewRegistry(stream.Config{MaxCacheBytes: maxCacheBytes}),
		recovery: recovery.New(recovery.Config{Logger: slog.New(slog.DiscardHandler)}),
		client:   newClient(false), secretClient: newClient(!cfg.Insecure),
	}
	defer g.registry.Close()
	legs := make([]preflight.Leg, len(sources))
	var reading sync.WaitGroup
	for i, source := range sources {
		reading.Go(func() {
			leg, err := g.leg(ctx, source)
			if err != nil {
				leg.Unread = err.Error()
			}
			leg.Name, leg.TokenExpires = source.Name, expiryOf(source.Token)
			legs[i] = leg
		})
	}
	reading.Wait()
	return legs
}

// A gatherer reads the streams of one check.
type gatherer struct {
	cfg      Config
	registry *stream.Registry
	recovery *recovery.Recovery
	// client takes any certificate: one that is not trusted is a finding of its own. secretClient is for
	// requests with a token.
	client, secretClient *http.Client
}

func newClient(trustedOnly bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: headerTimeout, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: !trustedOnly}, //nolint:gosec // see gatherer.client
		},
		// A token must not follow to a server in clear.
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if to.URL.Scheme != via[0].URL.Scheme {
				return errRedirected
			}
			if len(via) > maxRedirects {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// leg reads and measures one source.
func (g *gatherer) leg(ctx context.Context, source Source) (leg preflight.Leg, err error) {
	publication, err := g.registry.Publish(stream.PublishRequest{
		Key: stream.Key{App: app, ID: source.Name}, Authenticated: true, Protocol: "check",
	})
	if err != nil {
		return leg, err
	}
	defer publication.End(stream.EndClosed)
	one := g.registry.Stream(stream.Key{App: app, ID: source.Name})
	sub := one.Subscribe(depth)
	defer sub.Close()

	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	defer func() {
		stop()
		<-ended //nolint:errcheck // watch has judged how it ended
	}()
	go func() {
		var readErr error
		if panicked := g.recovery.Do("check", func() { readErr = g.read(ctx, source, publication) }); panicked != nil {
			readErr = panicked
		}
		ended <- readErr
	}()
	var t tally
	panicked := g.recovery.Do("check", func() { err = g.watch(ctx, sub, &t, ended) })
	if panicked != nil {
		err = panicked
	}
	warnings := feedWarnings(one.Snapshot().Warnings)
	if source.Events != "" && (err == nil || errors.Is(err, errNoMedia)) {
		warnings = merged(g.warningsOf(ctx, source), warnings)
	}
	if err != nil && len(warnings) == 0 {
		return leg, err
	}
	leg = t.leg(warnings) // the warnings say why no media came
	leg.Ended = t.ended && !source.isFile()
	return leg, nil
}

// watch measures until the time is over, or the stream has ended.
func (g *gatherer) watch(ctx context.Context, sub *stream.Subscription, t *tally, ended chan error) error {
	over := time.NewTimer(g.cfg.Wait)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-sub.C:
			if !t.begun {
				over.Reset(g.cfg.For)
			}
			t.add(u)
		case err := <-ended:
			ended <- err // for leg, which waits for the end
			for len(sub.C) > 0 {
				t.add(<-sub.C)
			}
			if t.ended = true; t.begun {
				return nil // a file, or an encoder that has stopped
			}
			return err
		case <-over.C:
			if !t.begun {
				return errNoMedia
			}
			return nil
		}
	}
}
