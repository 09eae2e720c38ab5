package measure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ms returns pictures at these milliseconds after an arbitrary time.
func ms(n ...int) Pictures {
	var p Pictures
	for _, n := range n {
		p = append(p, at(n))
	}
	return p
}

func at(n int) time.Time {
	return time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
}

func TestGaps(t *testing.T) {
	for name, test := range map[string]struct {
		pictures        Pictures
		begin, end      int
		longest, frozen int
	}{
		"steady":                         {ms(0, 40, 80, 120, 160, 200), 40, 160, 40, 0},
		"a gap between two":              {ms(0, 40, 500, 540), 0, 540, 460, 460},
		"two gaps":                       {ms(0, 300, 340, 740), 0, 740, 400, 700},
		"a gap that began before":        {ms(0, 500, 540), 400, 540, 100, 0},
		"a gap that lasts until the end": {ms(0, 40, 80), 0, 1000, 920, 920},
		"nothing at all":                 {nil, 0, 1000, 1000, 1000},
		"nothing in between":             {ms(0, 2000), 500, 1500, 1000, 1000},
		"all after":                      {ms(2000), 0, 1000, 1000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			longest := test.pictures.LongestGap(at(test.begin), at(test.end))
			frozen := test.pictures.Frozen(at(test.begin), at(test.end), 200*time.Millisecond)
			if diff := cmp.Diff([]int{test.longest, test.frozen}, []int{int(longest.Length.Milliseconds()), int(frozen.Milliseconds())}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLongestGapIsWhereItBegan(t *testing.T) {
	if gap := ms(0, 40, 500, 540, 700).LongestGap(at(0), at(740)); !gap.Begin.Equal(at(40)) {
		t.Errorf("%+v", gap)
	}
}

func TestTable(t *testing.T) {
	var table Table
	killed := What{"active encoder killed", "viewers of either pod", "≤ 200 ms"}
	lost := What{"node lost", "viewers of the other pod", "≤ 1300 ms"}
	table.Add(killed, Figure{Length: 70 * time.Millisecond, Limit: 400 * time.Millisecond})
	table.Add(lost, Figure{Length: 12340 * time.Millisecond, Limit: 6300 * time.Millisecond, Reconnects: 1, Verdict: Failed})
	table.Add(killed, Figure{Length: 90 * time.Millisecond, Limit: 400 * time.Millisecond})
	table.Add(killed, Figure{Length: 210 * time.Millisecond, Limit: 400 * time.Millisecond, Verdict: Over})
	table.Add(killed, Figure{Length: 410 * time.Millisecond, Limit: 400 * time.Millisecond, Verdict: Again})
	table.Add(killed, Figure{Length: 80 * time.Millisecond, Limit: 400 * time.Millisecond})
	table.Add(What{"node lost", "its own", "≤ 5 s"}, Figure{Length: 1500 * time.Millisecond, Limit: 10 * time.Second, Reconnects: 2})
	want := strings.TrimPrefix(`
| fault | figure | to reach | asserted | median | worst | runs | over goal | repeated | reconnects |
|---|---|---|---|---|---|---|---|---|---|
| active encoder killed | viewers of either pod | ≤ 200 ms | ≤ 400 ms | 90 ms | 410 ms | 5 | 2 | 1 | 0 |
| node lost | viewers of the other pod | ≤ 1300 ms | ≤ 6300 ms | 12.3 s | 12.3 s | 1 | 1 | 0 | 1 |
|  | its own | ≤ 5 s | ≤ 10.0 s | 1500 ms | 1500 ms | 1 | 0 | 0 | 2 |
`, "\n")
	path := filepath.Join(t.TempDir(), "table.md")
	if err := table.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFiguresOfNothing(t *testing.T) {
	if f := Figures(nil); f.Median() != 0 || f.Worst() != 0 {
		t.Errorf("median %v, worst %v", f.Median(), f.Worst())
	}
	if text := new(Table).String(); text != "" {
		t.Errorf("an empty table is %q", text)
	}
}

func TestSamples(t *testing.T) {
	got, err := Samples(strings.NewReader(`# HELP go_goroutines Number of goroutines.
# TYPE go_goroutines gauge
go_goroutines 87
process_resident_memory_bytes 4.1e+07
with_time 3 1700000000
streampair_viewers{protocol="whep"} 2
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"go_goroutines": 87, "process_resident_memory_bytes": 4.1e7, "with_time": 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Samples(strings.NewReader("go_goroutines many\n")); err == nil {
		t.Error("a word was taken for a number")
	}
}
