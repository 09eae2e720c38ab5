package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/hls/list"
)

const (
	ms = time.Millisecond
	// step is how far the simulation goes at once, and delay is how long a message takes.
	step  = 10 * ms
	delay = 20 * ms
)

// A simulation has two servers, each with a connection on which it reads from the other one.
type simulation struct {
	t       *rapid.T
	now     time.Duration
	servers [2]*server
	boots   int
	isCut   bool
	// shown has the entry that was shown under each number; nil: that is not checked.
	shown map[int64]string
}

// A server is a stand-in for a programme. Each entry of its list is a segment.
type server struct {
	index   int
	boot    string
	alive   bool
	frozen  bool
	replica *Replica
	mode    Mode
	clock   time.Duration
	looked  time.Duration
	made    time.Duration // when the last entry was made

	list      copied
	following bool
	draft     *copied
	shown     list.Position

	connected bool
	tried     time.Duration // since when the connection is down
	inbox     []message
}

// copied is a list.
type copied struct {
	base          int64
	discontinuity int64
	entries       []string
}

func (c copied) head() list.Position {
	if len(c.entries) == 0 {
		return list.Position{}
	}
	return list.Position{Sequence: c.base + int64(len(c.entries)) - 1, Parts: 1}
}

type message struct {
	due    time.Duration
	report Report
	list   *copied
}

func newSimulation(t *rapid.T) *simulation {
	s := &simulation{t: t, shown: make(map[int64]string)}
	for i := range s.servers {
		s.start(i)
	}
	return s
}

func (s *simulation) start(i int) {
	s.boots++
	s.servers[i] = &server{
		index: i, boot: fmt.Sprintf("boot%d", s.boots), alive: true, replica: New(0), looked: s.now, tried: s.now, made: s.now,
	}
}

func (s *simulation) kill(i int) {
	*s.servers[i] = server{index: i}
	if other := s.servers[1-i]; other.connected && !s.isCut {
		other.lose(s.now)
	}
}

func (x *server) lose(now time.Duration) {
	x.connected, x.tried, x.draft = false, now, nil
	x.inbox = nil
	x.replica.Lost("peer", x.clock)
}

// run goes on for d.
func (s *simulation) run(d time.Duration) {
	for until := s.now + d; s.now < until; {
		s.now += step
		for _, x := range s.servers {
			if x.alive && !x.frozen {
				s.look(x)
			}
		}
	}
}

// look is what programme.run does, again and again.
func (s *simulation) look(x *server) {
	y := s.servers[1-x.index]
	still := s.now - x.looked
	x.looked = s.now
	x.clock += min(still, 200*ms)
	x.replica.SetPeers([]string{"peer"}, x.clock)
	if still > 600*ms {
		x.replica.Pause(x.clock)
		x.connected, x.tried, x.draft, x.inbox = false, s.now, nil, nil
	}
	switch {
	case !x.connected && s.now-x.tried >= 50*ms && y.alive && !y.frozen && !s.isCut:
		x.connected = true
		s.send(y)
	case !x.connected && !y.alive:
		x.tried = s.now
	}
	for len(x.inbox) > 0 && x.inbox[0].due <= s.now {
		m := x.inbox[0]
		x.inbox = x.inbox[1:]
		x.take(m)
	}
	before := x.own()
	if mode, _ := x.replica.Step(x.own(), x.clock); mode != x.mode {
		x.mode, x.following = mode, false
		if mode == Write {
			x.list.discontinuity++
			if len(x.list.entries) == 0 {
				x.list = copied{base: int64(s.now / step), discontinuity: 1}
			}
		}
	}
	if x.mode == Follow && !x.following && x.draft != nil && x.draft.head().Compare(x.replica.Report("peer").Head) >= 0 {
		x.list, x.following = *x.draft, true
	}
	if x.mode == Write && s.now-x.made >= 50*ms {
		x.made = s.now
		x.list.entries = append(slices.Clone(x.list.entries), fmt.Sprintf("%s-%d", x.boot, s.now))
		x.replica.Made(x.list.head(), x.clock)
	}
	if x.mode == Write || x.following {
		s.show(x, x.replica.Show(x.own(), x.clock))
	}
	if x.own() != before || s.now%(100*ms) == 0 {
		s.send(x)
	}
}

func (x *server) own() Report {
	r := Report{Server: x.boot, First: x.index == 0, Mode: x.mode}
	if x.mode == Follow {
		r.Leader = x.replica.Leader()
	}
	if x.mode != Follow || x.following {
		r.Head, r.Discontinuity = x.list.head(), x.list.discontinuity
	}
	return r
}

