package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/streampair/streampair/mediaserver/failover"
)

// maxLine bounds a line of JSON, in bytes. Real lines have some 300 bytes.
const maxLine = 16 << 10

// A standingReader reads how a pair stands at one of the peers, and tells the pair.
type standingReader struct {
	*Reader
	pair      failover.PairKey
	standings *pairStandings
}

// run reads the peer's standings until ctx ends.
func (s *standingReader) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.follow(ctx)
		s.standings.set(s.Base, nil)
		if !s.Lost(ctx, err) {
			return
		}
	}
}

// follow reads the peer's standings until the connection ends.
func (s *standingReader) follow(ctx context.Context) error {
	body, err := s.Open(ctx, "/"+url.PathEscape(s.pair.App)+"/relay/"+url.PathEscape(s.pair.Primary)+
		"?backupStreamId="+url.QueryEscape(s.pair.Backup))
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var w wireStanding
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return Malformed(fmt.Errorf("read how the pair stands at the peer: %w", err))
		}
		s.Up()
		there := w.standing(s.client.cfg.Epoch)
		s.standings.set(s.Base, &there)
	}
	return Malformed(lines.Err())
}
