package peer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/failover"
)

// lineBefore is a line as the versions before rules had numbers write it.
const lineBefore = `{"active":"Primary","onAir":true,"sinceNanoseconds":1793923211123456789,"switchingTo":"Backup",` +
	`"firstPictureNanoseconds":1793923201000000001,"final":true,"preferred":"Primary","generation":7,"settled":true,"leaving":true}`

// standingBefore has the fields that those versions read.
type standingBefore struct {
	Active       string `json:"active"`
	OnAir        bool   `json:"onAir"`
	Since        int64  `json:"sinceNanoseconds"`
	SwitchingTo  string `json:"switchingTo"`
	FirstPicture int64  `json:"firstPictureNanoseconds"`
	Final        bool   `json:"final"`
	Preferred    string `json:"preferred"`
	Generation   int64  `json:"generation"`
	Settled      bool   `json:"settled"`
	Leaving      bool   `json:"leaving"`
}

func TestVersionsReadEachOthersLines(t *testing.T) {
	epoch := time.Unix(1793923200, 5)
	before := failover.Standing{
		Active: failover.Primary, OnAir: true, Since: 11123456784 * time.Nanosecond, SwitchingTo: failover.Backup,
		FirstPicture: time.Second - 4*time.Nanosecond, Final: true, Preferred: failover.Primary, Generation: 7, Settled: true, Leaving: true,
	}
	t.Run("this version reads the one before: it knows no rules, and tells no doubt", func(t *testing.T) {
		var w wireStanding
		if err := json.Unmarshal([]byte(lineBefore), &w); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, w.standing(epoch)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	now := before
	now.Rules, now.Doubt = failover.Rules, failover.Interrupted
	line, err := json.Marshal(toWire(now, epoch))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the version before reads this one", func(t *testing.T) {
		var got, want standingBefore
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(lineBefore), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	t.Run("this version reads its own, on a clock that began later", func(t *testing.T) {
		var w wireStanding
		if err := json.Unmarshal(line, &w); err != nil {
			t.Fatal(err)
		}
		want := now
		want.Since -= time.Minute
		want.FirstPicture -= time.Minute
		if diff := cmp.Diff(want, w.standing(epoch.Add(time.Minute))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestAStandingIsReadAsItIsWritten(t *testing.T) {
	epoch := time.Now()
	want := failover.Standing{
		Active: failover.Backup, OnAir: true, Since: 5 * time.Second, SwitchingTo: failover.Primary, FirstPicture: time.Second,
		Final: true, Preferred: failover.Primary, Generation: 7, Settled: true, Leaving: true,
	}
	if diff := cmp.Diff(want, toWire(want, epoch).standing(epoch)); diff != "" {
		t.Error(diff)
	}
}

func TestWhichPeerAPairListensTo(t *testing.T) {
	on, off := failover.Standing{Active: failover.Primary, OnAir: true}, failover.Standing{Active: failover.Primary}
	leaving := func(s failover.Standing) failover.Standing {
		s.Leaving = true
		return s
	}
	tests := []struct {
		name  string
		heard map[string]failover.Standing
		want  string
	}{
		{"nobody is heard", nil, ""},
		{"one, whatever it says", map[string]failover.Standing{"a": leaving(off)}, "a"},
		{"one that stays before one that ends", map[string]failover.Standing{"a": leaving(on), "b": on}, "b"},
		{"one that ends before one that has nothing to tell yet", map[string]failover.Standing{"a": off, "b": leaving(on)}, "b"},
		{"neither is on air: the one that stays", map[string]failover.Standing{"a": leaving(off), "b": off}, "b"},
		{"one that has both legs before one that was cut off and is back", map[string]failover.Standing{"a": on, "b": {OnAir: true, Settled: true}}, "b"},
		{"no difference: always the same", map[string]failover.Standing{"b": on, "a": on}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			heard, bases := map[string]*failover.Standing{}, map[*failover.Standing]string{}
			for base, s := range tt.heard {
				heard[base] = &s
				bases[heard[base]] = base
			}
			if got := bases[leading(heard)]; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
