package measure

import (
	"fmt"
	"slices"
	"time"
)

// Figures are one measurement taken several times.
type Figures []time.Duration

// Median is the upper median, 0 without figures.
func (f Figures) Median() time.Duration {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return sorted[len(sorted)/2]
}

// Worst is the highest, 0 without figures.
func (f Figures) Worst() time.Duration {
	if len(f) == 0 {
		return 0
	}
	return slices.Max(f)
}

func text(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
