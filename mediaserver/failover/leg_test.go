package failover

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/stream"
)

const ms = time.Millisecond

// at is the present time in the tables.
const at = time.Hour

// standard is the default policy.
var standard = Policy{Mode: Sticky, InputLoss: time.Second, Recovery: 10 * time.Second}

// whole is a leg whose 25 pictures and 50 audio frames a second arrive.
func whole() Leg {
	return Leg{
		Publishing: true, Since: at - time.Minute,
		Video:     Track{Announced: true, LastArrival: at, Interval: 40 * ms},
		Audio:     Track{Announced: true, LastArrival: at, Interval: 20 * ms},
		Decodable: true, EntryPoint: true,
	}
}

// absent is a leg that nobody publishes.
func absent() Leg { return Leg{} }

func videoSilent(l Leg, d time.Duration) Leg {
	l.Video.LastArrival = at - d
	return l
}

func audioSilent(l Leg, d time.Duration) Leg {
	l.Audio.LastArrival = at - d
	return l
}

func silent(l Leg, d time.Duration) Leg { return videoSilent(audioSilent(l, d), d) }

func videoOnly(l Leg) Leg {
	l.Audio = Track{}
	return l
}

func audioOnly(l Leg) Leg {
	l.Video, l.Decodable, l.EntryPoint = Track{}, false, false
	return l
}

func every(l Leg, interval time.Duration) Leg {
	l.Video.Interval = interval
	return l
}

func withoutEntryPoint(l Leg) Leg {
	l.EntryPoint = false
	return l
}

// beforeIDR returns a leg whose pictures arrive but that has not sent an IDR yet.
func beforeIDR(l Leg) Leg {
	l.Decodable, l.EntryPoint = false, false
	return l
}

// unplayable returns a leg with a track that no viewer can play.
func unplayable(l Leg, k stream.Kind) Leg {
	if k == stream.Audio {
		l.Audio.Unplayable = true
	} else {
		l.Video.Unplayable = true
	}
	return l
}

func limited(l Leg) Leg {
	l.Video.Limited = true
	return l
}

func young(l Leg, age time.Duration) Leg {
	l.Since = at - age
	return l
}

func TestAFaultLowersTheRank(t *testing.T) {
	for _, tt := range []struct {
		name string
		leg  Leg
		// before is the rank by the rules of the version before. The pair's other server may run
		// that version.
		want, before Rank
	}{
		{"the sound that arrives cannot be played", unplayable(whole(), stream.Audio), RankVideoOnly, RankFull},
		{"the picture that arrives cannot be played", unplayable(whole(), stream.Video), RankAudioOnly, RankFull},
		{"neither can be played", unplayable(unplayable(whole(), stream.Audio), stream.Video), RankNone, RankNone},
		{"a picture that some viewers cannot play", limited(whole()), RankLimitedVideo, RankFull},
		{"a picture that some viewers cannot play, without its sound", audioSilent(limited(whole()), time.Minute), RankLimitedVideoOnly, RankVideoOnly},
		{"a picture that some viewers cannot play, and sound that nobody can", unplayable(limited(whole()), stream.Audio), RankLimitedVideoOnly, RankFull},
		{"a picture that some viewers cannot play, silent", videoSilent(limited(whole()), time.Minute), RankAudioOnly, RankAudioOnly},
	} {
		for rules, want := range map[int]Rank{rulesFaults: tt.want, rulesFaults - 1: tt.before} {
			policy := standard
			policy.Rules = rules
			if got := tt.leg.Rank(policy, at); got != want {
				t.Errorf("%s, by rules %d: rank %v, want %v", tt.name, rules, got, want)
			}
		}
	}
}

