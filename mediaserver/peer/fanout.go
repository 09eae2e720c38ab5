package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// answerTimeout is how long a peer may take to begin its answer. After that the peer counts as
	// gone.
	answerTimeout = time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 16 << 10
)

var (
	errSilent     = errors.New("the peer has not been heard")
	errMistrusted = errors.New("the peer does not take this server's token")
)

func newTransport(cfg ForwarderConfig) *http.Transport {
	return &http.Transport{
		DialContext:            cfg.Dial,
		TLSClientConfig:        cfg.TLS,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true, // so no connection is found dead when it is needed
		DisableCompression:     true, // the answer is passed on unchanged
	}
}

// A fanout is an http.RoundTripper for one request that goes to all peers at the same time. At
// most one peer has the session, and peers that are gone must not delay its answer.
type fanout struct {
	peers  http.RoundTripper
	routes []Route // at least one
	token  string  // shown to peers in clear
	body   []byte
}

// A peerAnswer is the result of asking one peer. Either answer or err is nil.
type peerAnswer struct {
	peer   int
	answer *http.Response
	err    error
}

func (o peerAnswer) dismiss() {
	if o.answer != nil {
		_ = o.answer.Body.Close()
	}
}

// RoundTrip returns the answer of the peer that has the session. If no peer has it, RoundTrip
// returns a 404. If a peer that may have it did not answer, RoundTrip returns an error.
func (f *fanout) RoundTrip(r *http.Request) (*http.Response, error) {
	answers := make(chan peerAnswer, len(f.routes))
	stops := make([]context.CancelCauseFunc, len(f.routes))
	for i, route := range f.routes {
		ctx, stop := route.Bind(r.Context())
		stops[i] = stop
		go func() {
			answer, err := f.ask(ctx, stop, r, route) //nolint:bodyclose // whoever takes the peerAnswer closes it
			answers <- peerAnswer{i, answer, err}
		}()
	}
	var last peerAnswer // the result of peers without the session: a failure rather than a 404
	for waiting := len(f.routes) - 1; waiting >= 0; waiting-- {
		o := <-answers
		if o.err == nil && o.answer.StatusCode != http.StatusNotFound {
			last.dismiss()
			for i, stop := range stops {
				if i != o.peer {
					stop(nil)
				}
			}
			go func() {
				for range waiting {
					(<-answers).dismiss()
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
func (f *fanout) ask(ctx context.Context, stop context.CancelCauseFunc, r *http.Request, route Route) (*http.Response, error) {
	u, err := url.Parse(route.Base)
	if err != nil {
		stop(nil)
		return nil, fmt.Errorf("read the peer's URL: %w", err)
	}
	r = r.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, ""
	if route.Clear {
		r.Header.Set(ForwardedHeader, f.token)
	} else {
		r.Header.Del(ForwardedHeader) // a client's own header proves nothing
	}
	r.Body, r.ContentLength = reader(f.body), int64(len(f.body))
	patience := time.AfterFunc(answerTimeout, func() { stop(errSilent) })
	answer, err := f.peers.RoundTrip(r)
	if err == nil && answer.Header.Get("WWW-Authenticate") == ForwardedHeader {
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

// heard is the body of an answer. It ends when nothing comes for too long.
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
