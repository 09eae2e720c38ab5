package relay

import (
	"context"
	"errors"
	"net/url"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/flv/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

// Protocol is that of relayed publications in status, logs and metrics.
const Protocol = "relay"

// maxTag is what a tag may have: a picture as large as an encoder may send it, by WHIP or
// RTMP, with parameter sets beside it.
const maxTag = 8<<20 + 64<<10

// errGaveWay says that somebody publishes the stream here, or that the pair is paused.
var errGaveWay = errors.New("the relayed publication was ended")

// A puller publishes here what is published of one stream at the peer.
type puller struct {
	link
	key stream.Key

	feed *feed.Feed // nil: nothing is published there
	// before is what feed takes over from, at its first IDR; nil: nothing, or it has.
	before *stream.Publication
}

// run pulls the stream until ctx ends.
func (p *puller) run(ctx context.Context) {
	defer p.end(stream.EndClosed)
	for p.vacant(ctx) {
		err := p.pull(ctx)
		if errors.Is(err, errGaveWay) {
			p.end(stream.EndTakenOver)
			if !wait(ctx, retryWithin/10) {
				return
			}
			continue
		}
		// A connection on which nothing comes is a publisher that is silent, and the pair
		// decides how long that may be. One that was closed is a publisher that has gone.
		if !hung(err) {
			p.end(stream.EndClosed)
		}
		if !p.lost(ctx, err) {
			return
		}
	}
}

// vacant waits until nobody publishes the stream here.
func (p *puller) vacant(ctx context.Context) bool {
	for {
		changed := p.client.cfg.Changed()
		current := p.client.cfg.Registry.Stream(p.key).Snapshot().Publication
		if current == nil || current.Relayed {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// pull reads the stream until the connection ends.
func (p *puller) pull(ctx context.Context) error {
	body, err := p.open(ctx, "/"+url.PathEscape(p.key.App)+"/"+url.PathEscape(p.key.ID)+".flv")
	if err != nil {
		return err
	}
	defer body.Close()
	tags := flv.NewReader(body, maxTag)
	for {
		tag, err := tags.Next()
		if err != nil {
			return malformed(err)
		}
		p.up()
		if err := p.take(tag); err != nil {
			return err
		}
	}
}

// take handles one tag.
func (p *puller) take(tag flv.Tag) error {
	switch tag.Type {
	case flv.ScriptTag:
		switch parseNote(tag.Body) {
		case notePublished:
			if err := p.publish(tag.Timestamp); err != nil {
				return err
			}
		case noteUnpublished:
			p.end(stream.EndUnpublished)
		}
	case flv.VideoTag, flv.AudioTag:
		if p.feed == nil {
			return malformed(errors.New("media without a publication"))
		}
		write := p.feed.Video
		if tag.Type == flv.AudioTag {
			write = p.feed.Audio
		}
		if err := write(tag.Timestamp, tag.Body); err != nil {
			return malformed(err)
		}
	}
	if p.before != nil && hasEnded(p.before) {
		p.before = nil // with what it has cached
	}
	if p.feed != nil && hasEnded(p.feed.Publication()) {
		return errGaveWay
	}
	return nil
}

func hasEnded(p *stream.Publication) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// publish begins a publication, on the peer's clock of which it is timestamp now.
func (p *puller) publish(timestamp uint32) error {
	publication, err := p.client.cfg.Registry.Publish(stream.PublishRequest{
		Key: p.key, Authenticated: true, Relayed: true, Protocol: Protocol, Remote: p.client.cfg.Peer,
	})
	switch {
	case errors.Is(err, stream.ErrStreamInUse):
		return errGaveWay
	case err != nil:
		return &failure{failedRefused, err}
	}
	// A feed that still waited for its IDR has been ended by this one: what it was to take
	// over from is then this one's to.
	if p.feed != nil && (p.before == nil || hasEnded(p.before)) {
		p.before = p.feed.Publication()
	}
	p.feed = feed.New(publication)
	p.feed.Anchor(timestamp)
	return nil
}

// end ends what is published here.
func (p *puller) end(reason stream.EndReason) {
	if p.feed != nil {
		p.feed.Publication().End(reason)
	}
	if p.before != nil {
		p.before.End(reason)
	}
	p.feed, p.before = nil, nil
}

// malformed is err as a failure of the peer's making, unless it is one of the connection.
func malformed(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{failedMalformed, err}
}
