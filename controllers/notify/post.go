package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/publicnet"
	"github.com/streampair/streampair/api/v1alpha1"
)

const (
	// postTimeout bounds one request, from the look-up of the name to the last byte.
	postTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes, and maxHeader its header. Nothing of an
	// answer but its status code is used.
	maxAnswer, maxHeader = 4 << 10, 64 << 10
)

// newClient returns a client that calls public addresses and the allowed networks only, whatever a
// name resolves to. The client follows no redirects, and knows no proxies.
func newClient(allowed []netip.Prefix, config *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: postTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if err := publicnet.Judge(address, allowed); err != nil {
			return fmt.Errorf("%w (--notification-networks)", err)
		}
		return nil
	}}
	return &http.Client{
		Timeout:       postTimeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, MaxResponseHeaderBytes: maxHeader, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends an event to a receiver. It returns the status code of the answer, or why there is none.
// The error has no URL.
func (s *Sender) post(ctx context.Context, r *receiver, e v1alpha1.HistoryEntry) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	to := r.target
	address := to.URL
	if to.URLSecretRef != nil {
		var err error
		if address, err = s.secret(ctx, r, to.URLSecretRef.Name, v1alpha1.SecretKeyWebhookURL); err != nil {
			return 0, err
		}
		if address = strings.TrimSpace(address); !v1alpha1.IsReceiverURL(address) {
			return 0, fmt.Errorf("%s is no https:// URL without user and fragment", v1alpha1.SecretKeyWebhookURL)
		}
	}
	text, err := s.secret(ctx, r, to.KeySecretRef.Name, v1alpha1.SecretKeyWebhookKey)
	if err != nil {
		return 0, err
	}
	request, err := signed(ctx, address, text, r, e, time.Now())
	if err != nil {
		return 0, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	return answer.StatusCode, nil
}

// signed returns the request that sends an event at now.
func signed(ctx context.Context, address, key string, r *receiver, e v1alpha1.HistoryEntry, now time.Time) (*http.Request, error) {
	bytesOfKey, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	signer, err := standardwebhooks.NewWebhookRaw(bytesOfKey)
	if err != nil {
		return nil, err
	}
	body, err := messageBody(r.pair, r.uid, e)
	if err != nil {
		return nil, err
	}
	id := messageID(r.uid, e)
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "streampair-operator",
		standardwebhooks.HeaderWebhookID: id, standardwebhooks.HeaderWebhookTimestamp: unixTime(now),
		standardwebhooks.HeaderWebhookSignature: signature,
	} {
		request.Header.Set(name, value)
	}
	return request, nil
}

// secret reads a key of a Secret in the pair's namespace, by name.
func (s *Sender) secret(ctx context.Context, r *receiver, name, key string) (string, error) {
	secret := &corev1.Secret{}
	if err := s.cfg.Reader.Get(ctx, client.ObjectKey{Namespace: r.pair.Namespace, Name: name}, secret); err != nil {
		return "", fmt.Errorf("read the Secret %s: %w", name, err)
	}
	if len(secret.Data[key]) == 0 {
		return "", fmt.Errorf("the Secret %s has no %s", name, key)
	}
	return string(secret.Data[key]), nil
}

// withoutURL returns what is below the part of an error that has the URL.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
