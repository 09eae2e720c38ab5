package rtc

import "time"

// unsentLimit is how long a byte may wait for an ICE-TCP viewer to read, until the viewer is
// ended. Less than 64 KiB wait for one, so only a line below 0.1 Mbit/s is that slow.
const unsentLimit = 5 * time.Second

// serve sends what v has not got yet, as far as pacing allows, and what is due by
// the clock. It returns when it wants to be called again at the latest.
func (v *Viewer) serve(now time.Duration, scratch []packet) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.connected || v.closed {
		return idleInterval
	}
	if !v.consents(now) {
		return idleInterval
	}
	v.pace.fill(now)
	again := idleInterval
	if v.audio != nil && v.audio.writer != nil && v.serveTrack(v.audio, now, scratch) {
		again = pacingInterval
	}
	if v.video != nil && v.video.writer != nil {
		if v.serveTrack(v.video, now, scratch) {
			again = pacingInterval
		}
		if v.video.waiting {
			v.output.askForIDR(now)
		}
	}
	if now >= v.nextReport {
		v.nextReport = now + reportInterval
		v.report(now)
		if c := v.path.connection(); c != nil && c.Waiting() > unsentLimit {
			v.end(ClosedStalled)
		}
	}
	return min(again, max(0, v.nextReport-now))
}

// consents reports whether media may be sent to the viewer now. A viewer that consents
// again goes on where one who joins would begin.
func (v *Viewer) consents(now time.Duration) bool {
	given := v.path.consent(v.picture).given(now)
	switch {
	case !given && !v.paused:
		v.paused = true
		v.output.cfg.Metrics.ViewerPauses.Inc()
		v.log.Info("viewer paused: nothing authentic comes from its address")
	case given && v.paused:
		v.paused = false
		v.log.Info("viewer resumed")
		v.failing, v.nextReport = -1, now
		for _, t := range []*viewerTrack{v.video, v.audio} {
			if t != nil {
				t.rejoin()
			}
		}
	}
	return given
}

// serveTrack brings t to the end of its history, and settles what was sent. It reports true
// when pacing kept it from that.
func (v *Viewer) serveTrack(t *viewerTrack, now time.Duration, scratch []packet) (paced bool) {
	count := t.packets
	liveBytes, paced := v.sendTrack(t, now, scratch)
	if liveBytes > 0 || t.packets > count {
		v.account(t, count, liveBytes, now)
	}
	return paced
}

// sendTrack sends what t has not got yet, and returns the bytes that were no part of a burst.
// A connection that takes no more keeps t from the end of its history, and wakes the fanout
// when it does.
func (v *Viewer) sendTrack(t *viewerTrack, now time.Duration, scratch []packet) (liveBytes int, paced bool) {
	live, connection := v.output.liveEdge(now), v.path.connection()
	for t.locate(live) {
		n, held := t.history.read(t.cursor, scratch)
		if !held { // overrun: it was paced for so long that its place is gone
			t.dropped++
			t.waiting, t.resume = true, t.cursor
			v.drop("overrun")
			continue
		}
		for i := range scratch[:n] {
			p := &scratch[i]
			if connection != nil && !connection.HasRoom(v.wake) {
				t.held = true
				t.leaveOut(p)
				return liveBytes, false
			}
			if t.held && t.leaveOut(p) {
				break
			}
			size := len(p.payload) + rtpHeaderSize
			burst := p.burst || t.cursor < t.burstEnd
			if t.entries && v.pace.level <= 0 || burst && !v.output.cfg.Egress.take(size, now) {
				t.catchUp(uint64(v.pace.bytesPerSecond*catchUpAfter.Seconds()) / uint64(v.output.cfg.PacketSize))
				return liveBytes, true
			}
			result := t.send(p)
			if result == sent {
				v.failing = -1
			} else {
				v.settle(result, now)
			}
			if result == notReady {
				return liveBytes, true
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
	t.held = false
	return liveBytes, false
}

// account settles what sendTrack sent, which count packets came before.
func (v *Viewer) account(t *viewerTrack, count uint64, liveBytes int, now time.Duration) {
	if liveBytes > 0 {
		v.output.cfg.Egress.live(liveBytes, now)
	}
	if t == v.video && t.packets > count {
		v.picture = now
	}
	if count == 0 && t.packets > 0 {
		if !v.hasMedia && v.cfg.OnMedia != nil {
			v.cfg.OnMedia()
		}
		v.hasMedia = true
		v.nextReport = now // the receiver can't put sound and picture in step before
		if t == v.video {
			v.joined = v.output.cfg.Now() - v.connectedAt
		}
	}
}

// settle takes note of one packet that was not sent.
func (v *Viewer) settle(r sendResult, now time.Duration) {
	switch {
	case v.failing < 0:
		v.failing = now
	case now-v.failing > v.output.cfg.StallTimeout:
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
