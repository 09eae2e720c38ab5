package failover

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// This file is compiled twice: here, and by hack/previous.sh into the package as it was in
// the version before. So it uses only what both versions have. A rule that is new, with its
// fields, is not asked for here: it must not count while the peer does not announce it.

// A question is one look at a pair, with all that a decision depends on.
type question struct {
	Policy Policy
	Legs   Legs
	State  knownState
	Accord Accord
	Now    time.Duration
}

// An answer is what becomes of the pair by one version's rules.
type answer struct {
	// Observed is the state after the look, and Settled what the peer is told of it.
	Observed knownState
	Settled  bool
	// Decided is the server's own decision, and Agreed what is left of it beside the peer's.
	Decided, Agreed Decision
	// After is the state once Agreed has been carried out, and Told how the pair then stands,
	// as the peer is told.
	After knownState
	Told  Standing
	// HasLeft says of each leg whether the peer has left it, and Ranks what it is worth.
	HasLeft map[Role]bool
	Ranks   map[Role]string
}

// knownState is a State with names that JSON can carry.
type knownState struct {
	Active                    Role
	Reason                    Reason
	Since, FirstPicture       time.Duration
	Switches                  int
	PrimaryFull, BackupFull   time.Duration
	LastFailover              time.Duration
	InSuccession              int
	LastPlanned, LastFollowed time.Duration
	Obeyed                    Role
	Overruled                 bool
}

func known(s State) knownState {
	return knownState{
		Active: s.Active, Reason: s.Reason, Since: s.Since, FirstPicture: s.FirstPicture, Switches: s.Switches,
		PrimaryFull: s.primaryFull, BackupFull: s.backupFull, LastFailover: s.lastFailover, InSuccession: s.inSuccession,
		LastPlanned: s.lastPlanned, LastFollowed: s.lastFollowed, Obeyed: s.obeyed, Overruled: s.overruled,
	}
}

func (k knownState) state() State {
	return State{
		Active: k.Active, Reason: k.Reason, Since: k.Since, FirstPicture: k.FirstPicture, Switches: k.Switches,
		primaryFull: k.PrimaryFull, backupFull: k.BackupFull, lastFailover: k.LastFailover, inSuccession: k.InSuccession,
		lastPlanned: k.LastPlanned, lastFollowed: k.LastFollowed, obeyed: k.Obeyed, overruled: k.Overruled,
	}
}

// answer answers as Pair does: it looks, decides, agrees, and carries out at once.
func (q question) answer() answer {
	s := q.State.state().Observe(q.Policy, q.Legs, q.Now).heeding(q.Accord.Peer)
	a := answer{Observed: known(s), Settled: s.settled(q.Now), HasLeft: map[Role]bool{}, Ranks: map[Role]string{}}
	a.Decided = Decide(q.Policy, q.Legs, s, q.Now)
	a.Agreed = Agree(q.Policy, q.Legs, s, q.Accord, a.Decided, q.Now)
	if a.Agreed.Urgency != "" {
		first := s.Active == ""
		if s = s.Switched(a.Agreed, q.Now); first {
			s = s.adopted(q.Policy, q.Accord.Peer)
		}
	}
	a.After, a.Told = known(s), s.standing(q.Policy, "", a.Settled)
	for _, r := range []Role{Primary, Backup} {
		a.HasLeft[r] = q.Accord.Peer != nil && q.Accord.Peer.HasLeft(r)
		a.Ranks[r] = q.Legs.Leg(r).Rank(q.Policy, q.Now).String()
	}
	return a
}

// AnswerQuestions reads questions, one a line in JSON, and writes the answer to each in the
// same form, until there are no more.
func AnswerQuestions(r io.Reader, w io.Writer) error {
	lines, out := bufio.NewReader(r), json.NewEncoder(w)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		if err := out.Encode(q.answer()); err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
	}
}
