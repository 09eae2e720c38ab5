package relay

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/peer"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Protocol is the protocol of relayed publications in status, logs and metrics.
const Protocol = "relay"

// maxTag bounds the size of a tag: a picture as large as an encoder may send it by WHIP or RTMP,
// with parameter sets.
const maxTag = 8<<20 + 64<<10

// vacancyInterval is how often a puller looks whether the stream's publisher here has fallen silent.
const vacancyInterval = 250 * time.Millisecond

// errGaveWay reports that somebody publishes the stream here, or that the pair is paused.
var errGaveWay = errors.New("the relayed publication was ended")

// Pull returns the Pull of a peer.ClientConfig, which publishes in registry. changed returns a channel
// that is closed when a stream of the registry changes.
func Pull(registry *stream.Registry, changed func() <-chan struct{}) func(context.Context, *peer.Reader, stream.Key) {
	return func(ctx context.Context, r *peer.Reader, key stream.Key) {
		(&puller{Reader: r, registry: registry, changed: changed, key: key}).run(ctx)
	}
}

// A puller publishes here the media of one stream that is published at the peer.
type puller struct {
	*peer.Reader
	registry *stream.Registry
	changed  func() <-chan struct{}
	key      stream.Key

	feed *feed.Feed // the relayed publication; nil: nothing is published there
	// replaced is the publication that feed replaces at its first IDR; nil: none, or that is done.
	replaced *stream.Publication
	// began is when the publication began there. announced is when the next one began, as the peer
	// has said. suspended reports whether the publication must not be published here: another
	// server's, which began later, is on air, or this one is expelled. Its media is ignored for
	// that long.
	began, announced time.Time
	suspended        bool
	leaving          bool // whether the peer's server is about to end
}

// run pulls the stream until ctx ends.
func (p *puller) run(ctx context.Context) {
	defer p.end(stream.EndClosed)
	for p.vacant(ctx) {
		err := p.pull(ctx)
		if errors.Is(err, errGaveWay) {
			p.end(stream.EndTakenOver)
			if !peer.Wait(ctx, vacancyInterval/10) {
				return
			}
			continue
		}
		// A connection on which nothing comes means a silent publisher. The pair decides how long a
		// publisher may be silent. A connection that was closed means that the publisher has gone.
		if !peer.MayResume(err) {
			p.end(stream.EndClosed)
		}
		if !p.Lost(ctx, err) {
			return
		}
	}
}

// vacant waits until nobody publishes the stream here, or whoever does has fallen silent.
func (p *puller) vacant(ctx context.Context) bool {
	for {
		changed := p.changed()
		if !p.stream().HasPublisher() {
			return ctx.Err() == nil
		}
		silent := time.NewTimer(vacancyInterval) // no event tells that a publisher has fallen silent
		select {
		case <-ctx.Done():
		case <-changed:
		case <-silent.C:
		}
		silent.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

func (p *puller) stream() *stream.Stream { return p.registry.Stream(p.key) }

// admitted reports whether the peer's publication may be published here: see stream.Stream.Admits.
func (p *puller) admitted() bool { return p.stream().Admits(p.Base, p.began) }

// pull reads the stream until the connection ends.
func (p *puller) pull(ctx context.Context) error {
	body, err := p.Open(ctx, "/"+url.PathEscape(p.key.App)+"/"+url.PathEscape(p.key.ID)+".flv")
	if err != nil {
		return err
	}
	defer body.Close()
	p.announced, p.suspended, p.leaving = time.Time{}, false, false
	tags := flv.NewReader(body, maxTag)
	for {
		tag, err := tags.Next()
		if err != nil {
			return peer.Malformed(err)
		}
		p.Up()
		if err := p.take(tag); err != nil {
			return err
		}
	}
}

// take handles one tag.
func (p *puller) take(tag flv.Tag) error {
	var err error
	if tag.Type == flv.ScriptTag {
		err = p.takeNote(tag)
	} else if !p.suspended {
		err = p.takeMedia(tag)
	}
	switch {
	case err != nil:
		return err
	case p.suspended && p.admitted():
		return errGaveWay // a new connection brings what the peer has cached
	case p.replaced != nil && p.replaced.Ended():
		p.replaced = nil // this frees the cache of that publication
	}
	if p.feed != nil && p.feed.Publication().Ended() {
		return p.suspendOrLeave()
	}
	return nil
}

func (p *puller) takeNote(tag flv.Tag) error {
	switch parseNote(tag.Body) {
	case notePublished:
		p.began, p.announced, p.suspended = p.announced, time.Time{}, false
		return p.publish(tag.Timestamp)
	case noteUnpublished:
		p.suspended = false
		p.end(stream.EndUnpublished)
	case noteLeaving:
		p.leaving = true
		p.leave()
	case noteAlive:
	default:
		if began := parseBegan(tag.Body); !began.IsZero() {
			p.announced = began
		} else if shift, is := parseShift(tag.Body); is && p.feed != nil {
			p.feed.Publication().Shift(shift)
		} else if k, fault, is := parseFault(tag.Body); is && p.feed != nil {
			p.feed.Publication().SetFault(k, fault)
		}
	}
	return nil
}

func (p *puller) takeMedia(tag flv.Tag) error {
	if p.feed == nil {
		return peer.Malformed(errors.New("media without a publication"))
	}
	write := p.feed.Video
	if tag.Type == flv.AudioTag {
		write = p.feed.Audio
	}
	if err := write(tag.Timestamp, tag.Body); err != nil {
		return peer.Malformed(err)
	}
	return nil
}

// publish begins a publication. The peer's clock shows timestamp now.
func (p *puller) publish(timestamp uint32) error {
	publication, err := p.registry.Publish(stream.PublishRequest{
		Key: p.key, Authenticated: true, Relayed: true, Began: p.began,
		Protocol: Protocol, Remote: p.Base,
	})
	switch {
	case errors.Is(err, stream.ErrStreamInUse), errors.Is(err, stream.ErrExpelled):
		return p.suspendOrLeave()
	case err != nil:
		return peer.Refused(err)
	}
	p.retire()
	p.feed = feed.New(publication)
	p.feed.Anchor(timestamp)
	if p.leaving {
		p.leave()
	}
	return nil
}

// leave marks the relayed publications as about to end.
func (p *puller) leave() {
	if p.feed != nil {
		p.feed.Publication().Leave()
	}
	if p.replaced != nil {
		p.replaced.Leave()
	}
}

// suspendOrLeave ends the relayed publication in favour of another one. If a publisher of this
// server is on air, the connection ends too. If another server has a later publication, or this one
// is expelled, the connection stays, so that later notes of the peer are heard.
func (p *puller) suspendOrLeave() error {
	if p.stream().HasPublisher() || p.admitted() {
		return errGaveWay
	}
	p.suspended = true
	p.retire()
	return nil
}

// retire makes feed the publication that the next one takes over from.
func (p *puller) retire() {
	// If feed still waited for its IDR, its successor has ended it. The successor then takes over
	// from replaced.
	if p.feed != nil && (p.replaced == nil || p.replaced.Ended()) {
		p.replaced = p.feed.Publication()
	}
	p.feed = nil
}

// end ends the relayed publications.
func (p *puller) end(reason stream.EndReason) {
	if p.feed != nil {
		p.feed.Publication().End(reason)
	}
	if p.replaced != nil {
		p.replaced.End(reason)
	}
	p.feed, p.replaced = nil, nil
}
