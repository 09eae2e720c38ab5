package server

import (
	"math"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// flashesAndBeeps notes each new picture with its time code and the time at which it is shown, and
// the time at which each beep is played. Times are in milliseconds since 1970.
const flashesAndBeeps = `(() => {
	const read = ` + mediatest.TimeCodeJS + `, video = document.querySelector("video");
	window.pictures = [];
	window.beeps = [];
	const note = (_, meta) => {
		const code = read(video);
		if (code) window.pictures.push([performance.timeOrigin + meta.expectedDisplayTime, code.leg, code.frame]);
		video.requestVideoFrameCallback(note);
	};
	video.requestVideoFrameCallback(note);
	const audio = new AudioContext(), listener = audio.createScriptProcessor(256, 1, 1);
	let quiet = 0;
	listener.onaudioprocess = (e) => {
		const clock = audio.getOutputTimestamp();
		const played = (i) => performance.timeOrigin + clock.performanceTime + 1000 * (e.playbackTime - e.inputBuffer.duration + i / audio.sampleRate - clock.contextTime);
		e.inputBuffer.getChannelData(0).forEach((v, i) => {
			if (Math.abs(v) < 0.3) {
				quiet++;
				return;
			}
			if (quiet >= audio.sampleRate / 4) window.beeps.push(played(i));
			quiet = 0;
		});
	};
	audio.createMediaStreamSource(video.srcObject).connect(listener);
	listener.connect(audio.destination);
})()`

// hearing is what Chromium has received and played of the sound since the connection began.
type hearing struct {
	At      float64 // in milliseconds
	Packets float64
	// Concealed is how much sound was made up that was not silent, in milliseconds. Energy grows
	// only while there is sound.
	Concealed, Energy float64
	// Sounds and Pictures are how long samples and pictures waited in the buffers, in milliseconds:
	// the sum, and of how many.
	Sounds, Pictures [2]float64
}

func (p *page) hearing() hearing {
	return mediatest.Eval[hearing](p.t, p.ctx, `(async () => {
		const r = {};
		(await window.streampair.connection().getStats()).forEach((s) => {
			if (s.type === "inbound-rtp") r[s.kind] = s;
		});
		const buffered = (s) => [1000 * (s.jitterBufferDelay || 0), s.jitterBufferEmittedCount || 0];
		return {
			At: performance.now(), Packets: r.audio?.packetsReceived || 0, Energy: r.audio?.totalAudioEnergy || 0,
			Concealed: ((r.audio?.concealedSamples || 0) - (r.audio?.silentConcealedSamples || 0)) / 48,
			Sounds: buffered(r.audio || {}), Pictures: buffered(r.video || {}),
		};
	})()`)
}

// each returns the mean wait in a buffer between two moments.
func each(from, to [2]float64) float64 { return (to[0] - from[0]) / max(1, to[1]-from[1]) }

// pictures returns the pictures shown, with the time at which each was shown.
func (p *page) pictures() []mediatest.Sighting {
	p.t.Helper()
	var seen []mediatest.Sighting
	for _, one := range mediatest.Eval[[][3]float64](p.t, p.ctx, "window.pictures") {
		at := since1970(one[0])
		seen = append(seen, mediatest.Sighting{Seen: at, Presented: at, TimeCode: mediatest.TimeCode{Leg: int(one[1]), Frame: int(one[2])}})
	}
	return seen
}

func since1970(milliseconds float64) time.Time {
	seconds, fraction := math.Modf(milliseconds / 1000)
	return time.Unix(int64(seconds), int64(fraction*1e9))
}

// TestSoundBeginsInStepAfterALongSilence shows that a browser takes discontinuous transmission for
// silence. The picture does not wait for sound, and the sound that begins is whole.
func TestSoundBeginsInStepAfterALongSilence(t *testing.T) {
	const (
		quiet, loud = 8 * time.Second, 8 * time.Second
		// On a busy machine the offset depends more on the machine than on the server, and packets that
		// come late are made up for.
		maxOffset = 200 * ms
		maxMadeUp = 500 // ms
	)
	for _, tt := range []struct {
		name   string
		begins func(s *testServer, primary *mediatest.Replayer) // makes sound begin
	}{
		{"of the same encoder", func(_ *testServer, primary *mediatest.Replayer) { primary.Drop(false, false) }},
		{"of the other leg", func(s *testServer, primary *mediatest.Replayer) {
			s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{Epoch: primary.Epoch()})
			s.onAir("backup", true, true) // it has sound
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, sticky)
			primary := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
			dropsAudio(primary)
			s.onAir("primary", true, false)
			p := &page{t, mediatest.Browser(t)}
			mediatest.Open(t, p.ctx, s.url("play.html", "name", "primary", "backupStreamId", "backup", "playOrder", "webrtc"))
			mediatest.Await(t, p.ctx, patience, `document.querySelector("video")?.videoWidth > 0 && document.querySelector("video").srcObject`, "")
			mediatest.Eval[any](t, p.ctx, flashesAndBeeps)
			age := func(since, until time.Time) time.Duration {
				var ages []time.Duration
				for _, one := range p.pictures() {
					if one.Seen.After(since) && one.Seen.Before(until) {
						ages = append(ages, mediatest.Age(one, primary.Epoch(), fps, 8*time.Second))
					}
				}
				if len(ages) < fps {
					t.Errorf("only %d pictures within %v", len(ages), until.Sub(since))
				}
				return median(ages)
			}

			time.Sleep(time.Second) // the silence begins in full
			before, silent := p.hearing(), time.Now()
			time.Sleep(quiet)
			pause := p.hearing()
			rate := 1000 * (pause.Packets - before.Packets) / (pause.At - before.At)
			if rate < 2 || rate > 5 {
				t.Errorf("%.1f packets of sound a second in the silence, want 2.5", rate)
			}
			if pause.Energy > 0 || pause.Concealed-before.Concealed > maxMadeUp {
				t.Errorf("in the silence %.0f ms of sound were made up; energy %g", pause.Concealed-before.Concealed, pause.Energy)
			}

			begun := time.Now()
			tt.begins(s, primary)
			eventually.True(t, "sound", func() bool { return p.hearing().Energy > 0 })
			first, heard := p.hearing(), time.Now()
			time.Sleep(loud)
			last := p.hearing()
			was, is := age(silent, begun), age(heard, heard.Add(loud))
			t.Logf("%.1f packets of sound a second in the silence; buffered then: sound %.0f ms, pictures %.0f ms; later %.0f and %.0f ms",
				rate, each(before.Sounds, pause.Sounds), each(before.Pictures, pause.Pictures), each(first.Sounds, last.Sounds), each(first.Pictures, last.Pictures))
			t.Logf("%.0f ms of sound made up when it began, %.0f ms in the %v after; pictures were %v old in the silence, then %v",
				first.Concealed-pause.Concealed, last.Concealed-first.Concealed, loud, was.Round(ms), is.Round(ms))
			if was > is+maxOffset/2 {
				t.Errorf("pictures were %v old in the silence, and %v with sound", was, is)
			}
			if made := last.Concealed - pause.Concealed; made > maxMadeUp {
				t.Errorf("%.0f ms of sound were made up", made)
			}
			// The browser moves the picture towards the sound by small steps.
			var late []time.Duration
			eventually.True(t, "five beeps in step with their pictures", func() bool {
				var beeps []time.Time
				for _, at := range mediatest.Eval[[]float64](t, p.ctx, "window.beeps") {
					beeps = append(beeps, since1970(at))
				}
				late = nil
				inStep := 0
				for _, skew := range mediatest.Skews(p.pictures(), beeps, fps) {
					late = append(late, skew.Late.Round(ms))
					if skew.Late.Abs() <= maxOffset {
						inStep++
					}
				}
				return inStep >= 5
			})
			t.Logf("beeps later than their pictures by %v", late)
		})
	}
}
