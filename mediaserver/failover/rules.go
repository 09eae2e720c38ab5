package failover

// Rules is the version of the decision rules of this server. A server tells its version to its
// peer, and a rule counts only while both servers know the rule. So both servers come to the same
// decision from the same facts while one of them is upgraded.
const Rules = 3

// The version of Rules with which each rule came.
const (
	// rulesDoubt: when two servers play different legs, the server with less doubt is right.
	rulesDoubt = 1
	// rulesStillPicture: a slower picture rate is no loss while sound is on time.
	rulesStillPicture = 1
	// rulesFaults: a track that nobody can play counts as lost. A picture that only some viewers
	// can play ranks below a picture that all viewers can play.
	rulesFaults = 1
	// rulesBursts: input in bursts is tolerated up to the policy's MaxJitter.
	rulesBursts = 1
	// rulesMissing: a leg without video ranks lower beside a leg that has a picture.
	rulesMissing = 2
	// rulesContent: faults of the content lower a leg's rank, if the policy says so.
	rulesContent = 3
)

// rules returns the version of the rules in force: the lesser of both servers' versions. A server
// that does not hear a peer uses its own version.
func (v PeerView) rules() int {
	if v.Peer == nil {
		return Rules
	}
	return min(Rules, v.Peer.Rules)
}

// rulesFor returns the policy with the version of the rules in force.
func (v PeerView) rulesFor(p Policy) Policy {
	p.Rules = v.rules()
	return p
}

// policyInForce returns the pair's policy with the version of the rules in force.
func (p *Pair) policyInForce() Policy { return p.peerView().rulesFor(p.Policy()) }