func (x *server) take(m message) {
	if m.list != nil {
		x.draft = m.list
		if x.following {
			x.list = *m.list
		}
	}
	x.replica.Heard("peer", m.report, x.clock)
}

// send sends the state of x to the other server, if that one is connected.
func (s *simulation) send(x *server) {
	y := s.servers[1-x.index]
	if !y.alive || !y.connected || s.isCut {
		return
	}
	m := message{due: s.now + delay, report: x.own()}
	if x.mode == Write {
		l := x.list
		m.list = &l
	}
	y.inbox = append(y.inbox, m)
}

// show checks what x shows to players.
func (s *simulation) show(x *server, p list.Position) {
	if p.Compare(x.shown) > 0 {
		x.shown = p
	}
	if s.shown == nil {
		return
	}
	for i, entry := range x.list.entries {
		number := x.list.base + int64(i)
		if number > x.shown.Sequence {
			break
		}
		if had, ok := s.shown[number]; ok && had != entry {
			s.t.Fatalf("at %v %s shows %s as %d, which was %s", s.now, x.boot, entry, number, had)
		}
		s.shown[number] = entry
	}
}

// agree checks that the servers come to have one list with one writer.
func (s *simulation) agree() {
	a, b := s.servers[0], s.servers[1]
	isOne := func() bool {
		return a.mode == Write && b.following || b.mode == Write && a.following
	}
	for range 500 {
		if s.run(step); isOne() {
			break
		}
	}
	s.run(time.Second)
	if !isOne() {
		s.t.Fatalf("after %v: %+v and %+v", s.now, a, b)
	}
	shorter, longer := a.list, b.list
	if len(shorter.entries) > len(longer.entries) {
		shorter, longer = longer, shorter
	}
	if len(longer.entries)-len(shorter.entries) > 2 || !slices.Equal(shorter.entries, longer.entries[:len(shorter.entries)]) {
		s.t.Fatalf("%v and %v", a.list, b.list)
	}
}

// No server shows another entry under a number than the other server did, whichever is killed,
// started again, or frozen. Servers that hear each other agree on one list.
func TestServersShowOneList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		s.agree()
		for range rapid.IntRange(1, 6).Draw(t, "faults") {
			s.fault(rapid.SampledFrom([]string{"kill", "freeze"}).Draw(t, "fault"))
			s.agree() // a second fault can end the only server that has what was shown
		}
	})
}

// Servers that were cut off agree again.
func TestServersAgreeAfterACut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		s.shown = nil
		s.run(time.Second)
		for range rapid.IntRange(1, 4).Draw(t, "faults") {
			s.fault(rapid.SampledFrom([]string{"kill", "freeze", "cut", "cut"}).Draw(t, "fault"))
		}
		s.agree()
	})
}

func (s *simulation) fault(kind string) {
	i := rapid.IntRange(0, 1).Draw(s.t, "server")
	length := time.Duration(rapid.IntRange(1, 400).Draw(s.t, "length")) * step
	rest := time.Duration(rapid.IntRange(0, 200).Draw(s.t, "rest")) * step
	switch kind {
	case "kill":
		s.kill(i)
		s.run(length)
		s.start(i)
	case "freeze":
		s.servers[i].frozen = true
		s.run(length)
		s.servers[i].frozen = false
	case "cut":
		s.isCut = true
		s.run(length)
		s.isCut = false
		for _, x := range s.servers {
			x.lose(s.now) // TCP may deliver what was sent, or not; the harder case is simulated
		}
	}
	s.run(rest)
}

// A kill costs patience and no more: the other server then writes.
func TestTheFollowerTakesOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		s.agree()
		writer := 0
		if s.servers[1].mode == Write {
			writer = 1
		}
		s.kill(writer)
		s.run(patience + 5*step)
		if s.servers[1-writer].mode != Write {
			t.Fatal("the follower did not take over")
		}
	})
}

