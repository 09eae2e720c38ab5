package failover

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// This file is compiled twice: here, and by hack/previous.sh into the package as it was in the
// version before. So it uses only names that both versions have: known_test.go and testdata/decider
// hold those that differ. New rules and their fields are not asked about here: they must not count
// while the peer does not announce them.

// A question is one look at a pair, with everything that a decision depends on.
type question struct {
	Policy   Policy
	Legs     Legs
	State    knownState
	PeerView PeerView
	Now      time.Duration
}

// An answer is what becomes of the pair by one version's rules.
type answer struct {
	// Observed is the state after the look. Settled is what the peer is told about it.
	Observed knownState
	Settled  bool
	// Decided is the server's own decision. Agreed is the decision after a comparison with the
	// peer.
	Decided, Agreed Decision
	// After is the state once Agreed has been carried out. Told is the standing that the peer is
	// told then.
	After knownState
	Told  Standing
	// HasLeft reports for each leg whether the peer has left it. Ranks has the rank of each leg.
	HasLeft map[Role]bool
	Ranks   map[Role]string
}

// knownState is a State with field names that JSON can carry.
type knownState struct {
	Active                    Role
	Reason                    Reason
	Since, FirstPicture       time.Duration
	Switches                  int
	PrimaryWhole, BackupWhole time.Duration
	LastFailover              time.Duration
	RepeatedFailovers         int
	LastPlanned, LastFollowed time.Duration
	LastPinned                Role
	BackupWanted              bool
}

// answer answers like Pair: it looks, decides, agrees, and carries the decision out at once.
func (q question) answer() answer {
	s := q.State.state().Observe(q.Policy, q.Legs, q.Now).withPeer(q.PeerView.Peer)
	a := answer{Observed: known(s), Settled: s.settled(q.Now), HasLeft: map[Role]bool{}, Ranks: map[Role]string{}}
	a.Decided = Decide(q.Policy, q.Legs, s, q.Now)
	a.Agreed = Agree(q.Policy, q.Legs, s, q.PeerView, a.Decided, q.Now)
	if a.Agreed.Urgency != "" {
		first := s.Active == ""
		if s = s.Switched(a.Agreed, q.Now); first {
			s = s.startedWithPeer(q.Policy, q.PeerView.Peer)
		}
	}
	a.After, a.Told = known(s), s.standing(q.Policy, "", a.Settled)
	for _, r := range []Role{Primary, Backup} {
		a.HasLeft[r] = q.PeerView.Peer != nil && q.PeerView.Peer.HasLeft(r)
		a.Ranks[r] = q.Legs.Leg(r).Rank(q.Policy, q.Now).String()
	}
	return a
}

// AnswerQuestions reads questions, one JSON object a line. It writes the answer to each in the same
// form, until there are no more questions.
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
