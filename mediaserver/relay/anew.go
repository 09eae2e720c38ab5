package relay

import (
	"context"

	"github.com/streampair/streampair/mediaserver/stream"
)

// keepRunning runs a link until ctx ends. After a panic the link is left alone for as long
// as an expelled publisher is: what the peer sends would be the same.
func (c *Client) keepRunning(ctx context.Context, run func(context.Context)) {
	for c.cfg.Recovery.Do("relay", func() { run(ctx) }) != nil {
		if !wait(ctx, stream.ExpulsionTime) {
			return
		}
	}
}