// The writer shows an entry when its follower has the entry, and no later than after patience.
func TestEntriesAreShownWhenTheFollowerHasThem(t *testing.T) {
	r := New(0)
	r.SetPeers([]string{"peer"}, 0)
	own := Report{Server: "a", First: true}
	follower := Report{Server: "b"}
	r.Heard("peer", follower, 0)
	if mode, _ := r.Step(own, 0); mode != Write {
		t.Fatalf("mode %v", mode)
	}
	at := func(n int64) list.Position { return list.Position{Sequence: n, Parts: 1} }
	follower.Mode, follower.Leader = Follow, "a"
	make := func(n int64, now time.Duration) { own.Head = at(n); r.Made(own.Head, now) }
	shown := func(want int64, now time.Duration) {
		t.Helper()
		if got := r.Show(own, now); got != at(want) {
			t.Errorf("at %v shown up to %+v, want %d", now, got, want)
		}
	}
	make(1, 0)
	shown(1, 0) // the peer does not follow yet
	follower.Head = at(1)
	r.Heard("peer", follower, 10*ms)
	make(2, 20*ms)
	shown(1, 20*ms)
	follower.Head = at(2)
	r.Heard("peer", follower, 40*ms)
	shown(2, 40*ms)
	make(3, 50*ms)
	shown(2, 40*ms+patience)
	shown(3, 50*ms+patience) // the peer is slow
	make(4, 60*ms+patience)
	shown(4, 60*ms+patience) // the writer does not wait for it again
	follower.Head = at(3)
	r.Heard("peer", follower, 70*ms+patience)
	make(5, 80*ms+patience)
	shown(3, 80*ms+patience) // until it has caught up; a list never hides what it has shown
}

// A server that hears nobody but a follower takes the list from the follower.
func TestAFollowerPassesTheListOn(t *testing.T) {
	r := New(0)
	r.SetPeers([]string{"peer"}, 0)
	at := func(n int64) list.Position { return list.Position{Sequence: n, Parts: 1} }
	own, follower := Report{Server: "new"}, Report{Server: "b", First: true, Mode: Follow, Leader: "old", Discontinuity: 5, Head: at(9)}
	r.Heard("peer", follower, 0)
	if mode, leader := r.Step(own, 0); mode != Follow || leader != "peer" {
		t.Fatalf("%v %s", mode, leader)
	}
	own.Mode, own.Leader, own.Discontinuity, own.Head = Follow, "b", 5, at(9)
	for now := time.Duration(0); now < 5*time.Second; now += 100 * ms {
		r.Heard("peer", follower, now)
		if mode, _ := r.Step(own, now); mode != Follow {
			t.Fatalf("at %v %v", now, mode)
		}
	}
	follower.Mode, follower.Leader = Write, "" // the third server has gone
	r.Heard("peer", follower, 5*time.Second)
	if mode, leader := r.Step(own, 5*time.Second); mode != Follow || leader != "peer" {
		t.Errorf("%v %s", mode, leader)
	}
}

// A server whose leader has gone follows no list that has fallen behind its own.
func TestNumbersDoNotGoBackToAnotherList(t *testing.T) {
	r := New(0)
	r.SetPeers([]string{"old", "new"}, 0)
	head := list.Position{Sequence: 9, Parts: 1}
	own := Report{Server: "p", First: true}
	r.Heard("old", Report{Server: "old", Mode: Write, Discontinuity: 5, Head: head}, 0)
	r.Step(own, 0)
	own.Mode, own.Leader, own.Discontinuity, own.Head = Follow, "old", 5, head
	r.Lost("old", 100*ms)
	r.Heard("new", Report{Server: "new", Mode: Write, Discontinuity: 4, Head: head}, 500*ms)
	if mode, _ := r.Step(own, 500*ms); mode != Write {
		t.Errorf("mode %v", mode)
	}
}

// A leader that has lost its list does not write a new one while a follower still has the list.
func TestALeaderWithoutItsListLetsTheFollowerWrite(t *testing.T) {
	head := list.Position{Sequence: 9, Parts: 1}
	leader, follower := New(0), New(0)
	leader.SetPeers([]string{"peer"}, 0)
	follower.SetPeers([]string{"peer"}, 0)
	a, b := Report{Server: "a", First: true, Mode: Write, Head: head}, Report{Server: "b"}
	follower.Heard("peer", a, 0)
	follower.Step(b, 0)
	b.Mode, b.Leader, b.Head = Follow, "a", head
	a.Mode, a.Head = Wait, list.Position{} // the programme ended, and began again
	for now := time.Duration(0); now < 500*ms; now += 50 * ms {
		leader.Heard("peer", b, now)
		follower.Heard("peer", a, now)
		a.Mode, _ = leader.Step(a, now)
		b.Mode, _ = follower.Step(b, now)
	}
	if a.Mode != Follow || b.Mode != Write {
		t.Errorf("the leader's mode is %v, and the follower's %v", a.Mode, b.Mode)
	}
}
