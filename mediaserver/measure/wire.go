package measure

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// maxLine bounds a line of JSON, in bytes. The longest has some 6 kB.
	maxLine = 16 << 10
	// heartbeat is how often an empty line is sent while nothing is measured.
	heartbeat = 500 * time.Millisecond
	// writeTimeout is how long a peer may take to accept a line.
	writeTimeout = 5 * time.Second
)

// Path returns the path of the reports of a stream, as Serve answers it.
func Path(key stream.Key) string { return "/" + key.App + "/measures/" + key.ID }

// Serve sends a peer what is measured here of a stream, a Report a line, until the request or over
// ends. Times are nanoseconds of the Unix epoch.
func (r *Reports) Serve(w http.ResponseWriter, req *http.Request, key stream.Key, epoch time.Time, over <-chan struct{}) {
	reports, stop := r.Follow(key, false)
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	defer admission.Hold(req.Context())()
	lines, rc := json.NewEncoder(w), http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var report Report
		select {
		case <-req.Context().Done():
			return
		case <-over:
			return
		case <-r.closed:
			return
		case report = <-reports:
			beat.Reset(heartbeat)
		case <-beat.C:
		}
		sent := report.onClock(time.Duration(epoch.UnixNano()))
		if rc.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil || lines.Encode(sent) != nil || rc.Flush() != nil {
			return
		}
	}
}

// Read reads the reports of a peer until the connection ends, and returns why it has ended.
func (r *Reports) Read(ctx context.Context, body io.Reader, key stream.Key, epoch time.Time) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for ctx.Err() == nil && lines.Scan() {
		var report Report
		if err := json.Unmarshal(lines.Bytes(), &report); err != nil {
			return fmt.Errorf("read what the peer measures: %w", err)
		}
		report = report.onClock(-time.Duration(epoch.UnixNano()))
		if report.isSane(time.Since(epoch)) {
			r.Told(key, report, time.Now())
		}
	}
	return lines.Err()
}

// maxAway is how far the times of a report may be from now. Media is late by less, and the clocks of
// two nodes differ by less.
const maxAway = 10 * time.Minute

// isSane reports whether a peer's report can be used. A faulty peer must not spoil what is known.
func (r Report) isSane(now time.Duration) bool {
	near := func(at time.Duration) bool { return (at - now).Abs() < maxAway }
	sane := r.Publication != 0 && len(r.Sound) <= maxBlocks
	switch r.Unwatched {
	case "", UnwatchedNoFFmpeg, UnwatchedFull, UnwatchedFailed, UnwatchedNoMemory:
	default:
		return false
	}
	for i := range r.Sound {
		sane = sane && near(r.Sound[i].At)
	}
	if r.Picture != nil {
		sane = sane && near(r.Picture.At)
	}
	if r.Rates != nil {
		sane = sane && near(r.Rates.From) && near(r.Rates.To)
	}
	return sane
}
