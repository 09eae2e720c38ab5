package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// fetchTimeout bounds one fetch, from the look-up of the name to the last byte.
	fetchTimeout = 5 * time.Second
	// refreshAfter is the time from a successful fetch to the next.
	refreshAfter = 5 * time.Minute
	// askAgainAfter is the shortest time between two fetches, whatever tokens come.
	askAgainAfter = time.Minute
	// validFor is how long the keys of a fetch count if no later fetch succeeds.
	validFor = 24 * time.Hour
)

// ErrUnavailable is an error of Source.Key: the URL has given no keys, or none for 24 hours.
var ErrUnavailable = errors.New("the keys of its signer could not be fetched; try again later")

// A schedule is when a URL was asked. It is a value: its methods are pure.
type schedule struct {
	asked   time.Time // zero: not yet
	fetched time.Time // when the keys in force were fetched; zero: there are none
	failed  bool      // the last fetch gave no keys
}

// isDue reports whether it is time for the next fetch.
func (s schedule) isDue(now time.Time) bool {
	if s.asked.IsZero() {
		return true
	}
	if s.failed {
		return s.mayAsk(now)
	}
	return now.Sub(s.fetched) >= refreshAfter && s.mayAsk(now)
}

// mayAsk reports whether a fetch is allowed now.
func (s schedule) mayAsk(now time.Time) bool {
	return s.asked.IsZero() || now.Sub(s.asked) >= askAgainAfter
}

// isValid reports whether the keys count.
func (s schedule) isValid(now time.Time) bool {
	return !s.fetched.IsZero() && now.Sub(s.fetched) < validFor
}

// A Source is the key set at a URL. It is safe for concurrent use.
type Source struct {
	url    string
	client *http.Client
	wake   func() // makes the Directory look at the source

	mu       sync.Mutex // guards all below
	schedule schedule
	set      *Set
	text     []byte // of set
	err      error  // of the last fetch; nil: it succeeded, or there was none
	wanted   bool   // somebody waits for a fetch
	// done is closed when the fetch under way, or the next, has ended, and when a peer gave keys.
	done     chan struct{}
	fetching bool
}

func newSource(url string, client *http.Client, wake func()) *Source {
	return &Source{url: url, client: client, wake: wake, done: make(chan struct{})}
}

// Key returns what checks the token's signature, for the jwt package. If the token's kid is
// unknown, the URL is asked first, but only once a minute; Key waits for the answer until ctx ends.
// An error is ErrUnknownKey, ErrUnavailable, or says that the key is for another algorithm.
func (s *Source) Key(ctx context.Context, token *jwt.Token) (any, error) {
	key, err := s.knownKey(ctx, token)
	if !errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrUnavailable) {
		return key, err
	}
	s.ask(ctx)
	return s.knownKey(ctx, token)
}

func (s *Source) knownKey(ctx context.Context, token *jwt.Token) (any, error) {
	s.mu.Lock()
	set, valid := s.set, s.schedule.isValid(time.Now())
	s.mu.Unlock()
	if !valid {
		return nil, ErrUnavailable
	}
	return set.Key(ctx, token)
}

// ask waits until there may be other keys, or until ctx ends. It does not wait if no fetch is
// allowed now.
func (s *Source) ask(ctx context.Context) {
	s.mu.Lock()
	if !s.fetching && !s.schedule.mayAsk(time.Now()) {
		s.mu.Unlock()
		return
	}
	s.wanted = !s.fetching
	done := s.done
	s.mu.Unlock()
	s.wake()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// begin reports whether a fetch is to begin now. The caller must then call fetch.
func (s *Source) begin(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.wanted && s.schedule.mayAsk(now)
	if s.fetching || !wanted && !s.schedule.isDue(now) {
		return false
	}
	s.fetching, s.wanted, s.schedule.asked = true, false, now
	return true
}

// fetch asks the URL.
func (s *Source) fetch(ctx context.Context) error {
	text, err := s.get(ctx)
	var set *Set
	if err == nil {
		set, err = Parse(text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetching, s.schedule.failed = false, err != nil
	s.err = err
	if err == nil {
		s.set, s.text, s.schedule.fetched = set, text, time.Now()
	}
	s.tell()
	return err
}

// tell ends the waits of ask. s.mu is held.
func (s *Source) tell() {
	close(s.done)
	s.done = make(chan struct{})
}

func (s *Source) get(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the URL answers %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return text, nil
}

// Keys are the keys of a URL as one server tells its peer.
type Keys struct {
	URL     string    `json:"url"`
	Fetched time.Time `json:"fetched"`
	Set     string    `json:"set"` // a JSON Web Key Set
}

// keys returns what the source has; ok is false if it has nothing that counts.
func (s *Source) keys(now time.Time) (k Keys, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Keys{URL: s.url, Fetched: s.schedule.fetched, Set: string(s.text)}, s.schedule.isValid(now)
}

// take takes the keys of a peer over if they are later than its own.
func (s *Source) take(k Keys, now time.Time) error {
	set, err := Parse([]byte(k.Set))
	if err != nil {
		return err
	}
	fetched := k.Fetched
	if fetched.After(now) { // the peer's clock is ahead
		fetched = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fetched.After(s.schedule.fetched) {
		s.set, s.text, s.schedule.fetched = set, []byte(k.Set), fetched
		s.tell()
	}
	return nil
}

// lacksKeys reports whether the source has no keys that count.
func (s *Source) lacksKeys(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.schedule.isValid(now)
}

// fault returns when the keys in force were fetched, and why the last fetch failed.
func (s *Source) fault() (fetched time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schedule.fetched, s.err
}
