package mediatest

import (
	"math"
	"slices"
	"time"
)

// psnr returns the PSNR of two planes of equal size.
func psnr(a, b []byte) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return 0
	}
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	if sum == 0 {
		return 100
	}
	return min(100, 10*math.Log10(255*255*float64(len(a))/sum))
}

// A Sighting is one picture as a viewer saw it.
type Sighting struct {
	// Seen is when the picture arrived, or was shown.
	Seen time.Time
	// Presented is the picture's presentation time. Sender reports map it to the
	// server's wall clock. It is zero if unknown.
	Presented time.Time
	TimeCode

	rtp uint32
}

// LongestGap returns the longest time between two sightings in [from, to]. The times from
// from to the first sighting, and from the last one to to, count too.
func LongestGap(sightings []Sighting, from, to time.Time) time.Duration {
	last, longest := from, time.Duration(0)
	for _, s := range sightings {
		if s.Seen.Before(from) || s.Seen.After(to) {
			continue
		}
		longest, last = max(longest, s.Seen.Sub(last)), s.Seen
	}
	return max(longest, to.Sub(last))
}

// Age returns how long after its due time a picture was seen. The programme is
// replayed from epoch in a loop of the given length.
func Age(s Sighting, epoch time.Time, fps int, loop time.Duration) time.Duration {
	due := epoch.Add(time.Duration(s.Frame) * time.Second / time.Duration(fps))
	age := s.Seen.Sub(due) % loop
	if age < -loop/2 {
		age += loop
	}
	if age > loop*3/4 { // a little early, in the next turn of the loop
		age -= loop
	}
	return age
}

// FirstCurrent returns the first sighting after a time of a leg's picture that is at
// most maxAge old.
func FirstCurrent(sightings []Sighting, leg int, after time.Time, maxAge time.Duration, age func(Sighting) time.Duration) (Sighting, bool) {
	for _, s := range sightings {
		if s.Leg == leg && s.Seen.After(after) && age(s) <= maxAge {
			return s, true
		}
	}
	return Sighting{}, false
}

// StepsBack returns how many pictures show the same moment of the programme as the picture before,
// or an earlier one, by their time codes. frames is the loop's length in pictures.
func StepsBack(sightings []Sighting, frames int) int {
	n := 0
	for i := 1; i < len(sightings); i++ {
		step := ((sightings[i].Frame-sightings[i-1].Frame)%frames + frames) % frames
		if step == 0 || step > frames/2 {
			n++
		}
	}
	return n
}

// A Skew is the distance in time between one beep and its picture.
type Skew struct {
	At time.Time
	// Late is how much later than its picture the sound is presented. It is negative
	// for earlier sound.
	Late time.Duration
}

// Skews compares the beeps with the pictures around them. A beep begins with the first
// picture of a second. Both times are presentation times on the server's wall clock.
// Beeps without a picture within 500 ms are left out.
func Skews(sightings []Sighting, beeps []time.Time, fps int) []Skew {
	var presented []Sighting
	for _, s := range sightings {
		if !s.Presented.IsZero() {
			presented = append(presented, s)
		}
	}
	slices.SortFunc(presented, func(a, b Sighting) int { return a.Presented.Compare(b.Presented) })
	var skews []Skew
	for _, beep := range beeps {
		i, _ := slices.BinarySearchFunc(presented, beep, func(s Sighting, t time.Time) int { return s.Presented.Compare(t) })
		best, found := time.Duration(math.MaxInt64), Sighting{}
		for _, j := range []int{i - 1, i} {
			if j < 0 || j >= len(presented) {
				continue
			}
			if d := beep.Sub(presented[j].Presented).Abs(); d < best {
				best, found = d, presented[j]
			}
		}
		if best > 500*time.Millisecond {
			continue
		}
		// moment is the moment of the programme that is on screen when the beep is heard.
		moment := time.Duration(found.Frame)*time.Second/time.Duration(fps) + beep.Sub(found.Presented)
		late := moment - moment.Round(time.Second)
		skews = append(skews, Skew{beep, late})
	}
	return skews
}

// WorstSkew returns the largest skew, early or late.
func WorstSkew(skews []Skew) time.Duration {
	worst := time.Duration(0)
	for _, s := range skews {
		if s.Late.Abs() > worst.Abs() {
			worst = s.Late
		}
	}
	return worst
}

// A Sound is the decoded audio of one sender. It has samples of one channel at a rate in Hz.
type Sound struct {
	Rate    int
	Samples []float32
	// Time returns when sample i is presented.
	Time func(i int) time.Time
}

// Beeps returns when the beeps of a programme begin. A quarter of a second without a beep precedes
// each. A beep at the beginning of the sound is left out, because its own beginning may be missing.
func (s Sound) Beeps() []time.Time {
	var beeps []time.Time
	rest, quiet := s.Rate/4, 0
	for i, v := range s.Samples {
		if v < beepEdge && v > -beepEdge {
			quiet++
			continue
		}
		if quiet >= rest {
			beeps = append(beeps, s.Time(i))
		}
		quiet = 0
	}
	return beeps
}

// A Silence is a part of the sound without the programme's soft tone.
type Silence struct {
	Begin  time.Time
	Length time.Duration
}

// Silences returns the parts of at least minimum in which a programme's sound is missing.
func (s Sound) Silences(minimum time.Duration) []Silence {
	var silences []Silence
	begin := -1
	end := func(i int) {
		if begin < 0 {
			return
		}
		if d := time.Duration(i-begin) * time.Second / time.Duration(s.Rate); d >= minimum {
			silences = append(silences, Silence{s.Time(begin), d})
		}
		begin = -1
	}
	for i, v := range s.Samples {
		switch {
		case v >= silentEdge || v <= -silentEdge:
			end(i)
		case begin < 0:
			begin = i
		}
	}
	end(len(s.Samples))
	return silences
}
