package failover

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The kinds of trouble that two servers may have.
const (
	encoderLost = "encoder lost" // one leg's encoder
	relayCut    = "relay cut"    // between two servers that run well
	frozen      = "frozen"       // one server, as by SIGSTOP
	cutOff      = "cut off"      // one server, from its encoder and its peer
)

// trouble is what happens to one server or to its leg's encoder in some steps.
type trouble struct {
	Kind     string
	Of       int // the server; server 0 has the primary, server 1 the backup
	From, To int // steps
}

// twoServers are the two servers that play a pair. Each server has the encoder of one leg.
type twoServers struct {
	troubles []trouble
	servers  [2]*decider
	switched [2][]int // the steps in which each server switched
	// clock is how far each server's clock is ahead.
	clock [2]time.Duration
	// skew is how many steps the IDRs of one server's legs come after the other server's IDRs.
	// rejoin is how long a new connection takes. drain is how many lines of its peer a server reads
	// in a step.
	skew, rejoin, drain int
	// fault is what is wrong with both legs: both encoders are set up alike.
	fault string

	outage, joined int // how many steps the servers have been apart; when they are joined again
	lines          [2][]Standing
	peer           [2]*Standing
	heard          [2]time.Duration
	began, last    [2][2]time.Duration // of each leg's publication, at each server
	guards         [2]stallGuard
}

const (
	serversStep = 100 * ms
	// breaks is the number of steps after which a silent connection ends.
	breaks = int(connectionsEnd / serversStep)
)

func drawTwoServers(t *rapid.T, policy Policy) *twoServers {
	offset := rapid.SampledFrom([]time.Duration{0, 2 * time.Second, -2 * time.Second, time.Minute, -time.Minute, time.Hour, -time.Hour})
	w := &twoServers{
		clock: [2]time.Duration{0, offset.Draw(t, "second server's clock is ahead")},
		skew:  rapid.IntRange(0, 30).Draw(t, "IDRs apart"), rejoin: rapid.IntRange(0, 7).Draw(t, "steps to connect"),
		drain: rapid.IntRange(4, 50).Draw(t, "lines read a step"),
		fault: drawFault(t),
	}
	for i := range w.servers {
		w.servers[i] = &decider{policy: policy, rules: Rules, began: stepTime(0)}
		w.guards[i].lastRun = stepTime(-1)
	}
	return w
}

func stepTime(n int) time.Duration { return time.Minute + time.Duration(n)*serversStep }

// has reports whether a server has this kind of trouble in step n.
func (w *twoServers) has(kind string, of, n int) bool {
	return slices.ContainsFunc(w.troubles, func(x trouble) bool {
		return x.Kind == kind && (x.Of == of || kind == relayCut) && x.From <= n && n < x.To
	})
}

// step lets both servers decide once.
func (w *twoServers) step(t *rapid.T, n int) {
	now := stepTime(n)
	connected := !w.has(relayCut, 0, n) && !w.has(cutOff, 0, n) && !w.has(cutOff, 1, n)
	running := !w.has(frozen, 0, n) && !w.has(frozen, 1, n)
	switch {
	case !connected || !running:
		w.outage++
	case w.outage >= breaks:
		w.outage, w.joined = 0, n+w.rejoin
	default:
		w.outage = 0
	}
	linked := connected && running && n >= w.joined
	var told [2]*Standing
	for i, s := range w.servers {
		if w.has(frozen, i, n) {
			continue
		}
		if guard := &w.guards[i]; now-guard.lastRun <= serversStep {
			guard.lastRun = now
		} else if before, lagged, _ := guard.ran(now, s.policy.InputLoss*3/4); lagged {
			s.state = s.state.afterPause(before, now)
		}
		w.read(i, now)
		judged := w.guards[i].judgedAt(now)
		before := len(s.switches)
		standing := s.judge(t, w.legs(i, n, linked), s.peerView(w.peer[i], w.heard[i]), (n+i*w.skew)%20 == 0, judged, now)
		told[i] = &standing
		if len(s.switches) > before {
			w.switched[i] = append(w.switched[i], n)
		}
	}
	for i, standing := range told {
		// A frozen server still has its connection until the connection breaks: the peer's lines
		// wait.
		if standing == nil || !connected || n < w.joined || len(w.lines[1-i]) >= 2*breaks {
			continue
		}
		w.lines[1-i] = append(w.lines[1-i], w.seenBy(1-i, *standing))
	}
}

