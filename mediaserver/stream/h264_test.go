package stream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatOfAnAccessUnitGoesOn(t *testing.T) {
	big := make([]byte, maxParameterSet+1)
	big[0] = 0x67
	tests := []struct {
		name  string
		nalus [][]byte
		// want is what a subscriber gets; nil: nothing.
		want [][]byte
		err  error
	}{
		{"an IDR with its parameter sets: the slice", [][]byte{sps240, pps0, {0x65, 1}}, [][]byte{{0x65, 1}}, nil},
		{"several slices and SEI", [][]byte{sei, {0x65, 1}, {0x65, 2}}, [][]byte{sei, {0x65, 1}, {0x65, 2}}, nil},
		{"delimiters, filler data and ends are left out", [][]byte{aud, {0x65, 1}, filler, endOfSeq}, [][]byte{{0x65, 1}}, nil},
		{"a picture that is no IDR", [][]byte{{0x41, 1}}, [][]byte{{0x41, 1}}, nil},
		{"a disposable picture", [][]byte{{0x01, 1}}, [][]byte{{0x01, 1}}, nil},
		{"empty NAL units are left out", [][]byte{{}, {0x65}, {0x65, 1}}, [][]byte{{0x65, 1}}, nil},
		{"reserved types are left out", [][]byte{{0x6e, 1}, {0x7f, 1}, {0x65, 1}}, [][]byte{{0x65, 1}}, nil},
		{"parameter sets alone are welcome", [][]byte{sps240, pps0}, nil, nil},
		{"a delimiter alone is", [][]byte{aud}, nil, nil},
		{"SEI alone is", [][]byte{sei}, nil, nil},
		{"an end of sequence alone is", [][]byte{endOfSeq}, nil, nil},
		{"nothing", nil, nil, errNoPicture},
		{"nothing known", [][]byte{{0x7f, 1}}, nil, errNoPicture},
		{"an SPS too short", [][]byte{{0x67, 0x42}, {0x65, 1}}, nil, errMalformedSPS},
		{"an SPS cut off", [][]byte{sps240[:8], pps0, {0x65, 1}}, nil, errMalformedSPS},
		{"an SPS too long", [][]byte{big, pps0, {0x65, 1}}, nil, errMalformedSPS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRegistry(Config{})
			p := begin(t, r)
			defer p.End(EndClosed)
			writeIDR(t, p, 0)
			sub := p.Stream().Subscribe(10)
			defer sub.Close()
			if err := p.WriteVideo(40*ms, 40*ms, tt.nalus); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			var got [][]byte
			for _, u := range drain(sub) {
				got = append(got, u.NALUs...)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if want := map[bool]uint64{true: 1}[tt.err != nil]; p.malformed != want {
				t.Errorf("%d counted as malformed, want %d", p.malformed, want)
			}
		})
	}
}

func TestNothingIsPlayedFromADroppedPictureToTheNextIDR(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	sub := p.Stream().Subscribe(10)
	defer sub.Close()
	writeIDR(t, p, 0)
	writeInter(t, p, 40*ms)
	if err := p.WriteVideo(80*ms, 80*ms, [][]byte{sps240[:8], pps0, idrSlice(10)}); err == nil {
		t.Error("a malformed SPS was taken")
	}
	writeInter(t, p, 120*ms)
	if got := p.video.frames; got != 3 {
		t.Errorf("%d pictures show that the publisher is alive, want 3", got)
	}
	writeIDR(t, p, 160*ms)
	writeInter(t, p, 200*ms)
	if got := describe(drain(sub)); got != "VvVv" {
		t.Errorf("got %s", got)
	}
}

