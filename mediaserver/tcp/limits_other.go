//go:build !linux

package tcp

// setLimits does nothing, because only Linux has the options.
func setLimits(int, Limits) {}

// unsent returns 0, because the number is unknown.
func unsent(int) int64 { return 0 }
