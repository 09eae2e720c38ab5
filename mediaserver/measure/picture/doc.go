// Package picture measures small decoded pictures: black, one colour, unchanged since the picture
// before, and a thumbnail. It says nothing about faults, and decodes nothing.
//
// It is pure: it has no clock, goroutine, socket or file. Start with Meter.
package picture
