package transcode

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestAudioReencodesOpusBesideAAC(t *testing.T) {
	const start = time.Hour
	primary := opus(t, 1000, 2, 20*time.Millisecond, start+3*time.Millisecond, 3)
	backup := shifted(aac(t, tone, 44100, 2, 3), start)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for _, u := range primary[:60] {
		a.Write(u)
	}
	var past []*stream.AccessUnit
	for _, u := range backup {
		if u.PTS < primary[59].PTS {
			past = append(past, u)
		}
	}
	a.Switch(past)
	for _, u := range backup[len(past):] {
		a.Write(u)
	}
	l.joins()
	x := l.between(start+200*time.Millisecond, start+2800*time.Millisecond)
	for at := 0; at+480 <= len(x); at += 480 {
		if lv := level(x[at : at+480]); lv < 0.15 {
			t.Errorf("level %.3f at %v: a hole", lv, sampleTime(int64(at))+200*time.Millisecond)
		}
	}
}

func TestAudioConcealsNothingButWhatOpusLost(t *testing.T) {
	const start = time.Hour
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	for i, u := range opus(t, 1000, 2, 20*time.Millisecond, start, 3) {
		if i != 70 { // at 1.4 s
			a.Write(u)
		}
	}
	l.joins()
	if lv := level(l.between(start+1408*time.Millisecond, start+1416*time.Millisecond)); lv > 0.05 {
		t.Errorf("level %.3f where a packet was lost", lv)
	}
	if lv := level(l.between(start+1440*time.Millisecond, start+2500*time.Millisecond)); lv < 0.3 {
		t.Errorf("level %.3f after it", lv)
	}
}

func TestAudioPassesOpusThrough(t *testing.T) {
	const start = time.Hour
	for _, packet := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
		t.Run(packet.String(), func(t *testing.T) {
			units := opus(t, 1000, 1, packet, start, 3)
			l := newListener(t)
			var out [][]byte
			a := NewAudio(AudioConfig{Emit: func(at, d time.Duration, p []byte) {
				l.emit(at, d, p)
				out = append(out, p)
			}})
			a.SetPassthrough(true)
			for _, u := range units {
				a.Write(u)
			}
			l.joins()
			if len(out) != len(units) {
				t.Fatalf("%d packets of %d", len(out), len(units))
			}
			for i := range out {
				if string(out[i]) != string(units[i].Frame) {
					t.Fatalf("packet %d was changed", i)
				}
			}
			if l.first != start {
				t.Errorf("first packet at %v, want %v", l.first, start)
			}
		})
	}
}

func TestAudioPassthroughStaysOneTrack(t *testing.T) {
	const start, packet = time.Hour, 20 * time.Millisecond
	primary := opus(t, 1000, 2, packet, start, 6)
	backup := opus(t, 1000, 2, packet, start+11*time.Millisecond, 6)
	l := newListener(t)
	a := NewAudio(AudioConfig{Emit: l.emit})
	a.SetPassthrough(true)
	for _, u := range primary[:50] { // to 1.0 s
		a.Write(u)
	}
	a.Switch(backup[:52])
	for _, u := range backup[52:100] { // to 2.011 s
		a.Write(u)
	}
	for at := start + 2*time.Second; at < start+3*time.Second; at += 40 * time.Millisecond {
		a.Fill(at) // the source is silent
	}
	for _, u := range backup[150:200] { // 3.011 to 4.011 s
		a.Write(u)
	}
	a.SetPassthrough(false) // an AAC publisher appears
	for _, u := range backup[200:250] {
		a.Write(u)
	}
	a.SetPassthrough(true)
	for _, u := range backup[250:] {
		a.Write(u)
	}
	for _, d := range l.jumps {
		if d > packet {
			t.Errorf("a jump of %v", d)
		}
	}
	if len(l.jumps) > 4 {
		t.Errorf("jumps %v", l.jumps)
	}
	for _, at := range []time.Duration{500, 1500, 3500, 4500, 5500} {
		if lv := level(l.between(start+at*time.Millisecond, start+(at+300)*time.Millisecond)); lv < 0.3 {
			t.Errorf("level %.3f at %d ms", lv, at)
		}
	}
	if lv := level(l.between(start+2100*time.Millisecond, start+2900*time.Millisecond)); lv > 1e-3 {
		t.Errorf("level %.4f while the source is silent", lv)
	}
	t.Logf("jumps %v", l.jumps)
}
