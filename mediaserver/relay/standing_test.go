package relay

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/failover"
)

// A line as the versions before rules had numbers write it.
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
