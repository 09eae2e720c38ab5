package conformance

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mediaChecks are about the second session, which connects.
func mediaChecks() []check {
	return []check{
		{"each session has a Location of its own", "4.2", "4.2.1", Must, func(_ context.Context, r *run) finding {
			first, second := r.first.answer.header.Get("Location"), r.second.answer.header.Get("Location")
			return when(first != second, "Location %q after %q", second, first)
		}},
		{"the client connects", "3", "3", Must, connects},
		{"media arrives", "", "3", Must, mediaArrives},
		{"RTCP about the tracks arrives", "3", "", Must, mediaArrives},
	}
}

// endChecks are about the end of the second session.
func endChecks() []check {
	return []check{
		{"DELETE ends the session", "4.2", "4.3", Must, deletes},
		{"the connection ends with the session", "4.2", "4.3", Must, disconnects},
		{"a session that has ended is gone", "4.2", "4.3", Should, isGone},
		{"event streams end with their session", "", eventsSection, Must, eventsEnd},
	}
}

// within waits for a channel.
func (r *run) within(ctx context.Context, happened <-chan struct{}) (took time.Duration, ok bool) {
	began := time.Now()
	limit := time.NewTimer(r.config.MediaTimeout)
	defer limit.Stop()
	select {
	case <-happened:
		return time.Since(began).Round(time.Millisecond), true
	case <-limit.C:
	case <-ctx.Done():
	}
	return 0, false
}

func connects(ctx context.Context, r *run) finding {
	if !r.second.countered { // who has answered a counter-offer connects already
		if err := r.second.client.connect(r.second.answer.body); err != nil {
			return fail("the answer cannot be used: %v", err)
		}
	}
	took, ok := r.within(ctx, r.second.client.connected)
	if !ok {
		return fail("no connection within %v, in state %s", r.config.MediaTimeout, r.second.client.pc.ICEConnectionState())
	}
	return pass("after %v", took)
}

// isConnected reports whether the second session has connected.
func (r *run) isConnected() bool {
	select {
	case <-r.second.client.connected:
		return true
	default:
		return false
	}
}

// otherKind is how long the packets of one kind are waited for after those of the other kind.
const otherKind = 3 * time.Second

// mediaArrives waits for packets of both kinds. One kind is enough, because a stream need not have both.
func mediaArrives(ctx context.Context, r *run) finding {
	if !r.isConnected() {
		return skip("there is no connection")
	}
	limit := time.NewTimer(r.config.MediaTimeout)
	defer limit.Stop()
	kinds := map[string]bool{}
	for waiting := true; waiting && len(kinds) < 2; {
		select {
		case kind := <-r.second.client.arrived:
			kinds[kind] = true
			limit.Reset(min(otherKind, r.config.MediaTimeout))
		case <-limit.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	if len(kinds) == 0 {
		return fail("nothing within %v", r.config.MediaTimeout)
	}
	return pass("%s", strings.Join(slices.Sorted(maps.Keys(kinds)), " and "))
}

func deletes(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodDelete, r.second.url, "")
	return when(a.is(2), "%s", a)
}

// disconnects waits for what the client is told: the end of DTLS, or that consent is revoked.
func disconnects(ctx context.Context, r *run) finding {
	if !r.isConnected() {
		return skip("there was no connection")
	}
	took, ok := r.within(ctx, r.second.client.ended)
	if !ok {
		return fail("the connection is still there %v after DELETE", r.config.MediaTimeout)
	}
	return pass("after %v", took)
}

func isGone(ctx context.Context, r *run) finding {
	a := r.do(ctx, http.MethodGet, r.second.url, "")
	if a.status == http.StatusNotFound || a.status == http.StatusGone {
		r.second.url = ""
		return pass("%s", a)
	}
	return fail("%s", a)
}
