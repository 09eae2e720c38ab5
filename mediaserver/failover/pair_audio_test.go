package failover

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// lastPlayed returns the id of the stream whose sound was played last.
func (s *audioRecorder) lastPlayed() string {
	if len(s.played) == 0 {
		return ""
	}
	return legOf(s.played[len(s.played)-1])
}

func TestSoundGoesOnThroughAFailover(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		began := len(s.audio.segments)
		s.primary.kill()
		s.run(2 * time.Second)
		if got := s.audio.lastPlayed(); got != "backup" {
			t.Fatalf("sound is of %q", got)
		}
		if n := len(s.audio.segments) - began; n != 1 {
			t.Fatalf("sound began %d times", n)
		}
		// The audio that the cache holds before the switch primes the decoder.
		if n := len(s.audio.segments[began].prime); n < 95 || n > 101 {
			t.Errorf("primed with %d frames of 20 ms, want those of 2 s", n)
		}
		if s.audio.silence > 20*ms || s.audio.tooLate > 1 {
			t.Errorf("%v of silence, %d frames too late", s.audio.silence, s.audio.tooLate)
		}
	})
}

func TestWhatTheLegLostSaidMeanwhileIsHeardFromTheOther(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.pause(true)
		s.run(3 * time.Second)
		s.wantOn(Backup, ReasonPrimaryInputLost, 1)
		// Silence filled the second until the loss was noticed.
		if got := s.audio.silence; got < 900*ms || got > time.Second+audioTick {
			t.Errorf("%v of silence, want what input loss takes", got)
		}
	})
}

func TestPlannedSwitchPrimesTheSound(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		began := len(s.audio.segments)
		s.pair.SetPolicy(standard.pin(Backup))
		s.run(4 * time.Second)
		s.wantOn(Backup, ReasonSelected, 1)
		if s.audio.silence > 20*ms || s.audio.tooLate > 1 {
			t.Errorf("%v of silence, %d frames too late", s.audio.silence, s.audio.tooLate)
		}
		if len(s.audio.segments) != began+1 || len(s.audio.segments[began].prime) < 95 {
			t.Errorf("sound did not begin with what the cache holds")
		}
	})
}

func TestLateInterleavedSound(t *testing.T) {
	for _, tt := range []struct {
		name string
		late func(*testPair) *encoder
	}{
		{"of the leg that is left", func(s *testPair) *encoder { return s.primary }},
		{"of the leg that is entered", func(s *testPair) *encoder { return s.backup }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				tt.late(s).late = 400 * ms
				s.bothOn()
				silence := s.audio.silence
				s.run(10 * time.Second)
				if got := s.audio.silence - silence; got > 0 {
					t.Fatalf("%v of silence put before sound that is only late", got)
				}
				tooLate := s.audio.tooLate
				s.primary.kill()
				s.run(5 * time.Second)
				s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
				// Sound that the leg left has played already is not played again by the leg
				// entered. Nothing is lost after that.
				if got := s.audio.tooLate - tooLate; got > 21 {
					t.Errorf("%d frames came too late, want at most 400 ms of 20 ms each", got)
				}
				if got := s.audio.silence - silence; got > 20*ms {
					t.Errorf("%v of silence", got)
				}
				tooLate = s.audio.tooLate
				s.run(5 * time.Second)
				if s.audio.tooLate != tooLate {
					t.Errorf("frames still come too late")
				}
			})
		})
	}
}

func TestALegWithoutSoundGivesSilence(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.backup.sound = 0
		s.bothOn()
		s.primary.kill()
		s.run(10 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if got := s.now() - s.audio.position; got > audioMargin+audioTick {
			t.Errorf("the track ends %v ago", got)
		}
		if s.audio.lastPlayed() != "primary" {
			t.Error("sound from nowhere")
		}
		s.backup.kill()
		s.primary.start()
		s.run(5 * time.Second)
		if s.audio.lastPlayed() != "primary" || s.now()-s.audio.position > 40*ms {
			t.Error("the primary's sound did not come back")
		}
	})
}