func TestParameterSetsInForce(t *testing.T) {
	// seen is what a subscriber knows of a picture's parameters.
	type seen struct {
		Width, Height int
		FPS           float64
		PPS           []byte
		InBand        int // number of parameter sets among the NAL units
		New           bool
	}
	picture240 := seen{320, 240, 25, pps0, 0, false}
	picture180 := seen{320, 180, 25, pps1SPS1, 0, false}
	// first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0 and 1.
	idrNaming0, idrNaming1, interNaming1 := []byte{0x65, 0x88, 0x84, 1}, []byte{0x65, 0x88, 0x41, 1}, []byte{0x41, 0x99, 0x41, 1}
	changed := func(s seen) seen { s.New = true; return s }
	picture360 := seen{640, 360, 30, pps0, 0, false}
	type step struct {
		outOfBand [][]byte
		nalus     [][]byte
		want      *seen
		err       error
	}
	ptr := func(s seen) *seen { return &s }
	tests := []struct {
		name  string
		steps []step
	}{
		{"in band", []step{{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(changed(picture240))}}},
		{"out of band", []step{{outOfBand: [][]byte{sps240, pps0}, nalus: [][]byte{idrSlice(9)}, want: ptr(changed(picture240))}}},
		{"in band, ahead of their picture", []step{{nalus: [][]byte{sps240, pps0}}, {nalus: [][]byte{idrSlice(9)}, want: ptr(changed(picture240))}}},
		{"none yet", []step{{nalus: [][]byte{idrSlice(9)}, err: errNoParameterSets}, {nalus: [][]byte{sps240, idrSlice(9)}, err: errNoParameterSets}, {nalus: [][]byte{pps0, idrSlice(9)}, want: ptr(changed(picture240))}}},
		{"a picture that cannot be decoded yet is no error once they are known", []step{{outOfBand: [][]byte{sps240, pps0}, nalus: [][]byte{interSlice(9)}}}},
		{"the same again is no change", []step{
			{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(changed(picture240))},
			{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(picture240)},
			{outOfBand: [][]byte{sps240, pps0}, nalus: [][]byte{interSlice(9)}, want: ptr(picture240)},
		}},
		{"a change waits for the IDR", []step{
			{outOfBand: [][]byte{sps240, pps0}, nalus: [][]byte{idrSlice(9)}, want: ptr(changed(picture240))},
			{outOfBand: [][]byte{sps360, pps0}, nalus: [][]byte{interSlice(9)}, want: ptr(picture240)},
			{nalus: [][]byte{sps360, pps0, interSlice(9)}, want: ptr(picture240)},
			{nalus: [][]byte{idrSlice(9)}, want: ptr(changed(picture360))},
		}},
		{"a new PPS of the same id replaces the old one", []step{
			{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(changed(picture240))},
			{nalus: [][]byte{pps0Other, idrSlice(9)}, want: ptr(changed(seen{320, 240, 25, pps0Other, 0, false}))},
		}},
		{"further PPS travel in band with each IDR", []step{
			{nalus: [][]byte{sps240, pps0, pps1, idrSlice(9)}, want: ptr(changed(seen{320, 240, 25, pps0, 1, false}))},
			{nalus: [][]byte{interSlice(9)}, want: ptr(picture240)},
			{nalus: [][]byte{idrSlice(9)}, want: ptr(seen{320, 240, 25, pps0, 1, false})},
		}},
		{"an encoder's change of SPS takes its PPS away", []step{
			{nalus: [][]byte{sps240, pps0, pps1, idrSlice(9)}, want: ptr(changed(seen{320, 240, 25, pps0, 1, false}))},
			{nalus: [][]byte{sps360, pps0, idrSlice(9)}, want: ptr(changed(picture360))},
		}},
		{"a new SPS alone keeps its PPS", []step{
			{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(changed(picture240))},
			{nalus: [][]byte{sps360, idrSlice(9)}, want: ptr(changed(picture360))},
		}},
		{"a malformed SPS leaves those in force", []step{
			{nalus: [][]byte{sps240, pps0, idrSlice(9)}, want: ptr(changed(picture240))},
			{nalus: [][]byte{{0x67, 1, 2, 3}, idrSlice(9)}, err: errMalformedSPS},
			{nalus: [][]byte{idrSlice(9)}, want: ptr(picture240)},
		}},
		{"of two SPS out of band, the one that the slices name", []step{
			{outOfBand: [][]byte{sps240, sps180ID1, pps0, pps1SPS1}, nalus: [][]byte{idrNaming0}, want: ptr(changed(picture240))},
			{nalus: [][]byte{interSlice(9)}, want: ptr(picture240)},
			{nalus: [][]byte{idrNaming1}, want: ptr(changed(picture180))},
			{nalus: [][]byte{idrNaming1}, want: ptr(picture180)},
			{nalus: [][]byte{idrNaming0}, want: ptr(changed(picture240))},
		}},
		{"the second SPS of two out of band from the start", []step{
			{outOfBand: [][]byte{sps240, sps180ID1, pps0, pps1SPS1}, nalus: [][]byte{idrNaming1}, want: ptr(changed(picture180))},
		}},
		{"an SPS twice", []step{
			{outOfBand: [][]byte{sps240, sps240, pps0, pps0}, nalus: [][]byte{idrNaming0}, want: ptr(changed(picture240))},
		}},
		{"an SPS that no slice names changes nothing", []step{
			{nalus: [][]byte{sps240, pps0, idrNaming0}, want: ptr(changed(picture240))},
			{nalus: [][]byte{sps180ID1, pps1SPS1, idrNaming0}, want: ptr(picture240)},
			{nalus: [][]byte{idrNaming0}, want: ptr(picture240)},
		}},
		{"a picture that names a PPS which never came is left out", []step{
			{outOfBand: [][]byte{sps240, pps0}, nalus: [][]byte{idrNaming1}, err: errNoParameterSets},
			{nalus: [][]byte{interSlice(9)}},
			{nalus: [][]byte{idrNaming0}, want: ptr(changed(picture240))},
			{nalus: [][]byte{interNaming1}, err: errNoParameterSets},
			{nalus: [][]byte{interSlice(9)}},
			{nalus: [][]byte{idrNaming0}, want: ptr(picture240)},
		}},
		{"a malformed PPS is left out", []step{{nalus: [][]byte{sps240, {0x68, 0, 0, 0, 0}, {0x68}, pps0, idrSlice(9)}, want: ptr(changed(picture240))}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRegistry(Config{})
			p := begin(t, r)
			defer p.End(EndClosed)
			sub := p.Stream().Subscribe(10)
			defer sub.Close()
			var last *Format
			for i, step := range tt.steps {
				ts := time.Duration(i) * 40 * ms
				if step.outOfBand != nil {
					must(t, p.SetVideoParameters(step.outOfBand...))
				}
				if err := p.WriteVideo(ts, ts, step.nalus); !errors.Is(err, step.err) {
					t.Fatalf("step %d: error %v, want %v", i, err, step.err)
				}
				var got *seen
				for _, u := range drain(sub) {
					f := u.Format
					got = &seen{f.Width, f.Height, f.FrameRate, f.PPS, 0, f != last}
					for _, nalu := range u.NALUs {
						if nalu[0]&0x1f == 7 || nalu[0]&0x1f == 8 {
							got.InBand++
						}
					}
					last = f
				}
				if d := cmp.Diff(step.want, got); d != "" {
					t.Errorf("step %d: %s", i, d)
				}
			}
		})
	}
}

