package failover

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestSoundAloneIsNoSubstituteForAPicture(t *testing.T) {
	const lost = 5 * time.Second
	for _, tt := range []struct {
		name            string
		primary, backup Leg
		// ranks are the ranks of both legs. before are their ranks by the rules of the version
		// before. The pair's other server may run that version.
		ranks, before [2]Rank
		// active is the leg on air before, and want the leg on air afterwards.
		active, want Role
	}{
		{"picture and sound, and sound alone: the picture stays", whole(), audioOnly(whole()),
			[2]Rank{RankFull, RankAudioOnly}, [2]Rank{RankFull, RankFull}, Primary, Primary},
		{"the picture's sound is lost: the picture stays", audioSilent(whole(), lost), audioOnly(whole()),
			[2]Rank{RankVideoOnly, RankAudioOnly}, [2]Rank{RankVideoOnly, RankFull}, Primary, Primary},
		{"a picture that some viewers cannot play stays", limited(whole()), audioOnly(whole()),
			[2]Rank{RankLimitedVideo, RankAudioOnly}, [2]Rank{RankLimitedVideo, RankFull}, Primary, Primary},
		{"a picture without any sound track stays", videoOnly(whole()), audioOnly(whole()),
			[2]Rank{RankFull, RankAudioOnly}, [2]Rank{RankFull, RankFull}, Primary, Primary},
		{"the picture is lost and its sound goes on: either leg is sound alone", videoSilent(whole(), lost), audioOnly(whole()),
			[2]Rank{RankAudioOnly, RankAudioOnly}, [2]Rank{RankAudioOnly, RankFull}, Primary, Primary},
		{"no viewer can play the picture: either leg is sound alone", unplayable(whole(), stream.Video), audioOnly(whole()),
			[2]Rank{RankAudioOnly, RankAudioOnly}, [2]Rank{RankAudioOnly, RankFull}, Primary, Primary},
		{"the picture's encoder is silent: sound is all there is", silent(whole(), lost), audioOnly(whole()),
			[2]Rank{RankNone, RankAudioOnly}, [2]Rank{RankNone, RankFull}, Primary, Backup},
		{"the picture's encoder went: sound is all there is", absent(), audioOnly(whole()),
			[2]Rank{RankNone, RankFull}, [2]Rank{RankNone, RankFull}, Primary, Backup},
		{"sound alone is on air, and a picture comes", audioOnly(whole()), whole(),
			[2]Rank{RankAudioOnly, RankFull}, [2]Rank{RankFull, RankFull}, Primary, Backup},
		{"sound alone is on air, and a picture without its sound comes", audioOnly(whole()), videoOnly(whole()),
			[2]Rank{RankAudioOnly, RankFull}, [2]Rank{RankFull, RankFull}, Primary, Backup},
		{"sound alone is on air, and a picture that viewers cannot begin with comes", audioOnly(whole()), withoutEntryPoint(whole()),
			[2]Rank{RankAudioOnly, RankFull}, [2]Rank{RankFull, RankFull}, Primary, Primary},
		{"radio, both sound alone: both are whole", audioOnly(whole()), audioOnly(whole()),
			[2]Rank{RankFull, RankFull}, [2]Rank{RankFull, RankFull}, Primary, Primary},
		{"radio, one is lost: the other", silent(audioOnly(whole()), lost), audioOnly(whole()),
			[2]Rank{RankNone, RankFull}, [2]Rank{RankNone, RankFull}, Primary, Backup},
		{"nothing on air yet: the picture, although sound is the primary", audioOnly(whole()), whole(),
			[2]Rank{RankAudioOnly, RankFull}, [2]Rank{RankFull, RankFull}, "", Backup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policy := standard
			policy.Rules = Rules
			legs := Legs{tt.primary, tt.backup}.withMissingVideo()
			older := policy
			older.Rules = rulesMissing - 1
			for rules, want := range map[Policy][2]Rank{policy: tt.ranks, older: tt.before} {
				if got := [2]Rank{legs.Primary.Rank(rules, at), legs.Backup.Rank(rules, at)}; got != want {
					t.Errorf("by rules %d: ranks %v, want %v", rules.Rules, got, want)
				}
			}
			s := State{Active: tt.active, Reason: ReasonStarted, FirstPicture: at - time.Minute, Switches: 1}
			if tt.active == "" {
				s = State{}
			}
			s = s.Observe(policy, legs, at)
			if d := Decide(policy, legs, s, at); d.Active != tt.want {
				t.Errorf("on air: %q for %s, want %q", d.Active, d.Reason, tt.want)
			}
		})
	}
}

func TestALegOfSoundAloneIsToldOnlyBesideAPicture(t *testing.T) {
	for _, tt := range []struct {
		name      string
		primary   bool // whether the primary has a picture
		peerRules int
		ranks     [2]Rank
		warned    bool
	}{
		{name: "beside a picture", primary: true, peerRules: Rules, ranks: [2]Rank{RankFull, RankAudioOnly}, warned: true},
		{name: "beside a picture, the peer is of a version before", primary: true, peerRules: rulesMissing - 1, ranks: [2]Rank{RankFull, RankFull}},
		{name: "radio", peerRules: Rules, ranks: [2]Rank{RankFull, RankFull}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines bytes.Buffer
			configure := func(c *PairConfig) {
				c.Policy.MaxJitter, c.HasPeer, c.Logger = 5*time.Second, true, slog.New(slog.NewTextHandler(&lines, nil))
			}
			inStudio(t, configure, func(t *testing.T, s *testPair) {
				s.pair.SetPeer(&Standing{Active: Primary, OnAir: true, Settled: true, Rules: tt.peerRules})
				if !tt.primary {
					s.primary.frame = 0
				}
				s.backup.frame = 0
				s.primary.start()
				s.backup.start()
				warning := func() bool {
					for _, w := range s.pair.Status().Legs[1].Warnings {
						if w.Code == warningMissingVideo {
							return true
						}
					}
					return false
				}
				s.run(missingAfter - 100*ms)
				if warning() {
					t.Error("told before its picture may have come")
				}
				s.run(200 * ms)
				for round := range 2 {
					status := s.pair.Status()
					if got := [2]Rank{status.Legs[0].Rank, status.Legs[1].Rank}; got != tt.ranks || status.Active != Primary {
						t.Errorf("ranks %v with %s on air, want %v with the primary", got, status.Active, tt.ranks)
					}
					if warning() != tt.warned {
						t.Errorf("round %d: warned %v, want %v", round, warning(), tt.warned)
					}
					if got := strings.Count(lines.String(), "code="+warningMissingVideo); got != map[bool]int{true: round + 1}[tt.warned] {
						t.Errorf("round %d: %d lines in the log:\n%s", round, got, lines.String())
					}
					if round == 0 { // a new publication is warned again, once
						s.backup.kill()
						s.backup.start()
						s.run(missingAfter + 2*time.Second)
					}
				}
				s.backup.kill()
				s.backup.frame = 40 * ms
				s.backup.start()
				s.run(missingAfter + time.Second)
				if status := s.pair.Status(); warning() || status.Legs[1].Rank != RankFull {
					t.Errorf("with a picture: rank %v, warned %v", status.Legs[1].Rank, warning())
				}
			})
		})
	}
}
