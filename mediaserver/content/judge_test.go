package content

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = time.Second

// standard has the defaults of a StreamPair, and counts low rates.
var standard = Policy{
	After:       [faultCount]time.Duration{Black: 5 * second, Frozen: 10 * second, Silent: 10 * second, LowBitrate: 10 * second, LowFrameRate: 10 * second},
	SilenceDBFS: -60, LowBitrateBPS: 1_000_000, LowFrameRate: 0.5, Clear: 5 * second,
}

// shown is what a leg shows at one moment of the programme.
type shown struct {
	black, still, silent, slow, thin bool
}

// camera is one leg of a simulated pair.
type camera struct {
	gop, phase time.Duration // of its key frames
	behind     time.Duration // how much later the leg shows the programme
	// fault changes what the leg shows at a time of its own.
	fault func(at time.Duration, s *shown)
	quiet bool // nothing is measured

	still time.Duration // since when the picture stands still
	moved time.Duration // the programme's time of the picture at the last key frame
}

// A simulation plays a programme through both legs, a tenth of a second at a time.
type simulation struct {
	policy    Policy
	programme func(at time.Duration) shown
	legs      [2]camera
	unknown   bool          // the offset is unknown
	error     time.Duration // of the offset
}

// run returns for each leg and fault when it came and when it was over; zero: never.
func (s *simulation) run(until time.Duration) (came, over [2][faultCount]time.Duration) {
	const step = 100 * time.Millisecond
	var j Judge
	j.SetPolicy(s.policy)
	offset := s.legs[Backup].behind - s.legs[Primary].behind + s.error
	for now := time.Minute; now < time.Minute+until; now += step {
		for l := range s.legs {
			if c := &s.legs[l]; !c.quiet {
				c.measure(&j, Leg(l), s.programme, now, step)
			}
		}
		primary, backup := j.Judge(offset, !s.unknown, now)
		for l, v := range []Verdict{primary, backup} {
			for f, has := range v.Has {
				switch {
				case has && came[l][f] == 0:
					came[l][f] = now - time.Minute
				case !has && came[l][f] != 0 && over[l][f] == 0:
					over[l][f] = now - time.Minute
				}
			}
		}
	}
	return came, over
}

func (c *camera) measure(j *Judge, l Leg, programme func(time.Duration) shown, now, step time.Duration) {
	at := now - time.Minute
	show := programme(at - c.behind)
	if c.fault != nil {
		c.fault(at, &show)
	}
	peak := -20.0
	if show.silent {
		peak = -80
	}
	j.Hear(l, now)
	j.AddSound(l, now, now+step, peak)
	if at%second == 0 {
		bps, rate := int64(3_000_000), 25.0
		if show.thin {
			bps = 200_000
		}
		if show.slow {
			rate = 5
		}
		j.AddRates(l, now-second, now, bps, rate, 25)
	}
	if !show.still {
		c.moved = at
	}
	if (at+c.phase)%c.gop == 0 {
		p := Picture{Dark: 0.1, Uniform: 0.1, Difference: 0.02}
		if show.black {
			p.Dark, p.Uniform = 1, 1
		}
		if c.still == c.moved {
			p.Difference = 0.0001
		}
		c.still = c.moved
		j.AddPicture(l, now, p)
	}
}

// during returns a fault that lasts from a time to another.
func during(from, to time.Duration, fault func(*shown)) func(time.Duration, *shown) {
	return func(at time.Duration, s *shown) {
		if at >= from && at < to {
			fault(s)
		}
	}
}

func moving(time.Duration) shown { return shown{} }

var faultsShown = [faultCount]func(*shown){
	Black:        func(s *shown) { s.black, s.still = true, true },
	Frozen:       func(s *shown) { s.still = true },
	Silent:       func(s *shown) { s.silent = true },
	LowBitrate:   func(s *shown) { s.thin = true },
	LowFrameRate: func(s *shown) { s.slow = true },
}

func TestAFaultOfOneLegIsFound(t *testing.T) {
	for _, f := range Faults() {
		for _, faulty := range []Leg{Primary, Backup} {
			for _, behind := range []time.Duration{-20 * second, 0, 400 * time.Millisecond, 20 * second} {
				t.Run(f.String(), func(t *testing.T) {
					s := simulation{policy: standard, programme: moving, legs: [2]camera{{gop: 2 * second}, {gop: 2 * second, phase: 700 * time.Millisecond}}}
					s.legs[Backup].behind = max(behind, 0)
					s.legs[Primary].behind = max(-behind, 0)
					const began, ended = 90*second + 300*time.Millisecond, 150 * second
					s.legs[faulty].fault = during(began, ended, faultsShown[f])
					came, over := s.run(200 * second)
					// A planned switch waits for the next IDR, up to 2 s more. The other leg may be behind, and must
					// show the same moment first.
					least, most := standard.After[f]-second, standard.After[f]+1200*time.Millisecond
					if ahead := s.legs[1-faulty].behind - s.legs[faulty].behind; ahead > 0 {
						most += ahead
					}
					if took := came[faulty][f] - began; took < least || took > most {
						t.Errorf("the backup is %v behind: the fault counts %v after it began, want %v to %v", behind, took, least, most)
					}
					if took := over[faulty][f] - ended; took < standard.Clear-second || took > standard.Clear+5*second {
						t.Errorf("the backup is %v behind: the fault is over %v after it ended", behind, took)
					}
					if came[1-faulty] != [faultCount]time.Duration{} {
						t.Errorf("the backup is %v behind: the other leg has faults at %v", behind, came[1-faulty])
					}
				})
			}
		}
	}
}