func TestParametersOutOfBandAreShownBeforeTheFirstPicture(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	if err := p.SetVideoParameters(sps240[:6], pps0); !errors.Is(err, errMalformedSPS) {
		t.Errorf("malformed: %v", err)
	}
	if err := p.SetVideoParameters(sps240, nil); !errors.Is(err, errNoParameterSets) {
		t.Errorf("no PPS: %v", err)
	}
	must(t, p.SetVideoParameters(sps240, pps0))
	shown := p.Stream().Snapshot().Video
	if !shown.Announced || shown.Format.Width != 320 || shown.Interval != 40*ms {
		t.Errorf("shown %+v", shown)
	}
	writeIDR(t, p, 0)
	if got := p.Stream().Snapshot().Video.Format; got != shown.Format {
		t.Error("the first picture changed the format")
	}
}

func TestParameterSetsAreNotKeptWithTheirPicture(t *testing.T) {
	message := append(append(append([]byte{}, sps240...), pps0...), idrSlice(1<<20)...)
	sps, pps := message[:len(sps240)], message[len(sps240):][:len(pps0)]
	ps := parameterSets{namedPPS: -1}
	must(t, ps.set([][]byte{sps, pps}))
	if &ps.sps[0].nalu[0] == &sps[0] || &ps.pps[0].nalu[0] == &pps[0] {
		t.Error("the parameter sets hold on to the message they came in")
	}
}

