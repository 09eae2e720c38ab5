package peer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// askTimeout bounds one request of Ask.
const askTimeout = 3 * time.Second

// Ask asks all peers over TLS for the resource at a path, which begins with a slash. It returns the
// bodies of those that have it, of at most limit bytes each. Peers that are reached in clear are
// not asked, because nobody knows who answers there.
func (p *Peer) Ask(ctx context.Context, path string, limit int64) [][]byte {
	if !p.Exists() {
		return nil
	}
	transport := newTransport(ForwarderConfig{TLS: p.clientTLS(), Dial: p.cfg.Dial})
	var bodies [][]byte
	for _, route := range p.directory.Routes() {
		if route.Clear {
			continue
		}
		if body, err := askOne(ctx, transport, route, path, limit); err == nil {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func askOne(ctx context.Context, transport http.RoundTripper, route Route, path string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, route.Base+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the peer answers %s", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("the peer's answer has more than %d bytes", limit)
	}
	return body, err
}
