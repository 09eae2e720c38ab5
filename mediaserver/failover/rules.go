package failover

// Rules is the version of the rules that this server decides by. A server tells it to its
// peer, and a rule counts only while both servers know it: both must come to the same
// decision from the same facts while one of them is upgraded.
const Rules = 1

// The versions since which there are rules.
const (
	// rulesDoubt: of two servers that differ, the one with less doubt is right.
	rulesDoubt = 1
	// rulesStillPicture: pictures that come more slowly are no loss while sound is on time.
	rulesStillPicture = 1
	// rulesFaults: a track that nobody can play counts as lost, and a picture that some
	// viewers cannot play for less than one that all can.
	rulesFaults = 1
	// rulesBursts: input that comes in bursts is put up with.
	rulesBursts = 1
)

// rules is the version of the rules in force: the lesser of both servers'. A server that
// does not hear a peer goes by its own.
func (a Accord) rules() int {
	if a.Peer == nil {
		return Rules
	}
	return min(Rules, a.Peer.Rules)
}

// rulesFor returns the policy with the version of the rules in force.
func (a Accord) rulesFor(p Policy) Policy {
	p.Rules = a.rules()
	return p
}

// policyInForce is the pair's policy with the version of the rules in force.
func (p *Pair) policyInForce() Policy { return p.accord().rulesFor(p.Policy()) }
