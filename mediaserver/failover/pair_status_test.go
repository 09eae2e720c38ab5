package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestStatusTellsWhatIsOn(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		leg := func(r Role, id string, rank Rank, entry bool) LegStatus {
			return LegStatus{Role: r, StreamID: id, Live: rank > RankNone, Rank: rank, EntryPoint: entry}
		}
		want := func(what string, w Status) {
			t.Helper()
			if diff := cmp.Diff(w, s.pair.Status()); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", what, diff)
			}
		}
		none := []LegStatus{leg(Primary, "primary", RankNone, false), leg(Backup, "backup", RankNone, false)}
		want("nobody publishes", Status{Reason: ReasonNoLiveStream, Legs: none})

		started := s.now()
		s.primary.start()
		s.run(40 * ms)
		w := Status{Active: Primary, ActiveStreamID: "primary", OnAir: true, Reason: ReasonStarted, Since: started, Legs: []LegStatus{
			leg(Primary, "primary", RankFull, true), none[1],
		}, History: []Entry{{Kind: KindOnAir, At: started, Leg: Primary, Reason: ReasonStarted}}}
		want("the primary came", w)

		s.legs[1].stream.Warn("NoEntryPoint", "Set the keyframe interval.")
		s.wait()
		w.Legs[1].Warnings = []stream.Warning{{Code: "NoEntryPoint", Message: "Set the keyframe interval."}}
		want("a warning", w)
		s.legs[1].stream.Unwarn("NoEntryPoint")
		s.wait()
		w.Legs[1].Warnings = nil
		if got := s.pair.Status(); len(got.Legs[1].Warnings) != 0 {
			t.Fatalf("the warning stays: %v", got.Legs[1].Warnings)
		}

		s.primary.kill()
		s.wait()
		w.OnAir, w.Legs = false, none
		w.History = append(w.History, Entry{Kind: KindDark, At: s.now(), Leg: Primary, Reason: ReasonPrimaryDisconnected})
		if diff := cmp.Diff(w, s.pair.Status(), cmp.Comparer(func(a, b []stream.Warning) bool { return len(a) == 0 && len(b) == 0 })); diff != "" {
			t.Fatalf("the primary went (-want +got):\n%s", diff)
		}
	})
}

func TestWatchersHearOfEveryChangeAndOfNothingElse(t *testing.T) {
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		s.bothOn()
		changes := s.changes
		before, changed := s.pair.Watch()
		s.run(20 * time.Second)
		select {
		case <-changed:
			t.Fatalf("nothing happened, but %+v became %+v", before, s.pair.Status())
		default:
		}
		if s.changes != changes {
			t.Fatalf("OnChange was called %d times for nothing", s.changes-changes)
		}
		s.primary.kill()
		s.wait()
		select {
		case <-changed:
		default:
			t.Fatal("the watcher did not hear of the failover")
		}
		want := Switch{From: Primary, To: Backup, Reason: ReasonPrimaryDisconnected, At: s.pair.Status().Since}
		if got := s.pair.Status().LastSwitch; got != want {
			t.Errorf("the last switch was %+v, want %+v", got, want)
		}
		if s.changes == changes {
			t.Error("OnChange was not called")
		}
	})
}

func TestMetrics(t *testing.T) {
	var ended *testPair
	inStudio(t, nil, func(t *testing.T, s *testPair) {
		ended = s
		want := func(what string, w map[string]float64) {
			t.Helper()
			if diff := cmp.Diff(w, s.metricsOf("streampair_pair_active_leg", "streampair_switches_total", "streampair_switch_duration_seconds")); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", what, diff)
			}
		}
		active := func(primary, backup float64) map[string]float64 {
			return map[string]float64{
				"streampair_pair_active_leg Primary show": primary, "streampair_pair_active_leg Backup show": backup,
			}
		}
		want("before anything is live", active(0, 0))
		s.bothOn()
		want("on the primary", active(1, 0))
		s.primary.pause(true)
		s.run(2 * time.Second)
		w := active(0, 1)
		w["streampair_switches_total show PrimaryInputLost"] = 1
		w["streampair_switch_duration_seconds urgent"] = 1
		want("failed over", w)
		if got := s.sumOf("streampair_switch_duration_seconds"); got < 0.9 || got > 1.05 {
			t.Errorf("the switch took %v s from the last picture, want the input loss time", got)
		}
		s.backup.kill()
		s.wait()
		w["streampair_pair_active_leg Backup show"] = 0
		want("both lost", w)
	})
	if got := ended.metricsOf("streampair_pair_active_leg", "streampair_switches_total"); len(got) > 0 {
		t.Errorf("after the pair ended: %v", got)
	}
}

// gather calls f for each metric that has one of the names.
func (s *testPair) gather(f func(name string, m *dto.Metric), names ...string) {
	families, err := s.collected.Gather()
	if err != nil {
		s.t.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if !slices.Contains(names, family.GetName()) {
			continue
		}
		for _, m := range family.GetMetric() {
			f(family.GetName(), m)
		}
	}
}

// metricsOf returns the values of metrics by name and label values. The value of a histogram is its
// count.
func (s *testPair) metricsOf(names ...string) map[string]float64 {
	got := make(map[string]float64)
	s.gather(func(name string, m *dto.Metric) {
		for _, l := range m.GetLabel() {
			name += " " + l.GetValue()
		}
		got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}, names...)
	return got
}

func (s *testPair) sumOf(histogram string) float64 {
	var sum float64
	s.gather(func(_ string, m *dto.Metric) { sum += m.GetHistogram().GetSampleSum() }, histogram)
	return sum
}