func TestSilenceWhileBothAreLost(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.primary.kill()
		s.backup.kill()
		s.run(time.Minute)
		if got := s.now() - s.audio.position; got > audioMargin+audioTick {
			t.Errorf("the track ends %v ago", got)
		}
	})
}

func TestAudioOnlyLegs(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
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
		if len(s.output.sent) > 0 || s.audio.lastPlayed() != "backup" || s.audio.silence > 20*ms {
			t.Errorf("%d pictures, sound of %q, %v of silence", len(s.output.sent), s.audio.lastPlayed(), s.audio.silence)
		}

		// The switch is planned, too: an audio frame serves as an IDR.
		s.primary.start()
		s.run(2 * time.Second)
		s.pair.SetPolicy(standard.pin(Primary))
		s.run(50 * ms)
		s.wantOn(Primary, ReasonSelected, 2)
	})
}

func TestVideoOnlyLegs(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		for _, e := range s.encoders {
			e.sound = 0
		}
		s.bothOn()
		s.primary.kill()
		s.wait()
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		s.run(time.Second)
		if len(s.audio.played) > 0 {
			t.Error("sound from nowhere")
		}
	})
}

func TestAPictureThatGoesOnUnderSoundIsShownFromItsIDR(t *testing.T) {
	// The pair switches to a leg that has only sound. Later its picture resumes in the middle of a
	// GOP.
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.backup.blind = true
		s.run(2 * time.Second)
		s.primary.kill()
		s.wait()
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		quiet := s.now()
		s.run(time.Second)
		if n := len(s.output.since(quiet)); n > 0 {
			t.Fatalf("%d stale pictures were shown", n)
		}
		s.backup.blind = false
		s.run(100 * ms)
		shown := s.output.since(quiet)
		if len(shown) == 0 || !shown[0].unit.IDR {
			t.Fatalf("shown %v", shown)
		}
		s.run(3 * time.Second)
	})
}

func TestCodecMayChangeOnReconnect(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.primary.format, s.backup.format = opus, opus
		s.bothOn()
		if !s.audio.passthrough {
			t.Fatal("Opus of both legs does not go through as it is")
		}
		s.backup.kill()
		s.backup.format = aac
		s.backup.start()
		s.run(time.Second)
		if s.audio.passthrough {
			t.Fatal("Opus goes through as it is although the other leg has AAC")
		}
		s.primary.kill()
		s.run(time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if got := s.audio.played[len(s.audio.played)-1].Format.Codec; got != stream.AAC {
			t.Errorf("playing %v", got)
		}
		if s.audio.silence > 20*ms {
			t.Errorf("%v of silence", s.audio.silence)
		}
	})
}

func TestNothingIsDoneWhileNobodyWatches(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
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
		if s.audio.stops != 1 {
			t.Fatalf("sound was stopped %d times", s.audio.stops)
		}
		played, pictures := len(s.audio.played), len(s.output.sent)
		s.run(time.Second)
		s.primary.kill() // switches are made without viewers as well
		s.run(3 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if len(s.audio.played) != played {
			t.Error("sound was made for nobody")
		}
		if len(s.output.sent) == pictures {
			t.Error("the output lacks the pictures that the next viewer begins with")
		}
		came := s.now()
		s.viewers(2)
		wanted(true)
		s.run(100 * ms)
		if got := s.audio.played[played:]; len(got) < 4 || legOf(got[0]) != "backup" || got[0].PTS < came-50*ms {
			t.Errorf("sound began with %d frames", len(got))
		}
		s.viewers(1)
		s.run(time.Second)
		if s.audio.silence > 20*ms || s.audio.stops != 1 {
			t.Errorf("%v of silence, %d stops", s.audio.silence, s.audio.stops)
		}
	})
}

func TestDemandEndsWithThePair(t *testing.T) {
	var legs [2]*source
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		legs = s.legs
	})
	for _, l := range legs {
		if l.wanted {
			t.Errorf("pictures of %v are still demanded", l.stream.Key())
		}
	}
}