func TestRankSaysHowMuchOfWhatWasAnnouncedArrives(t *testing.T) {
	tests := []struct {
		name string
		leg  Leg
		want Rank
	}{
		{"nobody publishes: none", absent(), RankNone},
		{"video and audio arrive: full", whole(), RankFull},
		{"video-only publication: full", videoOnly(whole()), RankFull},
		{"audio-only publication: full", audioOnly(whole()), RankFull},
		{"announced nothing yet: none", Leg{Publishing: true, Since: at}, RankNone},

		{"video silent for just less than the input loss time: full", videoSilent(whole(), 999*ms), RankFull},
		{"video silent for the input loss time, audio goes on: audio only", videoSilent(whole(), 1000*ms), RankAudioOnly},
		{"audio silent for the input loss time, video goes on: still full", audioSilent(whole(), 1000*ms), RankFull},
		{"audio silent for just less than 2 s more: still full", audioSilent(whole(), 2999*ms), RankFull},
		{"audio silent for 2 s more: video only", audioSilent(whole(), 3000*ms), RankVideoOnly},
		{"connected but silent: none", silent(whole(), 1000*ms), RankNone},
		{"video silent for long, audio for just less than the input loss time: audio only", videoSilent(audioSilent(whole(), 999*ms), time.Minute), RankAudioOnly},
		{"audio-only publication silent for the input loss time: still full", audioSilent(audioOnly(whole()), 1000*ms), RankFull},
		{"video-only publication silent: none", videoSilent(videoOnly(whole()), 1000*ms), RankNone},
		{"audio-only publication silent: none after 2 s more", audioSilent(audioOnly(whole()), 3000*ms), RankNone},

		{"1 frame a second, 2.9 s ago: three of its own intervals are not over", videoSilent(every(whole(), time.Second), 2900*ms), RankFull},
		{"1 frame a second, 3 s ago: lost", videoSilent(every(whole(), time.Second), 3000*ms), RankAudioOnly},
		{"a frame every 10 s, 29 s ago: not lost", videoSilent(every(whole(), 10*time.Second), 29*time.Second), RankFull},
		{"a single frame, 1.1 s ago: the second may be due only now", videoSilent(every(whole(), 0), 1100*ms), RankFull},
		{"a single frame, 3 s ago: lost", videoSilent(every(whole(), 0), 3000*ms), RankAudioOnly},

		{"pictures but no IDR yet: what arrives can't be shown", beforeIDR(whole()), RankAudioOnly},
		{"video-only publication before its IDR: none", beforeIDR(videoOnly(whole())), RankNone},
		{"IDR fell out of the cache: what arrives is shown all the same", withoutEntryPoint(whole()), RankFull},
		{"disconnected with fresh tracks: none", Leg{Video: whole().Video, Audio: whole().Audio, Decodable: true}, RankNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.leg.Rank(standard, at); got != tt.want {
				t.Errorf("rank %v, want %v", got, tt.want)
			}
		})
	}
}

// Pictures may come more slowly all at once, as when a still screen is shared. Sound that is on
// time distinguishes that from a loss.
func TestASlowerRateIsNoLossWhileSoundIsOnTime(t *testing.T) {
	short := standard
	short.InputLoss = 100 * ms
	long := standard
	long.InputLoss = 5 * time.Second
	tests := []struct {
		name   string
		policy Policy
		leg    Leg
		want   Rank
	}{
		{"video silent for the input loss time, audio on time: full", standard, videoSilent(whole(), 1000*ms), RankFull},
		{"video silent for just less than 2 s, audio on time: full", standard, videoSilent(whole(), 1999*ms), RankFull},
		{"video silent for 2 s, audio on time: audio only", standard, videoSilent(whole(), 2000*ms), RankAudioOnly},
		{"audio silent for just less than half the loss time: it is on time", standard, videoSilent(audioSilent(whole(), 499*ms), 1000*ms), RankFull},
		{"audio silent for half the loss time: it is not", standard, videoSilent(audioSilent(whole(), 500*ms), 1000*ms), RankAudioOnly},
		{"audio not on time, video silent for less than the loss time: full", standard, videoSilent(audioSilent(whole(), 500*ms), 999*ms), RankFull},
		{"connected but silent: none", standard, silent(whole(), 1000*ms), RankNone},
		{"its tracks stopped a little apart: audio only", standard, videoSilent(audioSilent(whole(), 800*ms), 1000*ms), RankAudioOnly},
		{"no audio: nothing tells a slower rate from a loss", standard, videoSilent(videoOnly(whole()), 1000*ms), RankNone},
		{"1 frame a second: three of its own intervals are longer", standard, videoSilent(every(whole(), time.Second), 2900*ms), RankFull},
		{"1 frame a second, 3 s ago: lost", standard, videoSilent(every(whole(), time.Second), 3000*ms), RankAudioOnly},
		{"no IDR yet: what arrives can't be shown", standard, beforeIDR(whole()), RankAudioOnly},
		{"short loss time, video silent for a second, audio on time: full", short, videoSilent(whole(), 1000*ms), RankFull},
		{"short loss time, connected but silent: none", short, silent(whole(), 120*ms), RankNone},
		{"long loss time: it counts", long, videoSilent(whole(), 4999*ms), RankFull},
		{"long loss time, over: audio only", long, videoSilent(whole(), 5000*ms), RankAudioOnly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.policy.Rules = Rules
			if got := tt.leg.Rank(tt.policy, at); got != tt.want {
				t.Errorf("rank %v, want %v", got, tt.want)
			}
			if next := tt.leg.nextChange(tt.policy, at); next != 0 && next <= at {
				t.Errorf("its rank changes at %v, which is past", next-at)
			}
		})
	}
}