func TestAFaultOfBothLegsIsTheProgramme(t *testing.T) {
	for _, f := range Faults() {
		s := simulation{
			policy: standard, legs: [2]camera{{gop: 2 * second}, {gop: 2 * second, phase: 1300 * time.Millisecond, behind: 20 * second}},
			programme: func(at time.Duration) (s shown) {
				during(60*second, 110*second, faultsShown[f])(at, &s)
				return s
			},
		}
		if came, _ := s.run(200 * second); came != [2][faultCount]time.Duration{} {
			t.Errorf("%v: faults at %v", f, came)
		}
	}
}

func TestAnUnknownOffsetCostsHalfAMinute(t *testing.T) {
	const began = 90 * second
	s := simulation{policy: standard, programme: moving, unknown: true, legs: [2]camera{{gop: 2 * second, fault: during(began, 200*second, faultsShown[Black])}, {gop: 2 * second}}}
	came, _ := s.run(200 * second)
	if took := came[Primary][Black] - began; took < 35*second || took > 38*second {
		t.Errorf("the fault counts after %v", took)
	}
}

func TestWithoutFreshMeasurementsNoLegHasAFault(t *testing.T) {
	s := simulation{policy: standard, programme: moving, legs: [2]camera{{gop: 2 * second, fault: during(0, 100*second, faultsShown[Black])}, {gop: 2 * second, quiet: true}}}
	if came, _ := s.run(100 * second); came != [2][faultCount]time.Duration{} {
		t.Errorf("the other leg is not measured, and there are faults at %v", came)
	}
	var j Judge
	j.SetPolicy(standard)
	for now := second; now < 20*second; now += 100 * time.Millisecond {
		j.Hear(Primary, now)
		j.AddSound(Primary, now, now+100*time.Millisecond, -80)
		j.Hear(Backup, now)
		j.AddSound(Backup, now, now+100*time.Millisecond, -20)
	}
	if primary, _ := j.Judge(0, true, 20*second); !primary.Has[Silent] {
		t.Fatal("the silence is not found")
	}
	j.Hear(Primary, 23*second) // an encoder that pauses is heard all the same
	j.Hear(Backup, 23*second)
	if primary, _ := j.Judge(0, true, 23*second); !primary.Known || !primary.Has[Silent] {
		t.Errorf("after 3 s without media: %+v", primary)
	}
	if primary, backup := j.Judge(0, true, 27*second); primary != (Verdict{}) || backup != (Verdict{}) {
		t.Errorf("after 4 s without a word: %+v and %+v", primary, backup)
	}
	// A new publication is not whole until it has shown so.
	j.Restart(Primary)
	for now := 30 * second; now < 40*second; now += 100 * time.Millisecond {
		j.Hear(Primary, now)
		j.AddSound(Primary, now, now+100*time.Millisecond, -20)
		j.Hear(Backup, now)
		j.AddSound(Backup, now, now+100*time.Millisecond, -20)
		primary, _ := j.Judge(0, true, now)
		if clean := now+100*time.Millisecond >= 35*second; primary.Has[Silent] == clean {
			t.Fatalf("%v after the new publication began: silent is %v", now-30*second, primary.Has[Silent])
		}
	}
}

func TestZeroSecondsSwitchAFaultOff(t *testing.T) {
	s := simulation{policy: standard, programme: moving, legs: [2]camera{{gop: 2 * second}, {gop: 2 * second}}}
	s.policy.After = [faultCount]time.Duration{}
	for _, f := range Faults() {
		s.legs[Primary].fault = during(10*second, 100*second, faultsShown[f])
		if came, _ := s.run(100 * second); came != [2][faultCount]time.Duration{} {
			t.Errorf("%v: faults at %v", f, came)
		}
	}
}

