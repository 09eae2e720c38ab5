package failover

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// lastPlayed is the id of the stream whose sound was played last.
func (s *speaker) lastPlayed() string {
	if len(s.played) == 0 {
		return ""
	}
	return legOf(s.played[len(s.played)-1])
}

func TestSoundGoesOnThroughAFailover(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		began := len(s.speaker.segments)
		s.primary.kill()
		s.run(2 * time.Second)
		if got := s.speaker.lastPlayed(); got != "backup" {
			t.Fatalf("sound is of %q", got)
		}
		if n := len(s.speaker.segments) - began; n != 1 {
			t.Fatalf("sound began %d times", n)
		}
		// The decoder is brought to speed with what the cache holds before the switch.
		if n := len(s.speaker.segments[began].prime); n < 95 || n > 101 {
			t.Errorf("primed with %d frames of 20 ms, want those of 2 s", n)
		}
		if s.speaker.silence > 20*ms || s.speaker.tooLate > 1 {
			t.Errorf("%v of silence, %d frames too late", s.speaker.silence, s.speaker.tooLate)
		}
	})
}

func TestWhatTheLegLostSaidMeanwhileIsHeardFromTheOther(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		s.primary.pause(true)
		s.run(3 * time.Second)
		s.wantOn(Backup, ReasonPrimaryInputLost, 1)
		// Silence filled the second that it took to notice.
		if got := s.speaker.silence; got < 900*ms || got > time.Second+audioTick {
			t.Errorf("%v of silence, want what input loss takes", got)
		}
	})
}

func TestPlannedSwitchPrimesTheSound(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		began := len(s.speaker.segments)
		s.pair.SetPolicy(standard.pin(Backup))
		s.run(4 * time.Second)
		s.wantOn(Backup, ReasonSelected, 1)
		if s.speaker.silence > 20*ms || s.speaker.tooLate > 1 {
			t.Errorf("%v of silence, %d frames too late", s.speaker.silence, s.speaker.tooLate)
		}
		if len(s.speaker.segments) != began+1 || len(s.speaker.segments[began].prime) < 95 {
			t.Errorf("sound did not begin with what the cache holds")
		}
	})
}

func TestLateInterleavedSound(t *testing.T) {
	for _, tt := range []struct {
		name string
		late func(*studio) *encoder
	}{
		{"of the leg that is left", func(s *studio) *encoder { return s.primary }},
		{"of the leg that is entered", func(s *studio) *encoder { return s.backup }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *studio) {
				tt.late(s).late = 400 * ms
				s.bothOn()
				silence := s.speaker.silence
				s.run(10 * time.Second)
				if got := s.speaker.silence - silence; got > 0 {
					t.Fatalf("%v of silence put before sound that is only late", got)
				}
				tooLate := s.speaker.tooLate
				s.primary.kill()
				s.run(5 * time.Second)
				s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
				// What the leg left has said already is not repeated by the one entered,
				// and nothing is lost after that.
				if got := s.speaker.tooLate - tooLate; got > 21 {
					t.Errorf("%d frames came too late, want at most 400 ms of 20 ms each", got)
				}
				if got := s.speaker.silence - silence; got > 20*ms {
					t.Errorf("%v of silence", got)
				}
				tooLate = s.speaker.tooLate
				s.run(5 * time.Second)
				if s.speaker.tooLate != tooLate {
					t.Errorf("frames still come too late")
				}
			})
		})
	}
}

func TestALegWithoutSoundGivesSilence(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.backup.sound = 0
		s.bothOn()
		s.primary.kill()
		s.run(10 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if got := s.now() - s.speaker.position; got > audioMargin+audioTick {
			t.Errorf("the track ends %v ago", got)
		}
		if s.speaker.lastPlayed() != "primary" {
			t.Error("sound from nowhere")
		}
		s.backup.kill()
		s.primary.start()
		s.run(5 * time.Second)
		if s.speaker.lastPlayed() != "primary" || s.now()-s.speaker.position > 40*ms {
			t.Error("the primary's sound did not come back")
		}
	})
}

func TestSilenceWhileBothAreLost(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		s.primary.kill()
		s.backup.kill()
		s.run(time.Minute)
		if got := s.now() - s.speaker.position; got > audioMargin+audioTick {
			t.Errorf("the track ends %v ago", got)
		}
	})
}

