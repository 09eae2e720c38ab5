package measure

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Samples reads metrics in Prometheus' text format, and returns those without labels by name.
func Samples(r io.Reader) (map[string]float64, error) {
	samples := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), " ")
		if !found || strings.HasPrefix(name, "#") || strings.Contains(name, "{") {
			continue
		}
		value, _, _ := strings.Cut(rest, " ") // a timestamp may follow
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read metric %s: %w", name, err)
		}
		samples[name] = number
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return samples, nil
}
