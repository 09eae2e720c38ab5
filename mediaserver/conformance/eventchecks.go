package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
)

// eventsRelation is the relation type of the Link header of the server-sent events extension.
const eventsRelation = "urn:ietf:params:whep:ext:core:server-sent-events"

// eventsSection is where the extension is defined: webrtc-http-egress-events.md, beside the draft.
const eventsSection = "whep extensions 4"

// An eventRun is what the checks of the extension have found so far.
type eventRun struct {
	entry  string   // the URL that takes the POST; empty: the extension is not announced
	names  []string // that are announced; none: the server does not say
	stream string   // the URL of the event stream
}

// eventChecks are about the server-sent events extension of WHEP.
func eventChecks() []check {
	return []check{
		{"the events extension has a URL", "", "4.9", Must, announcesEvents},
		{"an unknown event is refused with 400", "", eventsSection, Must, refusesUnknownEvent},
		{"POST of events makes an event stream", "", eventsSection, Must, makesStream},
		{"the event stream sends events", "", eventsSection, Must, sendsEvents},
		{"DELETE ends an event stream", "", eventsSection, Must, deletesStream},
	}
}

func announcesEvents(_ context.Context, r *run) finding {
	for _, l := range links(r.second.answer.header) {
		if !slices.Contains(strings.Fields(l.parameters["rel"]), eventsRelation) {
			continue
		}
		u, err := r.second.answer.url.Parse(l.target)
		if err != nil || l.target == "" {
			return fail("<%s> is no URL", l.target)
		}
		r.events.entry = u.String()
		for name := range strings.SplitSeq(l.parameters["events"], ",") {
			if name = strings.TrimSpace(name); name != "" {
				r.events.names = append(r.events.names, name)
			}
		}
		return pass("%s", strings.Join(r.events.names, ","))
	}
	return skip("the server does not announce it")
}

// postEvents asks for an event stream.
func (r *run) postEvents(ctx context.Context, names []string) answer {
	body, err := json.Marshal(names)
	if err != nil {
		return answer{err: err}
	}
	return r.do(ctx, http.MethodPost, r.events.entry, string(body), "Content-Type", "application/json")
}

func refusesUnknownEvent(ctx context.Context, r *run) finding {
	if r.events.entry == "" {
		return skip("the server does not announce the extension")
	}
	a := r.postEvents(ctx, append([]string{"x-unknown"}, r.events.names...))
	return when(a.status == http.StatusBadRequest, "%s", a)
}

func makesStream(ctx context.Context, r *run) finding {
	if r.events.entry == "" {
		return skip("the server does not announce the extension")
	}
	names := r.events.names
	if len(names) == 0 {
		names = []string{"active"}
	}
	a := r.postEvents(ctx, names)
	if a.status != http.StatusCreated || a.header.Get("Location") == "" {
		return fail("%s, Location %q", a, a.header.Get("Location"))
	}
	u, err := a.url.Parse(a.header.Get("Location"))
	if err != nil {
		return fail("Location %q", a.header.Get("Location"))
	}
	r.events.stream = u.String()
	return pass("201, Location %q", a.header.Get("Location"))
}

// sendsEvents reads the stream without a token, because EventSource of a browser can send none. It
// waits for an active event, since there is media, and for a viewercount event if that is announced.
func sendsEvents(ctx context.Context, r *run) finding {
	if r.events.stream == "" {
		return skip("there is no event stream")
	}
	ctx, stop := context.WithTimeout(ctx, r.config.MediaTimeout)
	defer stop()
	response, err := r.send(ctx, http.MethodGet, r.events.stream, "", "Accept", "text/event-stream", "Authorization", "")
	if err != nil {
		return fail("%v", err)
	}
	defer func() { _ = response.Body.Close() }()
	if t, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";"); response.StatusCode != http.StatusOK || t != "text/event-stream" {
		return fail("%d, Content-Type %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	awaited := map[string]bool{"active": true}
	if slices.Contains(r.events.names, "viewercount") {
		awaited["viewercount"] = true
	}
	var seen []string
	for name, data := range eventsOf(bufio.NewScanner(response.Body)) {
		if problem := checkEvent(name, data, len(seen) == 0); problem != "" {
			return fail("%s", problem)
		}
		seen = append(seen, name)
		delete(awaited, name)
		if len(awaited) == 0 {
			break
		}
	}
	return when(len(awaited) == 0, "events %q, %d awaited ones are missing", seen, len(awaited))
}

// eventsOf yields the events of a stream. An event with several data lines has one with line breaks.
func eventsOf(lines *bufio.Scanner) iter.Seq2[string, string] {
	return func(yield func(name, data string) bool) {
		var name string
		var data []string
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == "":
				if len(data) > 0 && !yield(name, strings.Join(data, "\n")) {
					return
				}
				name, data = "", nil
			case field == "event":
				name = value
			case field == "data":
				data = append(data, value)
			}
		}
	}
}

// checkEvent returns what is wrong with an event; empty: nothing. first reports whether it is the
// first of its stream.
func checkEvent(name, data string, first bool) string {
	var fields map[string]any
	switch {
	case strings.Contains(data, "\n"):
		return fmt.Sprintf("the data of %s has several lines", name)
	case name == "inactive" && first:
		return "inactive is sent at first"
	case name == "scte35":
		return ""
	case json.Unmarshal([]byte(data), &fields) != nil:
		return fmt.Sprintf("the data of %s is no JSON object: %s", name, data)
	}
	if _, isNumber := fields["viewercount"].(float64); name == "viewercount" && !isNumber {
		return "viewercount has no number: " + data
	}
	return ""
}

func deletesStream(ctx context.Context, r *run) finding {
	if r.events.stream == "" {
		return skip("there is no event stream")
	}
	deleted := r.do(ctx, http.MethodDelete, r.events.stream, "")
	after := r.status(ctx, r.events.stream)
	if makesStream(ctx, r).outcome != Pass { // for eventsEnd
		r.events.stream = ""
	}
	return when(deleted.is(2) && after == http.StatusNotFound, "%s, and then %d to GET", deleted, after)
}

func eventsEnd(ctx context.Context, r *run) finding {
	if r.events.stream == "" {
		return skip("there is no event stream")
	}
	after := r.status(ctx, r.events.stream)
	return when(after >= 400 && after < 500, "%d to GET after the session's end", after)
}

// status returns the status of a GET whose answer may be endless; 0: there was none.
func (r *run) status(ctx context.Context, url string) int {
	ctx, stop := context.WithTimeout(ctx, requestTimeout)
	defer stop()
	response, err := r.send(ctx, http.MethodGet, url, "", "Authorization", "")
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