func TestReordered(t *testing.T) {
	type picture struct {
		dts, pts time.Duration // milliseconds
		idr      bool
	}
	tests := []struct {
		name     string
		sps      []byte
		pictures []picture
		want     string // per picture: B reordered, - not reordered
		protocol string
	}{
		{"the SPS says so", sps240B, []picture{{0, 80, true}, {40, 200, false}}, "BB", ""},
		{"neither SPS nor times say so", sps240, []picture{{0, 0, true}, {40, 40, false}, {80, 80, false}}, "---", ""},
		{"seen from presentation times, and for good", sps240, []picture{{0, 80, true}, {40, 200, false}, {80, 120, false}, {120, 160, false}, {160, 240, true}}, "--BBB", ""},
		{"seen where only presentation times are known", sps240, []picture{{80, 80, true}, {200, 200, false}, {120, 120, false}}, "--B", protocolWHIP},
		{"a relay of a publisher without decoding times", sps240, []picture{{80, 80, true}, {200, 200, false}, {120, 120, false}, {160, 160, false},
			{320, 320, false}, {240, 240, false}, {280, 280, false}, {440, 440, false}, {360, 360, false}}, "--------B", "relay"},
		{"a clock that jumps back a little", sps240, []picture{{80, 80, true}, {500, 500, false}, {200, 200, false}, {240, 240, false}}, "----", ""},
		{"at one picture a second", spsSlow, []picture{{0, 2000, true}, {1000, 5000, false}, {2000, 3000, false}}, "--B", ""},
		{"a clock that jumps back", sps240, []picture{{90000, 90000, true}, {90040, 90040, false}, {0, 0, false}, {40, 40, false}}, "----", ""},
		{"a looped file", sps240, []picture{{0, 0, true}, {400, 400, false}, {0, 0, true}, {40, 40, false}}, "----", ""},
		{"a picture that takes no time", sps240, []picture{{0, 0, true}, {0, 0, false}}, "--", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRegistry(Config{})
			p, err := r.Publish(PublishRequest{Key: keyLive, Authenticated: true, Protocol: tt.protocol})
			must(t, err)
			defer p.End(EndClosed)
			must(t, p.SetVideoParameters(tt.sps, pps0))
			sub := p.Stream().Subscribe(10)
			defer sub.Close()
			got := ""
			for _, pic := range tt.pictures {
				slice := interSlice(9)
				if pic.idr {
					slice = idrSlice(9)
				}
				must(t, p.WriteVideo(pic.dts*ms, pic.pts*ms, [][]byte{slice}))
			}
			for _, u := range drain(sub) {
				got += map[bool]string{true: "B", false: "-"}[u.Format.Reordered]
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestReorderingDoesNotHurryAChangeOfParameters(t *testing.T) {
	r := NewRegistry(Config{})
	p := begin(t, r)
	defer p.End(EndClosed)
	writeIDR(t, p, 0)
	must(t, p.WriteVideo(40*ms, 160*ms, [][]byte{interSlice(9)}))
	must(t, p.SetVideoParameters(sps360, pps0))
	must(t, p.WriteVideo(80*ms, 80*ms, [][]byte{interSlice(9)}))
	if f := p.Stream().Snapshot().Video.Format; !f.Reordered || f.Width != 320 {
		t.Errorf("in force: %+v", f)
	}
	must(t, p.WriteVideo(120*ms, 200*ms, [][]byte{idrSlice(9)}))
	if f := p.Stream().Snapshot().Video.Format; !f.Reordered || f.Width != 640 {
		t.Errorf("in force after the IDR: %+v", f)
	}
}

// The PTS keeps its distance from the DTS on the media clock.
func TestPresentationTimeFollowsDecodingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Config{})
		p := begin(t, r)
		sub := p.Stream().Subscribe(10)
		defer sub.Close()
		must(t, p.WriteVideo(500*ms, 580*ms, [][]byte{sps240B, pps0, idrSlice(9)}))
		u := drain(sub)[0]
		if u.DTS != r.Now() || u.Arrival != r.Now() || u.PTS != u.DTS+80*ms {
			t.Errorf("DTS %v, PTS %v, arrival %v at %v", u.DTS, u.PTS, u.Arrival, r.Now())
		}
		p.End(EndClosed)
	})
}
