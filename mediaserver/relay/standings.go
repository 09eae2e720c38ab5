package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
)

// maxLine bounds a line of JSON; real ones have some 300 bytes.
const maxLine = 16 << 10

// standings tells a pair how it stands at one of the peers.
type standings struct {
	link
	twin   Twin
	chorus *chorus
}

// run does so until ctx ends.
func (s *standings) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.follow(ctx)
		s.chorus.hear(s.base, nil)
		if !s.lost(ctx, err) {
			return
		}
	}
}

// follow reads what the peer says until the connection ends.
func (s *standings) follow(ctx context.Context) error {
	body, err := s.open(ctx, "/"+url.PathEscape(s.twin.App)+"/relay/"+url.PathEscape(s.twin.PrimaryID)+
		"?backupStreamId="+url.QueryEscape(s.twin.BackupID))
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var w wireStanding
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return malformed(fmt.Errorf("read how the pair stands at the peer: %w", err))
		}
		s.up()
		there := w.standing(s.client.cfg.Registry.Epoch())
		s.chorus.hear(s.base, &there)
	}
	return malformed(lines.Err())
}
