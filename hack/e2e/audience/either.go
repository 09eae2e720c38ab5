package audience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// connectLimit bounds the wait for a connection, and holdLimit the wait for an
	// answer. After answerLimit without an answer the next pod is asked as well.
	connectLimit = time.Second
	answerLimit  = time.Second
	holdLimit    = 20 * time.Second
	// awayTime is how long a pod is not asked after another pod has answered in its place.
	awayTime = 3 * time.Second
	// findInterval is how often the pods are looked up.
	findInterval = 200 * time.Millisecond
	// mostBytes bounds one answer.
	mostBytes = 32 << 20
)

// An eitherPod sends each request to another pod than the request before. It asks the next
// pod where a pod cannot be reached, or does not answer soon. A proxy may do the same.
type eitherPod struct {
	find    func(ctx context.Context) []string
	client  *http.Client
	running sync.WaitGroup // requests

	mu      sync.Mutex // guards all below
	bases   []string
	away    map[string]time.Time // until then a pod is not asked
	turn    int
	answers map[string]int // by base and status
}

func newEitherPod(find func(ctx context.Context) []string) *eitherPod {
	dialer := &net.Dialer{Timeout: connectLimit}
	return &eitherPod{
		find: find, client: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}},
		away: map[string]time.Time{}, answers: map[string]int{},
	}
}

// look looks the pods up.
func (e *eitherPod) look(ctx context.Context) {
	if bases := e.find(ctx); len(bases) > 0 {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.bases = bases
	}
}

// run looks the pods up until ctx ends.
func (e *eitherPod) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(findInterval):
			e.look(ctx)
		}
	}
}

// close waits for all requests. Their contexts must have ended.
func (e *eitherPod) close() {
	e.running.Wait()
	e.client.CloseIdleConnections()
}

// next returns the pods in the order in which they are asked. Pods that are away come last.
func (e *eitherPod) next() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.bases) == 0 {
		return nil
	}
	e.turn++
	first := e.turn % len(e.bases)
	order := slices.Concat(e.bases[first:], e.bases[:first])
	now := time.Now()
	slices.SortStableFunc(order, func(a, b string) int { return btoi(now.Before(e.away[a])) - btoi(now.Before(e.away[b])) })
	return order
}

// A reply is what came of a request to one pod.
type reply struct {
	base   string
	body   []byte
	status int
	err    error
}

// get requests a path. It returns an error if no pod answers, or if the status is not 200.
func (e *eitherPod) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	bases := e.next()
	replies := make(chan reply, len(bases))
	var errs []error
	for asked := 0; len(errs) < len(bases); {
		var late <-chan time.Time
		if asked == len(errs) {
			e.ask(ctx, bases[asked], path, replies)
			asked++
		}
		if asked < len(bases) {
			late = time.After(answerLimit)
		}
		select {
		case <-late:
			e.ask(ctx, bases[asked], path, replies)
			asked++
		case r := <-replies:
			if r.err != nil {
				errs = append(errs, r.err)
				continue
			}
			e.note(r, bases[:asked])
			if r.status != http.StatusOK {
				return nil, fmt.Errorf("%s%s answers %d: %.200s", r.base, path, r.status, r.body)
			}
			return r.body, nil
		}
	}
	return nil, fmt.Errorf("no pod answers %s: %w", path, errors.Join(errs...))
}

// note counts an answer. The pods that were asked before the one that answered are away.
func (e *eitherPod) note(r reply, asked []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[fmt.Sprintf("%s %d", r.base, r.status)]++
	for _, base := range asked[:slices.Index(asked, r.base)] {
		e.answers[base+" none"]++
		e.away[base] = time.Now().Add(awayTime)
	}
}

// ask sends a request to one pod. replies gets what comes of it.
func (e *eitherPod) ask(ctx context.Context, base, path string, replies chan<- reply) {
	e.running.Go(func() {
		r := reply{base: base}
		defer func() { replies <- r }()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			r.err = err
			return
		}
		answer, err := e.client.Do(request)
		if err != nil {
			r.err = err
			return
		}
		defer answer.Body.Close()
		r.status = answer.StatusCode
		r.body, r.err = io.ReadAll(io.LimitReader(answer.Body, mostBytes))
	})
}
