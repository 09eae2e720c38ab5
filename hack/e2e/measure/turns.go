package measure

import "fmt"

// A Turn is the outcome of one turn of a soak. A turn makes one fault.
type Turn int

const (
	// Made says that the fault was made.
	Made Turn = iota
	// Spared says that a leg was away, and that the fault could have taken the other leg.
	Spared
	// Skipped says that the fault could not be made.
	Skipped
)

// Turns counts the turns of a soak by outcome.
type Turns struct {
	Made, Spared, Skipped int
}

// Count counts a turn.
func (t *Turns) Count(turn Turn) {
	switch turn {
	case Made:
		t.Made++
	case Spared:
		t.Spared++
	case Skipped:
		t.Skipped++
	}
}

func (t Turns) String() string {
	return fmt.Sprintf("%d faults made, %d spared the pair while a leg was away, %d skipped", t.Made, t.Spared, t.Skipped)
}

// Err returns why the turns prove too little; nil: they prove enough. In a cluster where
// everything is replaced all the time, some faults find no target: at most one in ten, or two
// in a short soak. A pair that is whole in less than a third of the turns does not recover.
func (t Turns) Err() error {
	switch all := t.Made + t.Spared + t.Skipped; {
	case t.Skipped > max(2, all/10):
		return fmt.Errorf("too many faults could not be made: %v", t)
	case 3*t.Made < all || all == 0:
		return fmt.Errorf("too few faults were made: %v", t)
	}
	return nil
}
