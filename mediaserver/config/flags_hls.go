package config

import (
	"flag"
	"strconv"
	"strings"
	"time"
)

// hlsFlags are the flags of HLS as written.
type hlsFlags struct{ mode, segment, part, window string }

func (f *hlsFlags) define(set *flag.FlagSet) {
	set.StringVar(&f.mode, "hls", "OnDemand", "`MODE` of HLS: OnDemand makes a playlist while somebody asks for it, Off serves no HLS")
	set.StringVar(&f.segment, "hls-segment-seconds", "2", "the shortest duration of an HLS segment in seconds: `N` from 1 to 10")
	set.StringVar(&f.part, "hls-part-milliseconds", "250", "the duration of a part of an HLS segment: `N` from 100 to 2000 milliseconds, rounded up to whole pictures")
	set.StringVar(&f.window, "hls-window-seconds", "30", "how much an HLS playlist goes back: `N` from 1 to 3600 seconds, and at least six times its target duration")
}

// config checks the flags. where returns the name of a flag for a mistake.
func (f *hlsFlags) config(where func(string) string, mistakes *Mistakes) HLS {
	number := func(name, text string, least, most int, unit time.Duration) time.Duration {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			mistakes.add("%s: %q must be a whole number from %d to %d", where(name), text, least, most)
		}
		return time.Duration(n) * unit
	}
	c := HLS{
		Off:     strings.EqualFold(f.mode, "Off"),
		Segment: number("hls-segment-seconds", f.segment, 1, 10, time.Second),
		Part:    number("hls-part-milliseconds", f.part, 100, 2000, time.Millisecond),
		Window:  number("hls-window-seconds", f.window, 1, 3600, time.Second),
	}
	if !c.Off && !strings.EqualFold(f.mode, "OnDemand") {
		mistakes.add("%s: %q must be OnDemand or Off", where("hls"), f.mode)
	}
	if c.Part > c.Segment {
		mistakes.add("%s: a part must not be longer than a segment", where("hls-part-milliseconds"))
	}
	return c
}