// seenBy returns what the other server told, on the clock of server i.
func (w *twoServers) seenBy(i int, s Standing) Standing {
	for _, at := range []*time.Duration{&s.Since, &s.FirstPicture} {
		if *at != 0 {
			*at += w.clock[1-i] - w.clock[i]
		}
	}
	return s
}

// read lets server i read the lines that it was told.
func (w *twoServers) read(i int, now time.Duration) {
	n := min(w.drain, len(w.lines[i]))
	if n > 0 {
		line := w.lines[i][n-1]
		w.peer[i], w.heard[i], w.lines[i] = &line, now, w.lines[i][n:]
	} else if now-w.heard[i] >= connectionsEnd {
		w.peer[i] = nil
	}
}

// legs returns the legs that server i has in step n. It has the other server's leg while they are
// linked.
func (w *twoServers) legs(i, n int, linked bool) Legs {
	now := stepTime(n)
	var legs Legs
	for leg, l := range []*Leg{&legs.Primary, &legs.Backup} {
		reached := leg == i && !w.has(cutOff, i, n) || leg != i && linked
		switch {
		case reached && w.has(encoderLost, leg, n):
			w.began[i][leg] = 0
		case reached && w.began[i][leg] == 0:
			w.began[i][leg] = now
		}
		if reached {
			w.last[i][leg] = now
		}
		if w.began[i][leg] == 0 {
			continue
		}
		*l = faulty(arriving(w.began[i][leg], now), w.fault)
		l.Video.LastArrival, l.Audio.LastArrival = w.last[i][leg], w.last[i][leg]
	}
	return legs
}

func (w *twoServers) run(t *rapid.T, steps int) {
	for n := range steps {
		w.step(t, n)
	}
}

// after returns the steps from n on in which server i switched.
func (w *twoServers) after(i, n int) []int {
	return slices.DeleteFunc(slices.Clone(w.switched[i]), func(at int) bool { return at < n })
}

// Each server makes at most one switch for a fault. The server that ran well does not change its
// decision when the fault is over, whatever the clocks say.
func TestOneFaultOneSwitch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTwoServers(t, standard)
		active := rapid.IntRange(0, 1).Draw(t, "active")
		if active == 1 {
			w.troubles = append(w.troubles, trouble{encoderLost, 0, 0, 130})
		}
		fault := trouble{
			Kind: rapid.SampledFrom([]string{encoderLost, relayCut, frozen, cutOff}).Draw(t, "fault"),
			Of:   rapid.IntRange(0, 1).Draw(t, "of"), From: rapid.IntRange(200, 220).Draw(t, "from"),
		}
		fault.To = fault.From + rapid.IntRange(1, 300).Draw(t, "length")
		w.troubles = append(w.troubles, fault)
		w.run(t, fault.To+400)

		roles := [2]Role{Primary, Backup}
		mine, theirs := w.after(active, fault.From), w.after(1-active, fault.From)
		if before := len(w.switched[0]) + len(w.switched[1]) - len(mine) - len(theirs); before != 2 {
			t.Fatalf("%d switches before the fault, want that each server began", before)
		}
		if a, b := w.servers[0].state.Active, w.servers[1].state.Active; a != b {
			t.Fatalf("one plays %s, the other %s\n%q\n%q", a, b, w.servers[0].switches, w.servers[1].switches)
		}
		// want is how many switches are made: by the server that has the active leg, and by the
		// other one. A fault that is hardly longer than the loss time may go unnoticed.
		var want [2]int
		to, noticed := roles[active], fault.To-fault.From > 12
		switch {
		case fault.Kind == encoderLost && fault.Of == active:
			want, to, noticed = [2]int{1, 1}, roles[1-active], true
		case fault.Kind == relayCut:
			want = [2]int{0, 2} // away from the leg that does not come, and back at an IDR
		case (fault.Kind == frozen || fault.Kind == cutOff) && fault.Of == active:
			want, to = [2]int{1, 1}, roles[1-active]
		case fault.Kind == cutOff:
			want = [2]int{0, 2} // it has no leg, and then its own leg before the other
		}
		if noticed && w.servers[0].state.Active != to {
			t.Fatalf("%s is on in the end, want %s\n%q\n%q", w.servers[0].state.Active, to, w.servers[0].switches, w.servers[1].switches)
		}
		if len(mine) > want[0] || len(theirs) > want[1] {
			t.Fatalf("%v and %v are switches of the servers, want %v at most\n%q\n%q", mine, theirs, want, w.servers[0].switches, w.servers[1].switches)
		}
		well := [2][]int{mine, theirs}[0]
		if fault.Of == active {
			well = theirs
		}
		if fault.Kind != relayCut && slices.ContainsFunc(well, func(n int) bool { return n >= fault.To }) {
			t.Fatalf("the server that was well switched in %v, after the fault that ended in %d\n%q\n%q", well, fault.To, w.servers[0].switches, w.servers[1].switches)
		}
	})
}