func TestInputLossTimeIsThePolicys(t *testing.T) {
	p := standard
	p.InputLoss = 100 * ms
	for _, tt := range []struct {
		silence, interval time.Duration
		want              Rank
	}{
		{119 * ms, 40 * ms, RankFull}, // three frames are longer than the loss time
		{120 * ms, 40 * ms, RankAudioOnly},
		{99 * ms, 16 * ms, RankFull},
		{100 * ms, 16 * ms, RankAudioOnly},
	} {
		if got := videoSilent(every(whole(), tt.interval), tt.silence).Rank(p, at); got != tt.want {
			t.Errorf("a frame each %v, silent for %v: rank %v, want %v", tt.interval, tt.silence, got, tt.want)
		}
	}
}

func TestOnlyADecodableLegCanBeEntered(t *testing.T) {
	tests := []struct {
		name string
		leg  Leg
		want bool
	}{
		{"IDR at hand", whole(), true},
		{"no IDR in the cache", withoutEntryPoint(whole()), false},
		{"nobody publishes", absent(), false},
		{"audio-only publication", audioOnly(whole()), true},
		{"video lost, audio goes on", videoSilent(whole(), 2*time.Second), true},
		{"everything lost", silent(whole(), 10*time.Second), false},
		{"audio began 0.9 s ago: video may be about to", young(audioOnly(whole()), 900*ms), false},
		{"audio began 1 s ago, and no video", young(audioOnly(whole()), 1000*ms), true},
		{"video began 10 ms ago", young(whole(), 10*ms), true},
		{"IDR awaited, audio began 0.1 s ago", young(beforeIDR(whole()), 100*ms), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.leg.canEnter(standard, at); got != tt.want {
				t.Errorf("can be entered: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLegOfAStream(t *testing.T) {
	if diff := cmp.Diff(Leg{}, LegOf(stream.Snapshot{})); diff != "" {
		t.Errorf("nobody publishes (-want +got):\n%s", diff)
	}
	got := LegOf(stream.Snapshot{
		Publication: &stream.PublicationSnapshot{Since: 5 * time.Second},
		Video:       stream.TrackSnapshot{Announced: true, LastArrival: 9 * time.Second, Interval: 40 * ms},
		Audio:       stream.TrackSnapshot{Announced: true, LastArrival: 8 * time.Second, Interval: 20 * ms},
		LastIDR:     6 * time.Second,
	})
	want := Leg{
		Publishing: true, Since: 5 * time.Second,
		Video:     Track{Announced: true, LastArrival: 9 * time.Second, Interval: 40 * ms},
		Audio:     Track{Announced: true, LastArrival: 8 * time.Second, Interval: 20 * ms},
		Decodable: true, // although the cache has dropped the IDR
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRoles(t *testing.T) {
	for r, want := range map[Role]Role{Primary: Backup, Backup: Primary, "": ""} {
		if got := r.Other(); got != want {
			t.Errorf("other of %q: %q, want %q", r, got, want)
		}
	}
}
