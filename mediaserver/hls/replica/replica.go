// Package replica decides which server writes the list of a programme that several servers play, and
// how far the writer shows the list.
//
// The package is pure: it has no lock and no connection. Its clock is an argument. The servers tell
// each other Reports. A server that writes cuts the media, and sends its list to all that follow it.
// It shows an entry once all followers have the entry, or have not answered for patience. So
// whichever server ends, the others have all that players have seen.
//
// If two servers cannot hear each other, both write. When they hear each other again, the better
// list goes on: see Report.isBetter.
//
// Start with Replica.
package replica

import (
	"cmp"
	"time"

	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
)

const (
	// patience is how long a server waits for the others. For that long it does not write without a
	// word of its peers. It does not take over from a lost connection. It does not show an entry that
	// a follower lacks.
	patience = 300 * time.Millisecond
	// silence is how long a connection may bring nothing until its peer counts as away.
	silence = time.Second
	// deadlock is how long a server waits in vain for a peer that is to write first.
	deadlock = time.Second
)

// A Mode says what a server does about the list of a programme.
type Mode int

// The modes.
const (
	// Wait is the mode at first, and after the server stood still: the server asks its peers.
	Wait Mode = iota
	// Write is the mode of the server whose list it is.
	Write
	// Follow is the mode of a server that has a peer's list.
	Follow
)

// String returns the mode in words, for logs.
func (m Mode) String() string {
	return [...]string{"waits for its peers", "writes", "follows a peer"}[m]
}

// A Report is what a server tells its peers about one programme.
type Report struct {
	// Server is the boot id of the server. First reports whether it is the primary's server, which
	// writes where nothing else decides.
	Server string
	First  bool
	Mode   Mode
	// Leader is the boot id of the server that is followed.
	Leader string
	// Discontinuity is the discontinuity sequence number of the list, and Head is how far the server
	// has the list.
	Discontinuity int64
	Head          list.Position
	// Next is the name of the part that the writer makes next; zero: none.
	Next cut.Name
	// Wanted reports whether players ask the server for the programme.
	Wanted bool
}

// isBetter reports whether the list of the report goes on if both servers write. The higher
// discontinuity sequence number wins, so that this number never goes back for players.
func (r Report) isBetter(than Report) bool {
	return cmp.Or(cmp.Compare(r.Discontinuity, than.Discontinuity), r.rank(than)) > 0
}

// rank compares the servers of two reports: see First.
func (r Report) rank(than Report) int {
	if r.First != than.First {
		if r.First {
			return 1
		}
		return -1
	}
	return cmp.Compare(r.Server, than.Server)
}

// A Replica is one server's view of one programme. It is for one goroutine. Times are those of a
// clock that stands still while the server does.
type Replica struct {
	mode   Mode
	leader string // the name of the peer that is followed
	since  time.Duration
	peers  map[string]*peer
	// server is the boot id of the leader, empty until the leader has reported.
	server string
	// recent are the entries that were made less than patience ago, the oldest first. overdue is how
	// far the list went before that.
	recent  []entry
	overdue list.Position
}

// A peer is another server, by the name of the connection to it.
type peer struct {
	report    *Report // nil: nothing was heard on this connection
	connected bool
	changed   time.Duration // when connected last changed
	heard     time.Duration
	turned    time.Duration // when the mode in report last changed
}

// An entry is a change of the list, with the time when it was made.
type entry struct {
	head list.Position
	made time.Duration
}

// New returns a Replica that waits for its peers from now on.
func New(now time.Duration) *Replica {
	return &Replica{peers: make(map[string]*peer), since: now}
}

// SetPeers sets the names of all peers that are known.
func (r *Replica) SetPeers(names []string, now time.Duration) {
	known := make(map[string]*peer)
	for _, name := range names {
		if known[name] = r.peers[name]; known[name] == nil {
			known[name] = &peer{changed: now}
		}
	}
	r.peers = known
}

// Heard notes a report of a peer.
func (r *Replica) Heard(name string, report Report, now time.Duration) {
	p := r.peers[name]
	if p == nil {
		return
	}
	if !p.connected {
		p.connected, p.changed = true, now
	}
	if p.report == nil || p.report.Mode != report.Mode {
		p.turned = now
	}
	p.report, p.heard = &report, now
}

// Lost notes that the connection to a peer has ended.
func (r *Replica) Lost(name string, now time.Duration) {
	if p := r.peers[name]; p != nil && p.connected {
		*p = peer{changed: now, heard: p.heard}
	}
}

// Pause makes the server ask its peers before it shows anything more, because it stood still.
func (r *Replica) Pause(now time.Duration) {
	for name := range r.peers {
		r.Lost(name, now)
	}
	r.turn(Wait, "", now)
}

func (p *peer) isHeard(now time.Duration) bool {
	return p.connected && p.report != nil && now-p.heard < silence
}

// isGone reports whether a peer does not answer any more.
func (p *peer) isGone(now time.Duration) bool {
	if p.connected {
		return now-p.heard >= silence
	}
	return now-p.changed >= patience
}

// Mode returns the mode, and the name of the peer that is followed.
func (r *Replica) Mode() (mode Mode, leader string) { return r.mode, r.leader }

