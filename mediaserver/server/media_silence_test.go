package server

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An encoder can stay connected and stop sending everything, or one track.
func TestAnEncoderThatFallsSilentIsRanked(t *testing.T) {
	const (
		loss       = time.Second      // the manifests' input loss time
		audioGrace = 2 * time.Second  // how much longer sound may be missing
		still      = 2 * time.Second  // how long the picture may be missing while there is sound
		slack      = 5 * 300 * ms     // for busy machines
		never      = time.Duration(0) // the leg stays on air
		stays      = loss + audioGrace + slack
	)
	tests := []struct {
		name            string
		noBackup        bool
		primary, backup func(*mediatest.Replayer) // makes the encoder stop sending something
		lostAfter       time.Duration             // from the primary's stop until the backup is on air
		reason          string                    // of that switch
		rank            string                    // of the primary, if it stays on air
	}{
		{name: "the picture freezes and the sound stops, the other leg is whole: fail over", primary: (*mediatest.Replayer).Pause,
			lostAfter: loss, reason: "PrimaryInputLost"},
		{name: "the sound stops, the other leg is whole: fail over, later", primary: dropsAudio,
			lostAfter: loss + audioGrace, reason: "PrimaryDegraded"},
		{name: "the picture stops, the other leg is whole: fail over", primary: dropsVideo,
			lostAfter: still, reason: "PrimaryDegraded"},
		{name: "the picture stops, the other leg lost its sound: fail over", primary: dropsVideo, backup: dropsAudio,
			lostAfter: still, reason: "PrimaryDegraded"},
		{name: "the sound stops, the other leg lost its picture: stay", primary: dropsAudio, backup: dropsVideo, lostAfter: never, rank: "VideoOnly"},
		{name: "the sound stops, the other leg lost its sound too: stay", primary: dropsAudio, backup: dropsAudio, lostAfter: never, rank: "VideoOnly"},
		{name: "the picture stops, there is no other leg: stay with the sound", noBackup: true, primary: dropsVideo, lostAfter: never, rank: "AudioOnly"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky)
			primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
			s.onAir("primary", true, false)
			if !tt.noBackup {
				backup := s.replay("backup", mediatest.Programme{Leg: 1, GOPPhase: 700 * ms}, mediatest.ReplayOptions{})
				s.onAir("primary", true, true)
				if tt.backup != nil {
					tt.backup(backup)
					eventually.True(t, "the backup is no longer whole", func() bool { return s.pair("sunday").Legs[1].Rank != "Full" })
				}
			}
			v := s.watchPair()
			v.sees(0, fps, time.Time{})
			v.hears(time.Second, time.Time{})

			stopped := time.Now()
			tt.primary(primary)
			if tt.lostAfter == never {
				time.Sleep(stays)
				p := s.pair("sunday")
				if p.ActiveStreamID != "primary" || p.Switches != 0 || !p.OnAir || p.Legs[0].Rank != tt.rank {
					t.Errorf("%s with rank %s is on air after %d switches for %s", p.ActiveStreamID, p.Legs[0].Rank, p.Switches, p.Reason)
				}
				// What is left of the leg goes on. The sound never
				// ends: missing sound is replaced by silence.
				now := time.Now()
				if tt.rank == "VideoOnly" {
					v.sees(0, fps, now)
				}
				v.hears(time.Second, now)
				v.leaves().isContinuous()
				return
			}
			eventually.True(t, "the backup is on air", func() bool { return s.pair("sunday").ActiveStreamID == "backup" })
			took := time.Since(stopped)
			first := v.sees(1, fps, stopped)
			t.Logf("on air after %v, seen after %v (lost after %v)", took.Round(ms), first.Seen.Sub(stopped).Round(ms), tt.lostAfter)
			// An access unit may have been on its way, and the
			// next one may have been due on the other track.
			if took < tt.lostAfter-100*ms || took > tt.lostAfter+slack {
				t.Errorf("failed over after %v, want %v", took, tt.lostAfter)
			}
			if p := s.pair("sunday"); p.Reason != tt.reason || p.Switches != 1 {
				t.Errorf("reason %s, %d switches; want %s, 1", p.Reason, p.Switches, tt.reason)
			}
			r := v.leaves()
			r.isContinuous()
			if took := mediatest.LongestGap(r.sightings, stopped, first.Seen.Add(time.Second)); took > tt.lostAfter+slack {
				t.Errorf("no picture for %v", took)
			}
		})
	}
}

