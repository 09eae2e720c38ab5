package step

import (
	"math"
	"slices"
	"time"
)

const (
	// trackLength is how long offsets are kept for the drift.
	trackLength = 10 * time.Minute
	// trackStep is the least time between two offsets that are kept.
	trackStep = 4 * time.Second
	trackMost = int(trackLength/trackStep) + 1
	// leastTrack and leastOffsets are needed to tell a drift.
	leastTrack   = time.Minute
	leastOffsets = 8
	// jump is a departure from the track that is no drift; jumpOffsets of them in a row begin
	// a new track.
	jump        = 30 * time.Millisecond
	jumpOffsets = 3
)

// A track is the course of the offset, at most 150 of them.
type track struct {
	points []point
	odd    []point // the newest offsets, if they depart from the track
}

// A point is the offset at a time of the primary.
type point struct{ at, offset time.Duration }

// add takes the next offset. One that departs from the track does not count, unless more follow.
func (t *track) add(at, offset time.Duration) {
	n := len(t.points)
	if n == 0 {
		t.points = append(t.points, point{at, offset})
		return
	}
	last := t.points[n-1]
	if len(t.odd) > 0 {
		last.at = t.odd[len(t.odd)-1].at
	}
	if at < last.at+trackStep {
		return
	}
	if abs(offset-t.median()) > jump {
		if t.odd = append(t.odd, point{at, offset}); len(t.odd) == jumpOffsets {
			t.points, t.odd = t.odd, nil
		}
		return
	}
	t.odd = nil
	t.points = append(t.points, point{at, offset})
	for len(t.points) > trackMost || t.points[0].at < at-trackLength {
		t.points = slices.Delete(t.points, 0, 1)
	}
}

// median returns the median of the newest offsets.
func (t *track) median() time.Duration {
	var newest []time.Duration
	for _, p := range t.points[max(0, len(t.points)-5):] {
		newest = append(newest, p.offset)
	}
	slices.Sort(newest)
	return newest[len(newest)/2]
}

// drift returns the growth of the offset in parts per million, and the confidence in that; 0 and 0 if
// it is unknown. It is the median of the slopes between all pairs (Theil and Sen): up to 29 % of the
// offsets may be wrong.
func (t *track) drift() (ppm, confidence float64) {
	n := len(t.points)
	if n < leastOffsets || t.points[n-1].at-t.points[0].at < leastTrack {
		return 0, 0
	}
	slopes := make([]float64, 0, n*(n-1)/2)
	for i, a := range t.points {
		for _, b := range t.points[i+1:] {
			slopes = append(slopes, float64(b.offset-a.offset)/float64(b.at-a.at))
		}
	}
	slope := medianOf(slopes)
	return slope * 1e6, t.confidence(slope)
}

// confidence computes the standard error of the slope from the spread about it. Two offsets within
// History have sound in common, so that they count as one.
func (t *track) confidence(slope float64) float64 {
	first, last := t.points[0], t.points[len(t.points)-1]
	rests := make([]float64, 0, len(t.points))
	for _, p := range t.points {
		rests = append(rests, (p.offset-first.offset).Seconds()-slope*(p.at-first.at).Seconds())
	}
	middle := medianOf(rests)
	for i, r := range rests {
		rests[i] = math.Abs(r - middle)
	}
	const (
		normal    = 1.4826 // standard deviation of a normal distribution by its median deviation
		least     = 0.0005 // seconds; a smaller spread is chance
		half      = 30     // ppm; the error at a confidence of 0.5
		perLength = 3.4641 // standard deviations of a uniform distribution in its length, √12
	)
	length := (last.at - first.at).Seconds()
	spread := max(normal*medianOf(rests), least)
	ppm := spread * perLength / length / math.Sqrt(max(length/History.Seconds(), 1)) * 1e6
	return half / (half + ppm)
}

// medianOf sorts values.
func medianOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func abs(d time.Duration) time.Duration { return max(d, -d) }
