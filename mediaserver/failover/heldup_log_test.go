package failover

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestPairsThatAreHeldUpAreOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines mediatest.LogLines
		l := NewHeldUpLog(slog.New(slog.NewTextHandler(&lines, nil)))
		wantLines := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(strings.TrimSpace(lines.Take()), "\n")
			if len(want) == 0 {
				want = []string{""}
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d lines, want %d:\n%s", what, len(got), len(want), strings.Join(got, "\n"))
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("%s: %q in the log, want %q", what, got[i], want[i])
				}
			}
		}
		for pair := range 200 {
			l.note(fmt.Sprint("pair", pair), 300*ms)
			l.note(fmt.Sprint("pair", pair), time.Duration(pair)*10*ms)
		}
		wantLines("other pairs may be held up too")
		time.Sleep(heldUpGather)
		wantLines("all pairs at once", "the machine is short of CPU: pairs of this server did not run for a while")
		for range 50 { // again and again
			l.note("pair1", 400*ms)
			l.note("pair2", 500*ms)
			time.Sleep(time.Second)
		}
		wantLines("within a minute of the last line")
		time.Sleep(heldUpInterval - 50*time.Second)
		wantLines("after a minute", "pairs=2 longest=500ms")
		time.Sleep(time.Hour)
		wantLines("the machine is well")
		l.note("pair3", 300*ms)
		time.Sleep(heldUpGather)
		wantLines("an hour later", "pairs=1 longest=300ms")
		l.note("pair4", 300*ms)
		l.Close()
		l.note("pair5", 300*ms)
		time.Sleep(time.Hour)
		wantLines("after Close")
	})
}

func TestAPairNotesThatItWasHeldUp(t *testing.T) {
	var lines mediatest.LogLines
	inStudio(t, func(c *PairConfig) {
		c.HeldUp = NewHeldUpLog(slog.New(slog.NewTextHandler(&lines, nil)))
	}, func(t *testing.T, s *testPair) {
		s.bothOn()
		s.output.hold.Store(int64(3 * time.Second))
		s.run(40 * ms) // the hold begins with the next picture
		s.runEncodersFor(3 * time.Second)
		s.run(2 * heldUpGather)
		if got := lines.Take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "pairs=1 longest=3") {
			t.Errorf("in the log: %q, want one line about a pair that was held up for 3 s", got)
		}
	})
}