func dropsAudio(r *mediatest.Replayer) { r.Drop(false, true) }
func dropsVideo(r *mediatest.Replayer) { r.Drop(true, false) }

func TestAStreamWithoutSoundCostsAViewerFewPackets(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	s.replay("primary", mediatest.Programme{NoAudio: true}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	v := s.watchPair()
	v.hears(2*time.Second, time.Time{})
	from := time.Now()
	v.sees(0, 4*fps, from)
	took := time.Since(from)
	packets := slices.DeleteFunc(v.Audio().Packets, func(p mediatest.Packet) bool { return p.Arrival.Before(from) })
	rate := float64(len(packets)) / took.Seconds()
	t.Logf("%.1f packets of sound a second", rate)
	if rate > 5 {
		t.Errorf("%.1f packets of sound a second where there is none", rate)
	}

	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	if err := s.Select("sunday", "Backup"); err != nil {
		t.Fatal(err)
	}
	s.onAir("backup", true, true)
	begun := time.Now()
	v.sees(1, 5*fps, begun)
	r := v.leaves()
	r.isContinuous()
	r.isInSync(3, 300*ms, 300*ms)
	r.hasSound(maxSilence, begun.Add(time.Second))
	heard := inOrder(r.audio.Packets)
	i := slices.IndexFunc(heard, func(p mediatest.Packet) bool { return p.Arrival.After(from) && len(p.Payload) > 1 })
	if i < 0 || !heard[i].Marker {
		t.Error("the first packet of sound after the pause has no marker")
	}
}

// A browser that shares a still screen goes from 30 pictures a
// second to one. The default loss time is exactly one second.
func TestAStillScreenThatIsSharedIsNoLoss(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	primary := s.replay("primary", mediatest.Programme{GOP: time.Second}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watchPair()
	for range 2 {
		v.sees(0, 2*fps, time.Now())
		primary.KeyFramesOnly(true)
		still := time.Now()
		v.sees(0, 8, still)
		if took := time.Since(still); took < 6*time.Second {
			t.Fatalf("8 pictures of a still screen came within %v", took)
		}
		primary.KeyFramesOnly(false)
	}
	v.sees(0, fps, time.Now())
	if p := s.pair("sunday"); p.ActiveStreamID != "primary" || p.Switches != 0 || p.Legs[0].Rank != "Full" {
		t.Errorf("%s with rank %s is on air after %d switches for %s", p.ActiveStreamID, p.Legs[0].Rank, p.Switches, p.Reason)
	}
	v.leaves().isContinuous()
}

// A real encoder is stopped by SIGSTOP, wherever it is in its work.
func TestAFrozenEncoderIsLeftAndItsBacklogDisturbsNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	encoder := mediatest.Publish(t, file(t, mediatest.Programme{}), s.publishURL("primary"), "-stream_loop", "-1")
	s.onAir("primary", true, false)
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	s.onAir("primary", true, true)
	v := s.watchPair()
	v.sees(0, fps, time.Time{})
	frozen := time.Now()
	encoder.Pause()
	first := v.sees(1, fps, frozen)
	t.Logf("seen %v after the encoder froze (input loss time 1 s)", first.Seen.Sub(frozen).Round(ms))
	if d := first.Seen.Sub(frozen); d > time.Second+5*300*ms {
		t.Errorf("the backup was seen after %v", d)
	}
	time.Sleep(2 * time.Second)
	thawed := time.Now()
	encoder.Resume()
	s.onAir("backup", true, true)
	v.sees(1, 3*fps, thawed)
	if n := s.pair("sunday").Switches; n != 1 {
		t.Errorf("%d switches, want 1", n)
	}
	r := v.leaves()
	r.isContinuous()
	r.isInSync(3, 300*ms, 300*ms)
	if gap := mediatest.LongestGap(r.sightings, thawed, thawed.Add(2*time.Second)); gap > maxGap {
		t.Errorf("no picture for %v after the encoder went on", gap)
	}
}
