package rtc

import (
	"time"

	"github.com/pion/rtcp"
)

const (
	// reduceAbove is the share of lost packets above which a viewer's pictures are seldom whole, even
	// with retransmissions. restoreBelow is the share below which they mostly are.
	reduceAbove  = .15
	restoreBelow = .05
	// lossPeriod is for how long the loss must be beyond one of the two.
	lossPeriod = 5 * time.Second
	// samplePackets is how many packets make a share that means something: with 20 % lost, one sample
	// in twenty says at most 15 %. After lossPeriod sparsePackets must do, because a viewer that gets
	// IDRs only may get few packets.
	samplePackets = 200
	sparsePackets = 10
)

// A lossState decides whether a viewer gets IDRs only, because too much is lost on the way to it.
// More packets would not help such a path. All times are on the media clock. The zero value is that
// of a new viewer.
type lossState struct {
	reduced bool

	// The sample that is being collected: since when, how many packets were due, and how many of
	// them were lost. from is 0 before the first report.
	from      time.Duration
	due, lost float64
	// beyond is since when all samples have spoken for a change; 0: the last one did not.
	beyond time.Duration
}

// after returns the state after a reception report: so many packets were due since the report
// before, and that share of them was lost. The first report only begins the first sample.
func (s lossState) after(due int, fractionLost float64, now time.Duration) lossState {
	if s.from == 0 {
		s.from = now
		return s
	}
	s.due += float64(due)
	s.lost += float64(due) * fractionLost
	if s.due < sparsePackets || s.due < samplePackets && now-s.from < lossPeriod {
		return s
	}
	share := s.lost / s.due
	switch {
	case s.reduced && share >= restoreBelow, !s.reduced && share <= reduceAbove:
		s.beyond = 0
	case s.beyond == 0:
		s.beyond = s.from
	}
	if s.beyond != 0 && now-s.beyond >= lossPeriod {
		s.reduced, s.beyond = !s.reduced, 0
	}
	s.from, s.due, s.lost = now, 0, 0
	return s
}

// interrupted returns the state after a time in which nothing was sent.
func (s lossState) interrupted() lossState { return lossState{reduced: s.reduced} }

// maxDue bounds how many packets a report can be about. A report about more is of another stream, or
// a mistake.
const maxDue = 1 << 15

// lossReported takes a reception report of the video into account.
func (v *Viewer) lossReported(r *rtcp.ReceptionReport, now time.Duration) {
	due := r.LastSequenceNumber - v.reception.highest
	known := v.reception.highest != 0
	v.reception.highest = r.LastSequenceNumber
	if !known || due > maxDue {
		due = 0
	}
	v.loss = v.loss.after(int(due), float64(r.FractionLost)/256, now)
	if v.loss.reduced == v.video.entriesOnly {
		return
	}
	v.video.reduce(v.loss.reduced)
	if v.loss.reduced {
		v.output.cfg.Metrics.ViewerReductions.Inc()
		v.log.Info("viewer gets IDRs only: too many packets are lost on the way to it", "lossRatio", v.video.stats.FractionLost)
	} else {
		v.log.Info("viewer gets all pictures again")
	}
	if v.reductionChanged != nil {
		close(v.reductionChanged)
		v.reductionChanged = nil
	}
}

// Reduced reports whether the viewer gets IDRs only. changed is closed when that changes.
func (v *Viewer) Reduced() (reduced bool, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reductionChanged == nil {
		v.reductionChanged = make(chan struct{})
	}
	return v.loss.reduced, v.reductionChanged
}

// reduce makes the track one of IDRs only, or one of all pictures from the next IDR on.
func (t *viewerTrack) reduce(entriesOnly bool) {
	t.entriesOnly = entriesOnly
	if entriesOnly && !t.inPicture && !t.waiting {
		t.waiting, t.resume = true, t.cursor
	}
}
