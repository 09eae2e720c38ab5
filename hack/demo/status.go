package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/streampair/streampair/api/control"
)

const (
	controlURL = "http://127.0.0.1:9091"
	// pairName is that of the sample manifest.
	pairName = "demo"
)

// ready waits until the server answers.
func ready(ctx context.Context, server *process) error {
	for {
		if _, err := status(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-server.done:
			return errors.New("the server has ended; is something else using its ports (1935, 5080, 5443, 8189, 9090, 9091)?")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func status(ctx context.Context) (control.Status, error) {
	var s control.Status
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, controlURL+"/v1/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, err
	}
	defer func() { _ = answer.Body.Close() }()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

func demoPair(s control.Status) *control.Pair {
	for i := range s.Pairs {
		if s.Pairs[i].Name == pairName {
			return &s.Pairs[i]
		}
	}
	return nil
}

// active is the stream that is on air, empty if none is.
func active(ctx context.Context) string {
	s, err := status(ctx)
	if p := demoPair(s); err == nil && p != nil && p.OnAir {
		return p.ActiveStreamID
	}
	return ""
}

// follow returns a line for each change of what is on air.
func follow(ctx context.Context) <-chan string {
	news := make(chan string)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, controlURL+"/v1/events", nil)
		if err != nil {
			return
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		last := ""
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			var s control.Status
			if !found || json.Unmarshal([]byte(data), &s) != nil {
				continue
			}
			p := demoPair(s)
			if p == nil {
				continue
			}
			line := "on air: nothing; waiting for an encoder"
			if p.OnAir {
				line = fmt.Sprintf("on air: %s (%s, %d switches)", p.ActiveStreamID, p.Reason, p.Switches)
			}
			if line == last {
				continue
			}
			last = line
			select {
			case news <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return news
}