// Step decides on the mode. own is what the server would report.
func (r *Replica) Step(own Report, now time.Duration) (mode Mode, leader string) {
	writer := r.bestWriter(now)
	// Numbers never go back for players: a server does not follow a list that has fallen behind its own.
	mayFollow := writer != "" && (!own.hasList() || own.Discontinuity <= r.peers[writer].report.Discontinuity)
	switch r.mode {
	case Write:
		if writer != "" && r.peers[writer].report.isBetter(own) {
			r.turn(Follow, writer, now)
		}
	case Wait:
		switch {
		case mayFollow:
			r.turn(Follow, writer, now)
		case r.isFirst(own, now):
			r.turn(Write, "", now)
		default:
			if passer := r.passer(own, now); passer != "" {
				r.turn(Follow, passer, now)
			} else if now-r.since >= deadlock {
				r.turn(Write, "", now)
			}
		}
	case Follow:
		switch {
		case r.isLed(own, writer, now):
		case mayFollow:
			r.turn(Follow, writer, now)
		case own.hasList():
			r.turn(Write, "", now)
		default:
			r.turn(Wait, "", now)
		}
	}
	return r.mode, r.leader
}

func (r Report) hasList() bool { return r.Head != list.Position{} }

// passesOn reports whether the server of r can be followed by another one: it writes, or it follows a
// third server, which the other one does not hear.
func (r Report) passesOn(to Report) bool {
	return r.Mode == Write || r.Mode == Follow && r.hasList() && r.Leader != to.Server
}

// passer returns the name of a peer that passes the list of a third server on; empty: none does.
func (r *Replica) passer(own Report, now time.Duration) string {
	for name, p := range r.peers {
		if p.isHeard(now) && p.report.passesOn(own) && !own.hasList() {
			return name
		}
	}
	return ""
}

// isLed reports whether the server goes on to follow its leader: no better one writes, and the leader
// may soon be back if it is away.
func (r *Replica) isLed(own Report, writer string, now time.Duration) bool {
	leader := r.peers[r.leader]
	switch {
	case leader == nil || leader.isGone(now):
		return false
	case !leader.isHeard(now):
		return writer == ""
	case writer != "" && writer != r.leader:
		return leader.report.Mode == Write && !r.peers[writer].report.isBetter(*leader.report)
	case leader.report.passesOn(own):
		return true
	}
	return leader.report.Server == r.server && now-leader.turned < patience
}

func (r *Replica) turn(mode Mode, leader string, now time.Duration) {
	if mode != r.mode || leader != r.leader {
		r.mode, r.leader, r.since, r.recent, r.overdue = mode, leader, now, nil, list.Position{}
	}
	if r.server = ""; leader != "" {
		r.server = r.peers[leader].report.Server
	}
}

// bestWriter returns the name of the peer that writes the best list; empty: none writes.
func (r *Replica) bestWriter(now time.Duration) (best string) {
	for name, p := range r.peers {
		if p.isHeard(now) && p.report.Mode == Write && (best == "" || p.report.isBetter(*r.peers[best].report)) {
			best = name
		}
	}
	return best
}

// isFirst reports whether this server is to write, where nobody does: a peer still follows it, or all
// peers that answer come after it.
func (r *Replica) isFirst(own Report, now time.Duration) bool {
	first := true
	for _, p := range r.peers {
		switch {
		case own.hasList() && p.isHeard(now) && p.report.Mode == Follow && p.report.Leader == own.Server:
			return true
		case p.isHeard(now):
			first = first && own.comesBefore(*p.report)
		default:
			first = first && p.isGone(now) // its first word may come yet
		}
	}
	return first
}

// comesBefore reports whether the server of r is to write rather than another one. A server that has
// a list comes before one that has none.
func (r Report) comesBefore(other Report) bool {
	if r.hasList() != other.hasList() {
		return r.hasList()
	}
	return r.rank(other) > 0
}

// Made notes that the list of the writer goes as far as head now.
func (r *Replica) Made(head list.Position, now time.Duration) {
	r.recent = append(r.recent, entry{head, now})
}

// Show returns how far players may see the list. What was shown stays so. The writer does not wait
// for a follower that lacks an entry for longer than patience.
func (r *Replica) Show(own Report, now time.Duration) list.Position {
	head := own.Head
	if r.mode != Write {
		return head
	}
	for len(r.recent) > 0 && now-r.recent[0].made >= patience {
		r.overdue, r.recent = r.recent[0].head, r.recent[1:]
	}
	for _, p := range r.peers {
		isFollower := p.isHeard(now) && p.report.Mode == Follow && p.report.Leader == own.Server
		if isFollower && p.report.Head.Compare(r.overdue) >= 0 && p.report.Head.Compare(head) < 0 {
			head = p.report.Head
		}
	}
	return head
}

// IsWanted reports whether a peer is asked for the programme.
func (r *Replica) IsWanted(now time.Duration) bool {
	for _, p := range r.peers {
		if p.isHeard(now) && p.report.Wanted {
			return true
		}
	}
	return false
}

// Report returns the last report of a peer; nil: nothing was heard.
func (r *Replica) Report(name string) *Report {
	if p := r.peers[name]; p != nil {
		return p.report
	}
	return nil
}

// Leader returns the boot id of the server that is followed; empty: none is.
func (r *Replica) Leader() string { return r.server }
