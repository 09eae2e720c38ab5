//go:build !linux

package tcp

// setLimits does nothing: the options are Linux's.
func setLimits(int, Limits) {}

// unsent returns 0: the number is not known.
func unsent(int) int64 { return 0 }
