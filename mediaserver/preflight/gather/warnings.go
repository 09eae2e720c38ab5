package gather

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streampair/streampair/mediaserver/events"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// eventsTimeout is how long a media server may take to tell its state.
	eventsTimeout = 10 * time.Second
	// maxEvents bounds what is read of the events, in bytes. maxWarnings and maxMessage bound what is
	// kept.
	maxEvents, maxWarnings, maxMessage = 256 << 10, 32, 500
)

// warningsOf returns the warnings that a Streampair media server shows with a stream. Other servers
// have none.
func (g *gatherer) warningsOf(ctx context.Context, source Source) []stream.Warning {
	ctx, stop := context.WithTimeout(ctx, eventsTimeout)
	defer stop()
	body, err := g.open(ctx, source.Events, source.Token)
	if err != nil {
		return nil
	}
	defer body.Close()
	return parseWarnings(io.LimitReader(body, maxEvents))
}

// settledAfter is how many heartbeats pass until a server has looked at a stream that nobody watched.
const settledAfter = 2

// parseWarnings returns the warnings of the last state before the second heartbeat in a stream of
// events. The first state may be from before the server has looked at the stream.
func parseWarnings(r io.Reader) (all []stream.Warning) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvents)
	for heartbeats := 0; heartbeats < settledAfter && lines.Scan(); {
		if lines.Text() == "event: heartbeat" {
			heartbeats++
		}
		data, is := strings.CutPrefix(lines.Text(), "data:")
		var state events.State
		if !is || json.Unmarshal([]byte(data), &state) != nil || state.Legs == nil {
			continue
		}
		all = nil
		for _, w := range state.Warnings[:min(len(state.Warnings), maxWarnings)] {
			w.Message = strings.ToValidUTF8(w.Message[:min(len(w.Message), maxMessage)], "")
			all = append(all, w.Warning)
		}
	}
	return all
}

// feedWarnings returns the warnings about what the encoder sends, without those that depend on how the
// stream came here.
func feedWarnings(all []stream.Warning) []stream.Warning {
	kept := []string{
		feed.WarningUnsupportedAudio, feed.WarningMalformedAudio, feed.WarningUnsupportedVideo, feed.WarningMalformedVideo,
		feed.WarningMultitrack, feed.WarningTooLarge, feed.WarningSeveralPrograms,
	}
	return slices.DeleteFunc(slices.Clone(all), func(w stream.Warning) bool { return !slices.Contains(kept, w.Code) })
}

// merged returns the warnings of a server, and those found here that it has not.
func merged(server, here []stream.Warning) []stream.Warning {
	for _, w := range here {
		if !slices.ContainsFunc(server, func(has stream.Warning) bool { return has.Code == w.Code }) {
			server = append(server, w)
		}
	}
	return server
}

// expiryOf returns when a JSON Web Token expires; zero: never, or it is none. Who signed the token is
// the server's affair.
func expiryOf(token string) time.Time {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil {
		return time.Time{}
	}
	return claims.ExpiresAt.Time
}
