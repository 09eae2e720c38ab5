package pods

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/controllers/oneline"
)

const (
	// maxPodHeader bounds the header of an answer, in bytes.
	maxPodHeader = 64 << 10
	// maxPodAnswer bounds the body of an answer that is not a stream, in bytes.
	maxPodAnswer = 64 << 10
)

// A podExchange is one request on a connection of its own. The client of
// net/http would spend two more goroutines and 8 KiB on each of a thousand
// streams. It would also keep idle connections, which two pods can never share.
type podExchange struct {
	conn     *tls.Conn
	source   *io.LimitedReader
	response *http.Response
	before   bool        // the pod showed the replaced certificate
	release  func() bool // detaches the connection from the context that ends it
}

// A header of a request. A header without a value is not sent.
type header struct{ name, value string }

// open connects to a pod, sends a request and reads the header of the answer.
// The whole exchange, with the body, ends with ctx and at its deadline.
func (p *Streams) open(ctx context.Context, t Target, method, path string, body []byte, headers ...header) (*podExchange, error) {
	x := &podExchange{}
	config, err := pinned(t, &x.before)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, "https://"+t.Address+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the pod's address: %w", err)
	}
	request.Header.Set("User-Agent", "streampair-operator")
	request.Header.Set(control.HeaderTellsPeers, "1")
	for _, h := range headers {
		if h.value != "" {
			request.Header.Set(h.name, h.value)
		}
	}
	request.Close = method != http.MethodGet

	raw, err := p.dial(ctx, "tcp", t.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to the pod: %w", err)
	}
	conn := tls.Client(raw, config)
	x.conn, x.source = conn, &io.LimitedReader{R: conn, N: maxPodHeader}
	x.release = context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := x.exchange(ctx, t, request); err != nil {
		x.close()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			err = errors.New("no answer in time")
		}
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return x, nil
}

func (x *podExchange) exchange(ctx context.Context, t Target, request *http.Request) error {
	deadline, _ := ctx.Deadline()
	if err := x.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := x.conn.Handshake(); err != nil {
		return err
	}
	token := t.Token
	if x.before {
		token = t.before.token // the new token must not reach whoever has the old key
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if err := request.Write(x.conn); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(x.source, 2<<10), request) //nolint:bodyclose // close does
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	x.response = response
	x.source.N = maxPodAnswer
	return nil
}

// handOver lets the body be read until ctx ends, without a limit of its size.
func (x *podExchange) handOver(ctx context.Context) {
	x.release()
	raw := x.conn.NetConn()
	x.release = context.AfterFunc(ctx, func() { _ = raw.Close() })
	_ = x.conn.SetDeadline(time.Time{}) // on a closed connection the next read fails
	x.source.N = 1<<63 - 1
}

// close ends the connection without a TLS closing message, which might block.
func (x *podExchange) close() {
	x.release()
	_ = x.conn.NetConn().Close()
	if x.response != nil {
		_ = x.response.Body.Close() // the connection is closed, so this does not block
	}
}

// refusal returns what the pod said is wrong with the request, in one line.
func (x *podExchange) refusal() error {
	body, _ := io.ReadAll(io.LimitReader(x.response.Body, maxPodAnswer))
	var said control.Error
	message := string(body)
	if json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 {
		message = strings.Join(said.Errors, "; ")
	}
	request := x.response.Request
	err := fmt.Errorf("%s %s: %s", request.Method, request.URL.Path, oneline.Of(x.response.Status))
	if message = oneline.Of(message); message != "" {
		err = fmt.Errorf("%w: %s", err, message)
	}
	return err
}

// pinned returns a TLS configuration that accepts the target's certificate only, and
// for a while the replaced one. It sets before if the pod shows the replaced one.
func pinned(t Target, before *bool) (*tls.Config, error) {
	wanted := certificateBytes(t.Certificate)
	if wanted == nil {
		return nil, errors.New("the Secret has no certificate by which to know the pod")
	}
	var replaced []byte
	if t.before != nil && time.Now().Before(t.before.until) {
		replaced = certificateBytes(t.before.certificate)
	}
	return &tls.Config{
		ServerName: t.ServerName,
		MinVersion: tls.VersionTLS13,
		// Chain, name and dates are not checked. VerifyConnection demands the exact
		// generated certificate, and the handshake proved that the pod has its key.
		InsecureSkipVerify: true, //nolint:gosec // the exact certificate is compared below
		VerifyConnection: func(s tls.ConnectionState) error {
			switch shown := s.PeerCertificates[0]; {
			case bytes.Equal(shown.Raw, wanted):
				return nil
			case replaced != nil && bytes.Equal(shown.Raw, replaced):
				*before = true
				return nil
			default:
				return &podCertificateError{shown, wanted}
			}
		},
	}, nil
}

// certificateBytes returns the certificate of a PEM text; nil if there is none.
func certificateBytes(text []byte) []byte {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	return block.Bytes
}

// A podCertificateError says that a pod showed an unexpected certificate. Either something
// else answers at the pod's address, or the pod has not read a renewed Secret yet.
type podCertificateError struct {
	shown  *x509.Certificate
	wanted []byte
}

func (e *podCertificateError) Error() string {
	shown, wanted := sha256.Sum256(e.shown.Raw), sha256.Sum256(e.wanted)
	return fmt.Sprintf("the pod shows another certificate (SHA-256 %x…) than the Secret has (%x…)", shown[:6], wanted[:6])
}
