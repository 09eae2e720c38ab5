package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/streampair/streampair/mediaserver/peers"
)

const (
	// answerTimeout is how long a peer may take to begin its answer before it counts as
	// gone.
	answerTimeout = time.Second
	// silence is how long nothing may come of an answer that has begun. Event streams have
	// a heartbeat every 500 ms, and a viewer whose server is cut off must not listen to
	// nothing for as long as TCP hopes.
	silence = 2 * time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 16 << 10
)

var (
	errSilent     = errors.New("the peer has not been heard")
	errMistrusted = errors.New("the peer does not take this server's token")
)

func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext:            cfg.Dial,
		TLSClientConfig:        cfg.TLS,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true, // none is found dead when it is needed
		DisableCompression:     true, // the answer is passed on as it is
	}
}

// A question is an http.RoundTripper for one request that goes to all peers at the same
// time: at most one has the session, and those that are gone must not keep a viewer
// waiting for it.
type question struct {
	peers  http.RoundTripper
	routes []peers.Route // not none
	token  string        // for those in clear
	body   []byte
}

// An outcome is what asking one peer came to. Either answer or err is nil.
type outcome struct {
	peer   int
	answer *http.Response
	err    error
}

func (o outcome) dismiss() {
	if o.answer != nil {
		_ = o.answer.Body.Close()
	}
}

// RoundTrip returns the answer of the peer that has the session. If none does it is a 404,
// or an error if one that may have it did not answer.
func (q *question) RoundTrip(r *http.Request) (*http.Response, error) {
	outcomes := make(chan outcome, len(q.routes))
	stops := make([]context.CancelCauseFunc, len(q.routes))
	for i, route := range q.routes {
		ctx, stop := route.Bind(r.Context())
		stops[i] = stop
		go func() {
			answer, err := q.ask(ctx, stop, r, route) //nolint:bodyclose // whoever takes the outcome closes it
			outcomes <- outcome{i, answer, err}
		}()
	}
	var last outcome // of those that do not have it, a failure before a 404
	for waiting := len(q.routes) - 1; waiting >= 0; waiting-- {
		o := <-outcomes
		if o.err == nil && o.answer.StatusCode != http.StatusNotFound {
			last.dismiss()
			for i, stop := range stops {
				if i != o.peer {
					stop(nil)
				}
			}
			go func() {
				for range waiting {
					(<-outcomes).dismiss()
				}
			}()
			return o.answer, nil
		}
		if last.err == nil {
			last.dismiss()
			last = o
		} else {
			o.dismiss()
		}
	}
	return last.answer, last.err
}

// ask asks one peer. stop ends ctx.
func (q *question) ask(ctx context.Context, stop context.CancelCauseFunc, r *http.Request, route peers.Route) (*http.Response, error) {
	u, err := url.Parse(route.Base)
	if err != nil {
		stop(nil)
		return nil, fmt.Errorf("read the peer's URL: %w", err)
	}
	r = r.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, ""
	if route.Clear {
		r.Header.Set(Header, q.token)
	} else {
		r.Header.Del(Header) // a client's own, which says nothing
	}
	r.Body, r.ContentLength = reader(q.body), int64(len(q.body))
	patience := time.AfterFunc(answerTimeout, func() { stop(errSilent) })
	answer, err := q.peers.RoundTrip(r)
	if err == nil && answer.Header.Get("WWW-Authenticate") == Header {
		_ = answer.Body.Close()
		err = errMistrusted
	}
	if err != nil {
		patience.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		stop(nil)
		return nil, fmt.Errorf("ask %s: %w", u.Host, err)
	}
	patience.Reset(silence)
	answer.Body = &heard{answer.Body, patience, stop}
	return answer, nil
}

// heard is the body of an answer, which ends when nothing comes for too long.
type heard struct {
	io.ReadCloser
	patience *time.Timer
	stop     context.CancelCauseFunc
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if n > 0 {
		h.patience.Reset(silence)
	}
	return n, err
}

func (h *heard) Close() error {
	h.patience.Stop()
	h.stop(nil)
	return h.ReadCloser.Close()
}
