// Package qoe counts what viewers suffer (quality of experience): stalls, the time to the first
// picture, delay, and lost packets. Players report that in the format of Common Media Client Data
// version 2 (CTA-5004-B), event mode. hls.js can send such reports as it is. Nothing is kept that tells
// one viewer from another.
//
// [Parse] reads a report, and [Handler] takes reports by HTTP.
package qoe

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/dunglas/httpsfv"
)

const (
	// MaxBytes bounds a request's body. A line has some 200 bytes.
	MaxBytes = 16 << 10
	// maxLines bounds the lines of a body.
	maxLines = 64
)

// Bounds of one line's figures. A figure beyond them is left out.
const (
	maxStalled = time.Minute
	maxJoin    = 10 * time.Minute
	maxLatency = time.Hour
	maxPackets = 1 << 20
)

// Keys of this server's own, as CTA-5004-B allows: packets of RTP since the last report.
const (
	keyLost     = "com.streampair-lost"
	keyReceived = "com.streampair-received"
)

// A Report is what one body says, in all its lines.
type Report struct {
	// HLS reports whether the viewer plays by HLS (sf is h), and not by WebRTC.
	HLS bool
	// Stalls are the times that playing stopped for want of media: events ps whose sta is r.
	Stalls int
	// Stalled is how long playing stood still (bsd).
	Stalled time.Duration
	// Joins are the times from the start to the first picture (msd).
	Joins []time.Duration
	// Latencies are how far viewers were behind the encoder (ltc).
	Latencies []time.Duration
	// Lost and Received are packets of RTP.
	Lost, Received int
}

// Parse reads a body of at most MaxBytes: a dictionary of RFC 9651 in each line. Unknown keys, and
// figures that cannot be, are left out. An error means that a line is no dictionary.
func Parse(body []byte) (Report, error) {
	var r Report
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, MaxBytes)
	n := 0
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if n++; n > maxLines {
			return Report{}, fmt.Errorf("more than %d lines", maxLines)
		}
		line, err := httpsfv.UnmarshalDictionary([]string{lines.Text()})
		if err != nil {
			return Report{}, fmt.Errorf("line %d is not a dictionary of RFC 9651: %w", n, err)
		}
		r.add(line)
	}
	if n == 0 {
		return Report{}, errors.New("it is empty")
	}
	return r, lines.Err()
}

// add adds one line.
func (r *Report) add(line *httpsfv.Dictionary) {
	if word(line, "sf") == "h" {
		r.HLS = true
	}
	if word(line, "e") == "ps" && word(line, "sta") == "r" {
		r.Stalls++
	}
	if stalled, ok := duration(line, "bsd", maxStalled); ok {
		r.Stalled += stalled
	}
	if join, ok := duration(line, "msd", maxJoin); ok {
		r.Joins = append(r.Joins, join)
	}
	if latency, ok := duration(line, "ltc", maxLatency); ok {
		r.Latencies = append(r.Latencies, latency)
	}
	if lost, ok := number(line, keyLost); ok && lost <= maxPackets {
		r.Lost += int(lost)
	}
	if received, ok := number(line, keyReceived); ok && received <= maxPackets {
		r.Received += int(received)
	}
}

// word returns a token or a string; empty: there is none.
func word(line *httpsfv.Dictionary, key string) string {
	switch value := item(line, key).(type) {
	case httpsfv.Token:
		return string(value)
	case string:
		return value
	}
	return ""
}

// duration returns milliseconds from 0 to the limit.
func duration(line *httpsfv.Dictionary, key string, limit time.Duration) (time.Duration, bool) {
	ms, ok := number(line, key)
	d := time.Duration(ms * float64(time.Millisecond))
	return d, ok && ms <= float64(limit/time.Millisecond)
}

// number returns a number from 0 on.
func number(line *httpsfv.Dictionary, key string) (float64, bool) {
	switch value := item(line, key).(type) {
	case int64:
		return float64(value), value >= 0
	case float64:
		return value, value >= 0
	}
	return 0, false
}

// item returns the value of a key; nil: there is none. Of an inner list, such as one for video and one
// for audio, it is the first.
func item(line *httpsfv.Dictionary, key string) any {
	member, _ := line.Get(key)
	switch member := member.(type) {
	case httpsfv.Item:
		return member.Value
	case httpsfv.InnerList:
		if len(member.Items) > 0 {
			return member.Items[0].Value
		}
	}
	return nil
}
