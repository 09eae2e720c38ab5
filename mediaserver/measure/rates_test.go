package measure

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// send adds pictures of a rate, from a time on, and returns the last rates and the time of the end.
func (m *RateMeter) send(from time.Duration, seconds, fps int) (last *Rates, end time.Duration) {
	for i := range seconds * fps {
		at := from + time.Duration(i)*time.Second/time.Duration(fps)
		u := &stream.AccessUnit{Kind: stream.Video, DTS: at, PTS: at, Arrival: at, IDR: i%(2*fps) == 0, NALUs: [][]byte{make([]byte, 1000)}}
		if r := m.Add(u); r != nil {
			last = r
		}
	}
	return last, from + time.Duration(seconds)*time.Second
}

func TestALowPictureRateDoesNotBecomeTheUsualOne(t *testing.T) {
	var m RateMeter
	last, at := m.send(time.Minute, 60, 25)
	if last.FrameRate != 25 || last.UsualFrameRate != 25 || last.BitrateBPS != 25*8000 || last.KeyFrameInterval != 2*time.Second {
		t.Errorf("25 pictures a second are measured as %+v", last)
	}
	last, at = m.send(at, 1800, 5)
	if last.FrameRate != 5 || last.UsualFrameRate != 25 {
		t.Errorf("after half an hour of 5 pictures a second: %+v", last)
	}
	if last, _ = m.send(at, 700, 50); last.UsualFrameRate != 50 {
		t.Errorf("after ten minutes of 50 pictures a second: %+v", last)
	}
}

func TestJumpsOfTheClockAreCounted(t *testing.T) {
	var m RateMeter
	_, at := m.send(time.Minute, 5, 25)
	m.send(at+time.Hour, 5, 25)
	if last, _ := m.send(time.Minute, 5, 25); last.Jumps != 2 || last.FrameRate != 25 {
		t.Errorf("after a jump ahead and one back: %+v", last)
	}
}
