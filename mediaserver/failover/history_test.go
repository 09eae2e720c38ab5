package failover

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told returns the history as text: seconds since began, what, which leg, why, and the gap.
func told(entries []Entry, began time.Duration) []string {
	var lines []string
	for _, e := range entries {
		line := fmt.Sprintf("%v %s %s", (e.At - began).Round(100*ms), e.Kind, e.Leg)
		if e.Reason != "" {
			line += " " + string(e.Reason)
		}
		if e.Gap != 0 {
			line += fmt.Sprintf(" gap %v", e.Gap.Round(100*ms))
		}
		lines = append(lines, line)
	}
	return lines
}

func TestHistory(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(s *testPair)
		want []string
	}{
		{"nobody publishes", func(s *testPair) { s.run(time.Minute) }, nil},
		{"both encoders start", func(s *testPair) {
			s.primary.start()
			s.run(3 * time.Second)
			s.backup.start()
			s.run(time.Minute)
		}, []string{"0s OnAir Primary Started", "3s Redundant Backup"}},
		{"the backup never comes: ten seconds are the time of a start", func(s *testPair) {
			s.primary.start()
			s.run(time.Minute)
		}, []string{"0s OnAir Primary Started", "10s RedundancyLost Backup BackupDisconnected"}},
		{"the encoder on air falls silent, and is back after a minute", func(s *testPair) {
			s.primary.start()
			s.backup.start()
			s.run(20 * time.Second)
			s.primary.pause(true)
			s.run(time.Minute)
			s.primary.pause(false)
			s.run(20 * time.Second)
		}, []string{
			"0s OnAir Primary Started", "0s Redundant Backup",
			"21s Switched Backup PrimaryInputLost gap 1s", "21s RedundancyLost Primary PrimaryInputLost", "1m20s Redundant Primary",
		}},
		{"the encoder that is not on air goes and comes", func(s *testPair) {
			s.primary.start()
			s.backup.start()
			s.run(20 * time.Second)
			s.backup.kill()
			s.run(10 * time.Second)
			s.backup.start()
			s.run(10 * time.Second)
		}, []string{"0s OnAir Primary Started", "0s Redundant Backup", "20s RedundancyLost Backup BackupDisconnected", "30s Redundant Backup"}},
		{"both are lost, and the other one is back first", func(s *testPair) {
			s.primary.start()
			s.backup.start()
			s.run(20 * time.Second)
			s.backup.kill()
			s.run(10 * time.Second)
			s.primary.kill()
			s.run(10 * time.Second)
			s.backup.start()
			s.run(10 * time.Second)
			s.primary.start()
			s.run(10 * time.Second)
		}, []string{
			"0s OnAir Primary Started", "0s Redundant Backup", "20s RedundancyLost Backup BackupDisconnected",
			"30s Dark Primary PrimaryDisconnected", "40s Switched Backup PrimaryDisconnected gap 10s", "40s OnAir Backup gap 10s",
			"50s Redundant Primary",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inStudio(t, nil, func(t *testing.T, s *testPair) {
				began := s.now()
				tt.play(s)
				if diff := cmp.Diff(tt.want, told(s.pair.Status().History, began)); diff != "" {
					t.Errorf("history (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAServerThatEndsAddsNothing(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		began := s.now()
		s.primary.start()
		s.backup.start()
		s.run(20 * time.Second)
		s.pair.Leave()
		s.primary.kill()
		s.run(10 * time.Second)
		s.backup.kill()
		s.run(10 * time.Second)
		want := []string{"0s OnAir Primary Started", "0s Redundant Backup"}
		if diff := cmp.Diff(want, told(s.pair.Status().History, began)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
}

func TestWithoutABackupNoRedundancyIsLost(t *testing.T) {
	inStudio(t, func(c *PairConfig) { c.Backup = nil }, func(t *testing.T, s *testPair) {
		began := s.now()
		s.primary.start()
		s.run(time.Minute)
		if diff := cmp.Diff([]string{"0s OnAir Primary Started"}, told(s.pair.Status().History, began)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
}

// flaps returns how often a state that is good and bad by turns is found lost within a time.
func flaps(turn, within time.Duration) int {
	var l lapse
	lost := 0
	for now := time.Minute; now < time.Minute+within; now += 100 * ms {
		var e edge
		if l, e = l.observe(now/turn%2 == 0, now); e.lost {
			lost++
		}
	}
	return lost
}

func TestALegThatComesAndGoesDoesNotFillTheHistory(t *testing.T) {
	for _, tt := range []struct {
		turn, within time.Duration
		atMost       int
	}{
		{time.Second, 10 * time.Hour, 1},         // never good for steadyTime
		{3 * time.Second, 10 * time.Hour, 2},     // good for the first hold only
		{time.Minute, 10 * time.Hour, 6},         // holds 2 s to 64 s
		{11 * time.Minute, 10 * time.Hour, 28},   // each return counts: 27 losses happen
		{30 * time.Minute, 100 * time.Hour, 100}, // rare losses all count
	} {
		if got := flaps(tt.turn, tt.within); got > tt.atMost || got == 0 {
			t.Errorf("turns of %v: %d losses within %v, want 1 to %d", tt.turn, got, tt.within, tt.atMost)
		}
	}
}

func TestTheHistoryHasALimit(t *testing.T) {
	var h history
	for i := range 3 * MaxHistory {
		h = h.with(Entry{Kind: KindSwitched, At: time.Duration(i)})
	}
	if first, last := h.entries[0].At, h.entries[len(h.entries)-1].At; len(h.entries) != MaxHistory || first != 2*MaxHistory || last != 3*MaxHistory-1 {
		t.Errorf("%d entries from %d to %d", len(h.entries), first, last)
	}
}
