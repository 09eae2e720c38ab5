package measure

import (
	"fmt"
	"slices"
	"time"
)

// Figures are the results of one measurement that was repeated.
type Figures []time.Duration

// Median returns the upper median; 0 without figures.
func (f Figures) Median() time.Duration { return f.Quantile(0.5) }

// Quantile returns the figure that this share of
// the figures does not exceed; 0 without figures.
func (f Figures) Quantile(share float64) time.Duration {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// Worst returns the highest figure; 0 without figures.
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
