package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/v1alpha1"
)

// A timeline has what happened to the pair and when: the conditions
// and switches from a watch, and the lines of tests and viewers.
type timeline struct {
	mu      sync.Mutex // guards both
	entries []entry
	now     map[string]string // the current value, by subject
}

type entry struct {
	at             time.Time
	subject, value string
}

// follow watches a pair until ctx ends, also across absences of the API server.
func (l *timeline) follow(ctx context.Context, kube client.WithWatch, key client.ObjectKey) {
	for ctx.Err() == nil {
		w, err := kube.Watch(ctx, &v1alpha1.StreamPairList{}, client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name})
		if err == nil {
			for event := range w.ResultChan() {
				if pair, ok := event.Object.(*v1alpha1.StreamPair); ok {
					l.note(pair)
				}
			}
			w.Stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// note adds what has changed.
func (l *timeline) note(pair *v1alpha1.StreamPair) {
	values := map[string]string{}
	for _, c := range pair.Status.Conditions {
		values[c.Type] = fmt.Sprintf("%s/%s", c.Status, c.Reason)
	}
	values["active"] = "none"
	if a := pair.Status.ActiveStream; a != nil {
		values["active"] = string(a.Role)
	}
	if s := pair.Status.LastSwitch; s != nil {
		values["last switch"] = fmt.Sprintf("%s to %s, %s", s.From, s.To, s.Reason)
	}
	for _, ingest := range pair.Status.Ingest {
		values[string(ingest.Role)+"'s pod"] = fmt.Sprintf("%s on %s: %s, plays %s", ingest.PodName, ingest.NodeName, ingest.State, ingest.Playing)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		l.now = map[string]string{}
	}
	for subject, value := range values {
		if l.now[subject] != value {
			l.now[subject] = value
			l.entries = append(l.entries, entry{time.Now(), subject, value})
		}
	}
}

// say adds a line.
func (l *timeline) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{time.Now(), "", fmt.Sprintf(format, args...)})
}

// story returns the values of a condition since a
// moment, beginning with the value at that moment.
func (l *timeline) story(subject string, since time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var values []string
	for _, e := range l.entries {
		if e.subject != subject {
			continue
		}
		if e.at.Before(since) {
			values = values[:0]
		}
		values = append(values, e.value)
	}
	return values
}

// changes returns the values that a subject got since a moment.
func (l *timeline) changes(subject string, since time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var values []string
	for _, e := range l.entries {
		if e.subject == subject && !e.at.Before(since) {
			values = append(values, e.value)
		}
	}
	return values
}

// text returns all entries from a moment on.
func (l *timeline) text(from time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, e := range slices.Clone(l.entries) {
		if e.at.Before(from) {
			continue
		}
		b.WriteString(e.at.Format("15:04:05.000 "))
		if e.subject != "" {
			b.WriteString(e.subject + " is ")
		}
		b.WriteString(e.value + "\n")
	}
	return b.String()
}