// A fault that was found does not outlast its measurements.
func TestAFaultThatIsNotMeasuredAnyMoreIsForgotten(t *testing.T) {
	var j Judge
	j.SetPolicy(standard)
	picture := func(l Leg, now time.Duration, dark float64) {
		j.AddPicture(l, now, Picture{Dark: dark, Difference: 0.02})
	}
	for now := second; now <= 200*second; now += second {
		j.Hear(Primary, now)
		j.Hear(Backup, now)
		j.AddSound(Primary, now, now+second, -20)
		j.AddSound(Backup, now, now+second, -20)
		switch {
		case now < 60*second:
			picture(Primary, now, 1)
			picture(Backup, now, 0)
		case now == 60*second:
			j.Restart(Primary) // and nobody watches its pictures
		case now > 100*second && now%(14*second) == 0: // rare key frames
			picture(Primary, now, 0)
		}
		primary, _ := j.Judge(0, true, now)
		if want := now > 10*second && now <= 74*second; now > 10*second && primary.Has[Black] != want {
			t.Fatalf("at %v black is %v", now, primary.Has[Black])
		}
	}
}

// A picture after a long pause says nothing of what was shown meanwhile.
func TestAPauseOfThePicturesIsNoMotion(t *testing.T) {
	var j Judge
	j.SetPolicy(standard)
	for now := second; now <= 100*second; now += second {
		j.Hear(Primary, now)
		j.Hear(Backup, now)
		j.AddPicture(Primary, now, Picture{Difference: 0.0001})
		if now == second || now == 60*second {
			j.AddPicture(Backup, now, Picture{Difference: 1})
		}
		if primary, backup := j.Judge(0, true, now); primary.Has[Frozen] || backup.Has[Frozen] {
			t.Fatalf("at %v a leg is frozen: %v and %v", now, primary, backup)
		}
	}
}

// Legs that are alike never have a fault, whatever the programme is and however their encoders are
// set.
func TestLegsAlikeHaveNoFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tenths := func(name string, low, high int) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * 100 * time.Millisecond
		}
		policy := standard
		for f := range policy.After {
			policy.After[f] = time.Duration(rapid.IntRange(1, 12).Draw(t, "after")) * second
		}
		type scene struct {
			from, to time.Duration
			fault    Fault
		}
		var scenes []scene
		for at := time.Duration(0); at < 180*second; {
			from := at + tenths("until the next scene", 61, 300) // further apart than key frames: a strobe cannot be judged by them
			to := from + tenths("length of the scene", 1, 300)
			scenes = append(scenes, scene{from, to, rapid.SampledFrom(Faults()).Draw(t, "scene")})
			at = to
		}
		s := simulation{policy: policy, programme: func(at time.Duration) (show shown) {
			for _, one := range scenes {
				during(one.from, one.to, faultsShown[one.fault])(at, &show)
			}
			return show
		}}
		for l, name := range []string{"primary's ", "backup's "} {
			gop := tenths(name+"GOP", 5, 60)
			s.legs[l] = camera{gop: gop, phase: tenths(name+"phase", 0, 60)}
		}
		s.legs[Backup].behind = tenths("backup behind", 0, 250)
		s.unknown = rapid.Bool().Draw(t, "offset unknown")
		s.error = time.Duration(rapid.IntRange(-20, 20).Draw(t, "error of the offset")) * time.Millisecond
		if came, _ := s.run(200 * second); came != [2][faultCount]time.Duration{} {
			t.Fatalf("faults at %v, scenes %v", came, scenes)
		}
	})
}

// A picture that comes for a moment, and that the key frames of one leg miss, is no fault of that leg.
func TestAMomentBetweenTheKeyFramesOfALegIsNoFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tenths := func(name string, low, high int) time.Duration {
			return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * 100 * time.Millisecond
		}
		policy := standard
		for f := range policy.After {
			policy.After[f] = time.Duration(rapid.IntRange(1, 12).Draw(t, "after")) * second
		}
		fault := rapid.SampledFrom([]Fault{Black, Frozen}).Draw(t, "programme")
		var moments []run
		for at := 20 * second; at < 180*second; {
			from := at + tenths("until the next moment", 131, 400)
			at = from + tenths("length of the moment", 1, 100)
			moments = append(moments, run{from, at})
		}
		s := simulation{policy: policy, programme: func(at time.Duration) (show shown) {
			for _, m := range moments {
				if at >= m.from && at < m.to {
					return shown{}
				}
			}
			faultsShown[fault](&show)
			return show
		}}
		for l, name := range []string{"primary's ", "backup's "} {
			s.legs[l] = camera{gop: tenths(name+"GOP", 5, 60), phase: tenths(name+"phase", 0, 60)}
		}
		s.legs[Backup].behind = tenths("backup behind", 0, 250)
		s.error = time.Duration(rapid.IntRange(-20, 20).Draw(t, "error of the offset")) * time.Millisecond
		if came, _ := s.run(200 * second); came != [2][faultCount]time.Duration{} {
			t.Fatalf("faults at %v, moments %v", came, moments)
		}
	})
}
