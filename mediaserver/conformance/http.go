package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// requestTimeout bounds one request.
	requestTimeout = 10 * time.Second
	// maxBody bounds the body of an answer, in bytes.
	maxBody = 256 << 10
	// maxRedirects bounds how often a POST is sent on, RFC 9725 section 4.5.
	maxRedirects = 5

	sdpType      = "application/sdp"
	fragmentType = "application/trickle-ice-sdpfrag"
)

// newHTTPClient returns a client that follows no redirect by itself.
func newHTTPClient(insecureTLS bool) *http.Client {
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecureTLS}, //nolint:gosec // only if the user says so
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An answer is the answer to a request; err is set if there was none.
type answer struct {
	status int
	header http.Header
	body   string
	url    *url.URL // that answered
	err    error
}

// is reports whether the status is of a class: 2 for 2xx.
func (a answer) is(class int) bool { return a.err == nil && a.status/100 == class }

// mediaType returns the Content-Type without parameters.
func (a answer) mediaType() string {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return a.header.Get("Content-Type")
	}
	return t
}

// String describes the answer for a report.
func (a answer) String() string {
	switch {
	case a.err != nil:
		return printable(a.err.Error())
	case a.body == "" || a.mediaType() == sdpType:
		return fmt.Sprintf("%d", a.status)
	}
	return printable(fmt.Sprintf("%d: %s", a.status, a.body))
}

// do makes a request. header is name, value, name, value …
func (r *run) do(ctx context.Context, method, url, body string, header ...string) answer {
	ctx, stop := context.WithTimeout(ctx, requestTimeout)
	defer stop()
	response, err := r.send(ctx, method, url, body, header...)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return answer{err: fmt.Errorf("%d, and the body did not arrive: %w", response.StatusCode, err)}
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text), url: response.Request.URL}
}

// send begins a request, with the token if it goes to the server that was named, unless header has
// another one. An empty value removes a header.
func (r *run) send(ctx context.Context, method, url, body string, header ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if r.config.Token != "" && r.isNamed(request.URL) {
		request.Header.Set("Authorization", "Bearer "+r.config.Token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			request.Header.Del(header[i])
			continue
		}
		request.Header.Set(header[i], header[i+1])
	}
	return r.http.Do(request)
}

// isNamed reports whether a URL is at the scheme and host that the user named.
func (r *run) isNamed(u *url.URL) bool {
	named, err := url.Parse(r.config.URL)
	return err == nil && u.Scheme == named.Scheme && u.Host == named.Host
}

// post sends an offer, and follows 307 and 308.
func (r *run) post(ctx context.Context, body string, header ...string) answer {
	target := r.config.URL
	for range maxRedirects {
		a := r.do(ctx, http.MethodPost, target, body, append([]string{"Content-Type", sdpType}, header...)...)
		if a.status != http.StatusTemporaryRedirect && a.status != http.StatusPermanentRedirect {
			return a
		}
		next, err := a.url.Parse(a.header.Get("Location"))
		if err != nil {
			return answer{err: fmt.Errorf("redirect to %q: %w", a.header.Get("Location"), err)}
		}
		target = next.String()
	}
	return answer{err: errors.New("too many redirects")}
}

// A link is a value of a Link header, RFC 8288.
type link struct {
	target     string
	parameters map[string]string
}

// links returns the links of an answer. What is no link is left out.
func links(header http.Header) []link {
	const parameter = `;\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))`
	var (
		one    = regexp.MustCompile(`<([^>]*)>((?:\s*` + parameter + `)*)`)
		field  = regexp.MustCompile(parameter)
		quoted = regexp.MustCompile(`\\(.)`)
		all    []link
	)
	for _, found := range one.FindAllStringSubmatch(strings.Join(header.Values("Link"), ", "), -1) {
		l := link{found[1], map[string]string{}}
		for _, p := range field.FindAllStringSubmatch(found[2], -1) {
			l.parameters[strings.ToLower(p[1])] = quoted.ReplaceAllString(p[2], "$1") + p[3]
		}
		all = append(all, l)
	}
	return all
}