func TestAudioOnlyLegs(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		for _, e := range s.encoders {
			e.frame = 0
		}
		s.primary.start()
		s.run(900 * ms)
		if s.pair.Status().Active != "" {
			t.Fatal("did not wait for a picture")
		}
		s.run(200 * ms)
		s.backup.start()
		s.run(3 * time.Second)
		s.wantOn(Primary, ReasonStarted, 0)
		s.primary.kill()
		s.wait()
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.run(time.Second)
		if len(s.screen.sent) > 0 || s.speaker.lastPlayed() != "backup" || s.speaker.silence > 20*ms {
			t.Errorf("%d pictures, sound of %q, %v of silence", len(s.screen.sent), s.speaker.lastPlayed(), s.speaker.silence)
		}

		// Planned, too: an audio frame is as good as an IDR.
		s.primary.start()
		s.run(2 * time.Second)
		s.pair.SetPolicy(standard.pin(Primary))
		s.run(50 * ms)
		s.wantOn(Primary, ReasonSelected, 2)
	})
}

func TestVideoOnlyLegs(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		for _, e := range s.encoders {
			e.sound = 0
		}
		s.bothOn()
		s.primary.kill()
		s.wait()
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.run(time.Second)
		if len(s.speaker.played) > 0 {
			t.Error("sound from nowhere")
		}
	})
}

func TestAPictureThatGoesOnUnderSoundIsShownFromItsIDR(t *testing.T) {
	// The pair goes to a leg that has only sound; later its picture goes on in the
	// middle of a GOP.
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		s.backup.blind = true
		s.run(2 * time.Second)
		s.primary.kill()
		s.wait()
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		quiet := s.now()
		s.run(time.Second)
		if n := len(s.screen.since(quiet)); n > 0 {
			t.Fatalf("%d stale pictures were shown", n)
		}
		s.backup.blind = false
		s.run(100 * ms)
		shown := s.screen.since(quiet)
		if len(shown) == 0 || !shown[0].unit.IDR {
			t.Fatalf("shown %v", shown)
		}
		s.run(3 * time.Second)
	})
}

func TestCodecMayChangeOnReconnect(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.primary.format, s.backup.format = opus, opus
		s.bothOn()
		if !s.speaker.passthrough {
			t.Fatal("Opus of both legs does not go through as it is")
		}
		s.backup.kill()
		s.backup.format = aac
		s.backup.start()
		s.run(time.Second)
		if s.speaker.passthrough {
			t.Fatal("Opus goes through as it is although the other leg has AAC")
		}
		s.primary.kill()
		s.run(time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if got := s.speaker.played[len(s.speaker.played)-1].Format.Codec; got != stream.AAC {
			t.Errorf("playing %v", got)
		}
		if s.speaker.silence > 20*ms {
			t.Errorf("%v of silence", s.speaker.silence)
		}
	})
}

func TestNothingIsDoneWhileNobodyWatches(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *studio) {
		wanted := func(want bool) {
			t.Helper()
			for _, l := range s.legs {
				if l.wanted != want {
					t.Fatalf("pictures of %v demanded: %v, want %v", l.stream.Key(), l.wanted, want)
				}
			}
		}
		s.bothOn()
		wanted(true)
		s.viewers(0)
		wanted(false)
		if s.speaker.stops != 1 {
			t.Fatalf("sound was stopped %d times", s.speaker.stops)
		}
		played, pictures := len(s.speaker.played), len(s.screen.sent)
		s.run(time.Second)
		s.primary.kill() // switches are made all the same
		s.run(3 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if len(s.speaker.played) != played {
			t.Error("sound was made for nobody")
		}
		if len(s.screen.sent) == pictures {
			t.Error("the output lacks the pictures that the next viewer begins with")
		}
		came := s.now()
		s.viewers(2)
		wanted(true)
		s.run(100 * ms)
		if got := s.speaker.played[played:]; len(got) < 4 || legOf(got[0]) != "backup" || got[0].PTS < came-50*ms {
			t.Errorf("sound began with %d frames", len(got))
		}
		s.viewers(1)
		s.run(time.Second)
		if s.speaker.silence > 20*ms || s.speaker.stops != 1 {
			t.Errorf("%v of silence, %d stops", s.speaker.silence, s.speaker.stops)
		}
	})
}

func TestDemandEndsWithThePair(t *testing.T) {
	var legs [2]*source
	inStudio(t, nil, func(t *testing.T, s *studio) {
		s.bothOn()
		legs = s.legs
	})
	for _, l := range legs {
		if l.wanted {
			t.Errorf("pictures of %v are still demanded", l.stream.Key())
		}
	}
}
