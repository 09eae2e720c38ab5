package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streampair/streampair/hack/hlscheck/rules"
)

const (
	mostPlaylistBytes = 4 << 20
	mostMediaBytes    = 32 << 20
	// mostBytes bounds what one run reads.
	mostBytes = 2 << 30
	// requestTimeout is above what a server may hold a request: three target durations of 10 s.
	requestTimeout = 40 * time.Second
)

var errTooMuch = errors.New("more bytes than this command reads")

// A client fetches within bounds, and keeps cookies.
type client struct {
	http *http.Client
	read atomic.Int64
}

func newClient() *client {
	jar, _ := cookiejar.New(nil) // it returns no error
	return &client{http: &http.Client{Jar: jar, Timeout: requestTimeout}}
}

// An answer is a response with its body.
type answer struct {
	url         *url.URL // after redirects
	status      int
	contentType string
	body        []byte
	at          time.Time // when the body had arrived
}

// get fetches a URL, or a byte range of the URL, and at most so many bytes.
func (c *client) get(ctx context.Context, u *url.URL, r rules.Resource, most int64) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return answer{}, err
	}
	if r.Length > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Start, r.Start+r.Length-1))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return answer{}, err
	}
	if int64(len(body)) > most || c.read.Add(int64(len(body))) > mostBytes {
		return answer{}, errTooMuch
	}
	// A server may ignore the range.
	if r.Length > 0 && response.StatusCode == http.StatusOK && int64(len(body)) >= r.Start+r.Length {
		body = body[r.Start : r.Start+r.Length]
	}
	return answer{response.Request.URL, response.StatusCode, response.Header.Get("Content-Type"), body, time.Now()}, nil
}

// identified returns a breach if neither path nor type tells that an answer is a playlist (4).
func (a answer) identified() []rules.Breach {
	kind, _, _ := mime.ParseMediaType(a.contentType)
	path := strings.ToLower(a.url.Path)
	if strings.HasSuffix(path, ".m3u8") || strings.HasSuffix(path, ".m3u") ||
		strings.EqualFold(kind, "application/vnd.apple.mpegurl") || strings.EqualFold(kind, "audio/mpegurl") {
		return nil
	}
	return []rules.Breach{{Rule: "content-type", Section: "4", Text: fmt.Sprintf("The playlist has the type %q and no suffix of a playlist.", a.contentType)}}
}
