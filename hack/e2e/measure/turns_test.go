package measure

import "testing"

func TestASoakThatMakesTooFewFaultsProvesNothing(t *testing.T) {
	for _, test := range []struct {
		name  string
		turns Turns
		err   string
	}{
		{"all made", Turns{Made: 60}, ""},
		{"the pair was away at times", Turns{Made: 36, Spared: 24}, ""},
		{"one in ten skipped", Turns{Made: 54, Skipped: 6}, ""},
		{"more than one in ten skipped", Turns{Made: 53, Skipped: 7},
			"too many faults could not be made: 53 faults made, 0 spared the pair while a leg was away, 7 skipped"},
		{"two of a short soak skipped", Turns{Made: 10, Spared: 5, Skipped: 2}, ""},
		{"three of a short soak skipped", Turns{Made: 10, Spared: 5, Skipped: 3},
			"too many faults could not be made: 10 faults made, 5 spared the pair while a leg was away, 3 skipped"},
		{"a third made", Turns{Made: 20, Spared: 40}, ""},
		{"less than a third made", Turns{Made: 19, Spared: 41},
			"too few faults were made: 19 faults made, 41 spared the pair while a leg was away, 0 skipped"},
		{"no turn", Turns{}, "too few faults were made: 0 faults made, 0 spared the pair while a leg was away, 0 skipped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := test.turns.Err(); err != nil {
				got = err.Error()
			}
			if got != test.err {
				t.Errorf("%q, want %q", got, test.err)
			}
		})
	}
}

func TestEachTurnIsCountedOnce(t *testing.T) {
	var got Turns
	for _, turn := range []Turn{Made, Spared, Made, Skipped, Made, Spared} {
		got.Count(turn)
	}
	if want := (Turns{Made: 3, Spared: 2, Skipped: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
