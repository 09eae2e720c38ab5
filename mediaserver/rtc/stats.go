package rtc

import "time"

// TrackStats describe one track of a viewer since it came.
type TrackStats struct {
	Packets, Bytes uint64
	// Dropped packets could not be written. Skipped packets were left out after that,
	// until the next IDR.
	Dropped, Skipped uint64
	// Nacked packets were asked for again. Resent packets were sent again; they are among Packets
	// and Bytes if they were sent in the same stream, without RTX.
	Nacked, Resent uint64
	// FractionLost (0 to 1) and Jitter are from the viewer's last reception report.
	FractionLost float64
	Jitter       time.Duration
}

// ViewerStats describe a viewer.
type ViewerStats struct {
	ID, Protocol string
	Since        time.Time
	Connected    bool
	// JoinDuration is the time from connected until the first picture was sent; 0 before.
	JoinDuration time.Duration
	RoundTrip    time.Duration
	// EstimateBPS is the viewer's own estimate of what the way to it takes, in bits per second
	// (REMB); 0: none has come.
	EstimateBPS float64
	// Reduced reports whether the viewer gets IDRs only, because of the loss on the way to it.
	Reduced      bool
	PLIs         uint64
	Video, Audio TrackStats
}

// Stats describes the viewer now.
func (v *Viewer) Stats() ViewerStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	stats := ViewerStats{
		ID: v.cfg.ID, Protocol: v.cfg.Protocol, Since: v.since,
		Connected: v.isConnected, JoinDuration: v.joined, RoundTrip: v.reception.roundTrip, EstimateBPS: v.reception.estimateBPS, PLIs: v.plis, Reduced: v.loss.reduced,
	}
	if v.video != nil {
		stats.Video = v.video.stats
	}
	if v.audio != nil {
		stats.Audio = v.audio.stats
	}
	return stats
}
