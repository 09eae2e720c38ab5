package sound

import (
	"math"
	"slices"
	"testing"
)

func TestIntegrated(t *testing.T) {
	for name, tt := range map[string]struct {
		momentary []float64
		want      float64
	}{
		"nothing":                       {nil, Floor},
		"silence":                       {slices.Repeat([]float64{Floor}, 100), Floor},
		"an even programme":             {slices.Repeat([]float64{-23}, 100), -23},
		"pauses do not count":           {slices.Concat(slices.Repeat([]float64{-23}, 50), slices.Repeat([]float64{-80}, 50)), -23},
		"10 LU below the mean is a gap": {slices.Concat(slices.Repeat([]float64{-20}, 90), slices.Repeat([]float64{-40}, 10)), -20},
		"two levels, by power":          {slices.Concat(slices.Repeat([]float64{-20}, 50), slices.Repeat([]float64{-26}, 50)), -22.03},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Integrated(tt.momentary); math.Abs(got-tt.want) > 0.01 {
				t.Errorf("%.2f LUFS, want %.2f", got, tt.want)
			}
		})
	}
}