// With PreferPrimary the server that ran well returns to the primary. It returns when the primary
// has recovered, and not because the frozen server still plays the primary.
func TestAFrozenPrimaryIsGoneBackToOnceItHasRecovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTwoServers(t, standard.prefer())
		fault := trouble{rapid.SampledFrom([]string{frozen, cutOff}).Draw(t, "fault"), 0, 200, 0}
		fault.To = fault.From + rapid.IntRange(13, 300).Draw(t, "length")
		w.troubles = append(w.troubles, fault)
		w.run(t, fault.To+400)
		recovered := fault.To + int(standard.Recovery/serversStep)
		theirs := w.after(1, fault.From)
		if len(w.after(0, fault.From)) > 0 || len(theirs) != 2 || theirs[1] < recovered || theirs[1] > recovered+w.rejoin+21 {
			t.Fatalf("want the second server back at an IDR after step %d\n%q\n%q", recovered, w.servers[0].switches, w.servers[1].switches)
		}
	})
}

// Whatever happens to two servers, a while after the last trouble both play the same leg, and go on
// playing it.
func TestServersThatFreezeConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SampledFrom([]Policy{standard, standard.prefer(), standard.pin(Primary), standard.pin(Backup)}).Draw(t, "policy")
		w := drawTwoServers(t, policy)
		for range rapid.IntRange(1, 8).Draw(t, "troubles") {
			x := trouble{
				Kind: rapid.SampledFrom([]string{encoderLost, relayCut, frozen, cutOff}).Draw(t, "trouble"),
				Of:   rapid.IntRange(0, 1).Draw(t, "of"), From: rapid.IntRange(0, 500).Draw(t, "from"),
			}
			x.To = x.From + rapid.IntRange(1, 100).Draw(t, "length")
			w.troubles = append(w.troubles, x)
		}
		const trouble, calm = 600, 700
		w.run(t, trouble+calm)
		if a, b := w.servers[0].state.Active, w.servers[1].state.Active; a != b {
			t.Fatalf("one plays %s, the other %s\n%q\n%q", a, b, w.servers[0].switches, w.servers[1].switches)
		}
		for i := range w.servers {
			if late := w.after(i, trouble+calm-50); len(late) > 0 {
				t.Fatalf("they still change in %v\n%q\n%q", late, w.servers[0].switches, w.servers[1].switches)
			}
			if s := w.servers[i].state; s.doubt != Certain {
				t.Fatalf("server %d still doubts (%d) what both play", i, s.doubt)
			}
		}
	})
}
