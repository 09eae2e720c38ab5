package rtc

import "time"

// unsentLimit is how long a byte may wait for an ICE-TCP viewer to read it before the viewer is
// closed. Less than 64 KiB wait for one viewer, so only a line below 0.1 Mbit/s is that slow.
const unsentLimit = 5 * time.Second

// serve sends what v has not got yet, as far as pacing allows, and sends reports when they are
// due. It returns the longest time after which it must be called again.
func (v *Viewer) serve(now time.Duration, scratch []packet) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isConnected || v.closed {
		return idleInterval
	}
	if !v.consents(now) {
		return idleInterval
	}
	v.pace.fill(now)
	again := idleInterval
	if v.audio != nil && v.serveTrack(v.audio, now, scratch) {
		again = pacingInterval
	}
	if v.video != nil {
		if v.serveTrack(v.video, now, scratch) {
			again = pacingInterval
		}
		if v.video.waiting && !v.video.entriesOnly {
			v.output.askForIDR(now)
		}
	}
	if now >= v.nextReport {
		v.nextReport = now + reportInterval
		v.report(now)
		v.observe()
		if c := v.path.connection(); c != nil && c.Waiting() > unsentLimit {
			v.end(ClosedStalled)
		}
	}
	return min(again, max(0, v.nextReport-now))
}

// consents reports whether media may be sent to the viewer now. A viewer whose consent
// has returned goes on where a joining viewer would begin.
func (v *Viewer) consents(now time.Duration) bool {
	given := v.path.consents(now)
	switch {
	case !given && !v.paused:
		v.paused = true
		v.output.cfg.Metrics.ViewerPauses.Inc()
		v.log.Info("viewer paused: no authenticated packet comes from its address")
	case given && v.paused:
		v.paused = false
		v.log.Info("viewer resumed")
		v.failingSince, v.nextReport, v.loss = -1, now, v.loss.interrupted()
		for _, t := range []*viewerTrack{v.video, v.audio} {
			if t != nil {
				t.rejoin()
			}
		}
	}
	return given
}

// serveTrack sends all that t's history holds and t has not got, and accounts for what
// was sent. It reports whether pacing prevented this.
func (v *Viewer) serveTrack(t *viewerTrack, now time.Duration, scratch []packet) (paced bool) {
	count := t.stats.Packets
	liveBytes, paced := v.sendTrack(t, now, scratch)
	v.flush(t, count, now)
	if liveBytes > 0 || t.stats.Packets > count {
		v.account(t, count, liveBytes, now)
	}
	return paced
}

// sendTrack sends what t has not got yet, and returns how many bytes of that were no
// part of a burst. paced reports whether pacing stopped it. A connection without room
// stops it too, and wakes the fanout when it has room again.
func (v *Viewer) sendTrack(t *viewerTrack, now time.Duration, scratch []packet) (liveBytes int, paced bool) {
	live, connection := v.output.liveEdge(now), v.path.connection()
	for t.locate(live) {
		n, held := t.history.read(t.cursor, scratch)
		if !held { // overrun: pacing has kept the viewer back until its packets were forgotten
			t.stats.Dropped++
			t.waiting, t.resume = true, t.cursor
			v.drop("overrun")
			continue
		}
		for i := range scratch[:n] {
			p := &scratch[i]
			if connection != nil && !connection.HasRoom(v.wake) {
				t.blocked = true
				t.leaveOut(p)
				return liveBytes, false
			}
			if t.blocked && t.leaveOut(p) {
				break
			}
			size := len(p.payload) + rtpHeaderSize
			burst := p.burst || t.cursor < t.burstEnd
			if t.needsEntry && v.pace.level <= 0 || burst && !v.output.cfg.Egress.take(size, now) {
				t.catchUp(uint64(v.pace.bytesPerSecond*catchUpAfter.Seconds()) / uint64(v.output.cfg.PacketSize))
				return liveBytes, true
			}
			if result := t.send(p); result != sent {
				v.countFailure(result, now)
			}
			if !burst {
				liveBytes += size
			}
			v.pace.level -= float64(size)
			if t.waiting {
				break
			}
		}
	}
	t.blocked = false
	return liveBytes, false
}

// flush sends what sendTrack has written. count is t's number of packets before.
func (v *Viewer) flush(t *viewerTrack, count uint64, now time.Duration) {
	lost := v.peer.Flush()
	for range lost {
		v.countFailure(writeFailed, now)
	}
	if t.lose(lost); t.stats.Packets > count {
		v.failingSince = -1
	}
}

// account accounts for what sendTrack sent. count is t's number of packets before.
func (v *Viewer) account(t *viewerTrack, count uint64, liveBytes int, now time.Duration) {
	if liveBytes > 0 {
		v.output.cfg.Egress.live(liveBytes, now)
	}
	if count == 0 && t.stats.Packets > 0 {
		if !v.hasMedia && v.cfg.OnMedia != nil {
			v.cfg.OnMedia()
		}
		v.hasMedia = true
		v.nextReport = now // without a report the receiver can't put sound and picture in step
		if t == v.video {
			v.joined = v.output.cfg.Now() - v.connectedAt
		}
	}
}

// countFailure records that one packet was not sent, and why. After StallTimeout without
// success it ends the viewer.
func (v *Viewer) countFailure(r sendResult, now time.Duration) {
	switch {
	case v.failingSince < 0:
		v.failingSince = now
	case now-v.failingSince > v.output.cfg.StallTimeout:
		v.end(ClosedStalled)
	}
	switch r {
	case bufferFull:
		v.drop("buffer_full")
	case writeFailed:
		v.drop("write_error")
	}
}

func (v *Viewer) drop(reason string) {
	v.output.cfg.Metrics.PacketsDropped.WithLabelValues(reason).Inc()
}
