package content

import "time"

const (
	// kept is how much of a leg's past can be compared with the other leg.
	kept = time.Minute
	// maxRuns bounds the runs that are kept of one leg and one fault.
	maxRuns = 64
)

// A run is a span of a leg's own time in which all measurements were of one state.
type run struct{ from, to time.Duration }

func (r run) length() time.Duration { return r.to - r.from }

// overlap returns how much of r is in s.
func (r run) overlap(s run) time.Duration { return run{max(r.from, s.from), min(r.to, s.to)}.length() }

func (r run) shifted(by time.Duration) run { return run{r.from + by, r.to + by} }

// A kind says how a fault is measured.
type kind struct {
	// pause is the longest time between two measurements that still follow each other.
	pause time.Duration
	// gap is how long a leg may be other than clear within a run of being clear: speech has pauses.
	gap time.Duration
	// between says that each measurement compares the picture at its end with the one at its start.
	between bool
}

// history is how a leg stood as to one fault.
type history struct {
	// last is when the last measurement ended. unknown is the time between two measurements, or
	// between two pictures that are compared, the longest of late. What lasts less than unseen can be
	// missed by the leg's measurements.
	last, unknown, unseen time.Duration
	// faulty is the run with the fault that goes on now. isFaulty reports whether there is one.
	faulty   run
	isFaulty bool
	// began is how much sooner than its first measurement the run began, as a guess: half of unknown.
	began time.Duration
	// clear are the runs without the fault, the newest last. isClear reports whether the newest one
	// goes on.
	clear   []run
	isClear bool
	// heard is when a measurement was told last.
	heard time.Duration
	// present reports whether the leg has the fault, beside the other leg.
	present bool
}

// add adds a measurement for the time from to to.
func (h *history) add(s state, from, to time.Duration, k kind) {
	follows := h.last != 0 && from >= h.last && from <= h.last+k.pause
	unknown, length := time.Duration(0), to-from
	if follows {
		unknown = from - h.last
	}
	h.unseen = max(unknown+2*length, h.unseen*7/8)
	if k.between {
		unknown = length
	}
	h.unknown = max(unknown, h.unknown*7/8)
	h.addFaulty(s, from, to, follows)
	h.addClear(s, from, to, follows, k.gap)
	h.last = to
}

func (h *history) addFaulty(s state, from, to time.Duration, follows bool) {
	switch {
	case s != faulty:
		h.isFaulty = false
	case h.isFaulty && follows:
		h.faulty.to = to
	default:
		h.isFaulty, h.faulty, h.began = true, run{from, to}, h.unknown/2
	}
}

func (h *history) addClear(s state, from, to time.Duration, follows bool, gap time.Duration) {
	h.isClear = h.isClear && follows && (s == clear || to <= h.clear[len(h.clear)-1].to+gap)
	switch {
	case s != clear:
	case h.isClear:
		h.clear[len(h.clear)-1].to = to
	default:
		h.isClear = true
		h.clear = append(h.clear, run{from, to})
	}
	for len(h.clear) > 0 && (len(h.clear) > maxRuns || h.clear[0].to < to-kept || h.clear[0].from > to) {
		h.clear = h.clear[1:]
		h.isClear = h.isClear && len(h.clear) > 0
	}
}

// lasts reports whether what the leg shows differs from what the other leg shows for the time
// after. The other leg shows the programme by offset later. now are the legs' times.
//
// There are two ways to tell. By measurements alone, the fault lasts from the first to the last of
// them. Or else a picture stays what it was until the next key frame says otherwise, and the fault
// began halfway between two key frames. Either needs more time than the other leg's measurements can
// miss. Else a moment that both legs show would be a fault of the leg whose key frame it met.
//
// The other leg may have become clear after the fault began. Then measurements alone count, and need
// more time than the leg's own key frames can miss too.
func (h *history) lasts(beside *history, after, offset time.Duration, now [2]time.Duration) bool {
	shown := run{h.faulty.from, max(h.faulty.to, min(now[0], h.faulty.to+h.unknown))}
	guessed := h.began + max(shown.to-h.faulty.to, offsetError)
	for i, r := range beside.clear {
		r = r.shifted(-offset)
		if r.from > h.faulty.from-h.began {
			if h.faulty.overlap(r) >= max(after, beside.unseen+h.unknown, least) {
				return true
			}
			continue
		}
		if h.faulty.overlap(r) >= max(after, beside.unseen, least) {
			return true
		}
		if beside.isClear && i == len(beside.clear)-1 {
			r.to = min(now[1]-offset, r.to+beside.unknown)
		}
		if shown.overlap(r)+h.began >= max(after, beside.unseen+guessed, least) {
			return true
		}
	}
	return false
}

// clearFor returns for how long the leg has been without the fault; 0: it is not.
func (h *history) clearFor() time.Duration {
	if !h.isClear {
		return 0
	}
	return h.clear[len(h.clear)-1].length()
}
