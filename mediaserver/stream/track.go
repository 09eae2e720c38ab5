package stream

import (
	"slices"
	"time"
)

// intervalWindow is the number of frame intervals for the median. It is short enough to follow a
// change of frame rate within a second of video, and long enough to ignore a few odd frames.
const intervalWindow = 15

// track keeps the facts by which one track is live or lost. It is guarded by Stream.mu.
type track struct {
	announced   bool
	format      *Format
	lastArrival time.Duration // arrival of the last access unit that can be decoded, or time of announce
	lastDTS     time.Duration // on the publisher's clock
	intervals   []time.Duration
	median      time.Duration
	frames      uint64
	bytes       uint64
	fault       *Fault
}

// TrackSnapshot is the state of one track of a publication.
type TrackSnapshot struct {
	// Announced reports whether the publication has such a track.
	Announced bool
	// Format is nil until the first parameters come.
	Format *Format
	// LastArrival is when the last access unit that can be decoded came, on the media clock.
	// Pictures between a dropped picture and the next IDR cannot be decoded.
	LastArrival time.Duration
	// Interval is the median time between access units; 0: unknown.
	Interval time.Duration
	// Frames and Bytes count what the publication sent.
	Frames, Bytes uint64
	// Fault is why viewers cannot play the track; nil: they can.
	Fault *Fault
}

func (t *track) snapshot() TrackSnapshot {
	return TrackSnapshot{t.announced, t.format, t.lastArrival, t.median, t.frames, t.bytes, t.fault}
}

func (t *track) announce(f *Format, now time.Duration) {
	if !t.announced {
		t.lastArrival = now
	}
	t.announced, t.format = true, f
	if t.median == 0 && f != nil && f.FrameRate > 0 {
		t.median = time.Duration(float64(time.Second) / f.FrameRate)
	}
}

// arrived notes an access unit. decodable is false if it refers to an access unit that was dropped.
func (t *track) arrived(dts, now time.Duration, size int, decodable bool) {
	// A jump of the publisher's clock says nothing about its frame rate.
	if d := dts - t.lastDTS; t.frames > 0 && d > 0 && d < 30*time.Second {
		if len(t.intervals) == intervalWindow {
			t.intervals = slices.Delete(t.intervals, 0, 1)
		}
		t.intervals = append(t.intervals, d)
		sorted := slices.Clone(t.intervals)
		slices.Sort(sorted)
		t.median = sorted[len(sorted)/2]
	}
	t.lastDTS = dts
	if decodable {
		t.lastArrival = now
	}
	t.frames++
	t.bytes += uint64(size)
}
