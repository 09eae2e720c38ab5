package relay

import (
	"context"
	"errors"
	"net/url"
	"time"

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
	// began is when the publication began there, announced what is said of the next one.
	// benched says that another server's, which began later, has its place, or that this
	// one is expelled. What comes is left out for as long.
	began, announced time.Time
	benched          bool
	leaving          bool // the server is about to end
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

// vacant waits until nobody publishes the stream here, or nothing that arrives.
func (p *puller) vacant(ctx context.Context) bool {
	for {
		changed := p.client.cfg.Changed()
		if !p.stream().HasPublisher() {
			return ctx.Err() == nil
		}
		silent := time.NewTimer(retryWithin) // of which nobody tells
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

func (p *puller) stream() *stream.Stream { return p.client.cfg.Registry.Stream(p.key) }

// admitted says whether what the peer has may be published here: see stream.Stream.Admits.
func (p *puller) admitted() bool { return p.stream().Admits(p.base, p.began) }

// pull reads the stream until the connection ends.
func (p *puller) pull(ctx context.Context) error {
	body, err := p.open(ctx, "/"+url.PathEscape(p.key.App)+"/"+url.PathEscape(p.key.ID)+".flv")
	if err != nil {
		return err
	}
	defer body.Close()
	p.announced, p.benched, p.leaving = time.Time{}, false, false
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
	var err error
	if tag.Type == flv.ScriptTag {
		err = p.takeNote(tag)
	} else if !p.benched {
		err = p.takeMedia(tag)
	}
	switch {
	case err != nil:
		return err
	case p.benched && p.admitted():
		return errGaveWay // and its turn has come, with what is cached there
	case p.before != nil && p.before.Ended():
		p.before = nil // with what it has cached
	}
	if p.feed != nil && p.feed.Publication().Ended() {
		return p.giveWay()
	}
	return nil
}

func (p *puller) takeNote(tag flv.Tag) error {
	switch parseNote(tag.Body) {
	case notePublished:
		p.began, p.announced, p.benched = p.announced, time.Time{}, false
		return p.publish(tag.Timestamp)
	case noteUnpublished:
		p.benched = false
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
		return malformed(errors.New("media without a publication"))
	}
	write := p.feed.Video
	if tag.Type == flv.AudioTag {
		write = p.feed.Audio
	}
	if err := write(tag.Timestamp, tag.Body); err != nil {
		return malformed(err)
	}
	return nil
}

// publish begins a publication, on the peer's clock of which it is timestamp now.
func (p *puller) publish(timestamp uint32) error {
	publication, err := p.client.cfg.Registry.Publish(stream.PublishRequest{
		Key: p.key, Authenticated: true, Relayed: true, Began: p.began,
		Protocol: Protocol, Remote: p.base,
	})
	switch {
	case errors.Is(err, stream.ErrStreamInUse), errors.Is(err, stream.ErrExpelled):
		return p.giveWay()
	case err != nil:
		return &failure{failedRefused, err}
	}
	p.retire()
	p.feed = feed.New(publication)
	p.feed.Anchor(timestamp)
	if p.leaving {
		p.leave()
	}
	return nil
}

// leave says of what is published here that it is about to end.
func (p *puller) leave() {
	if p.feed != nil {
		p.feed.Publication().Leave()
	}
	if p.before != nil {
		p.before.Leave()
	}
}

// giveWay leaves the stream to somebody who publishes here, which ends the connection too,
// or to another server that has a later publisher. In that case, and where the publication
// is expelled, the connection stays, to hear of what becomes of this one.
func (p *puller) giveWay() error {
	if p.stream().HasPublisher() || p.admitted() {
		return errGaveWay
	}
	p.benched = true
	p.retire()
	return nil
}

// retire leaves feed to be taken over from.
func (p *puller) retire() {
	// A feed that still waited for its IDR has been ended by its successor: what it was to
	// take over from is then the successor's to.
	if p.feed != nil && (p.before == nil || p.before.Ended()) {
		p.before = p.feed.Publication()
	}
	p.feed = nil
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
