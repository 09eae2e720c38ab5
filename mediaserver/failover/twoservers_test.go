package failover

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// decider is the decision part of one of two servers.
type decider struct {
	policy   Policy
	rules    int // the version of the rules that the server knows
	state    State
	began    time.Duration
	switches []string
	asked    func(question) // is called with each decision to be made; nil: nothing is called
}

// peerView returns what a server of d's version knows of its peer.
func (d *decider) peerView(peer *Standing, heard time.Duration) PeerView {
	if peer != nil {
		known := *peer
		known.Rules = min(known.Rules, d.rules)
		peer = &known
	}
	return PeerView{HasPeer: true, Began: d.began, Peer: peer, Heard: heard}
}

// step decides at now. It makes planned switches at IDRs only, and returns what the peer is told.
func (d *decider) step(t *rapid.T, legs Legs, peer *Standing, idr bool, now time.Duration) Standing {
	return d.judge(t, legs, d.peerView(peer, now), idr, now, now)
}

// judge is step with the legs' silence judged as of another time: see Pair.judgedAt.
func (d *decider) judge(t *rapid.T, legs Legs, v PeerView, idr bool, judged, now time.Duration) Standing {
	policy := v.rulesFor(d.policy)
	policy.Rules = min(policy.Rules, d.rules)
	if d.asked != nil {
		d.asked(question{policy, legs, known(d.state), v, judged})
	}
	d.state = d.state.Observe(policy, legs, judged).withPeer(v.Peer).withoutDoubtIfAgreed(v)
	decision := Decide(policy, legs, d.state, judged)
	decision = Agree(policy, legs, d.state, v, decision, judged)
	var target Role
	switch {
	case decision.Urgency == "":
	case decision.Urgency == Planned && !idr:
		target = decision.Active
	default:
		from := d.state.Active
		if from != "" && decision.Urgency == Planned && legs.Leg(decision.Active).Rank(policy, judged) < legs.Leg(from).Rank(policy, judged) {
			t.Fatalf("%v: a planned switch to a lesser leg", now)
		}
		d.state = d.state.Switched(decision, now)
		if from == "" {
			d.state = d.state.startedWithPeer(policy, v.Peer)
		}
		if from != decision.Active {
			d.switches = append(d.switches, fmt.Sprint(now, " ", decision.Active, " ", decision.Reason))
		}
	}
	s := d.state.standing(d.policy, target, d.state.settled(judged))
	s.OnAir = d.state.Active != "" && legs.Leg(d.state.Active).Rank(policy, judged) > RankNone
	s.Rules = min(s.Rules, d.rules)
	return s
}

// Whatever happens to the encoders, the relay and the servers: a while after the last trouble both
// servers play the same leg, and go on playing it.
func TestTwoServersConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { twoServersConverge(t, nil) })
}

// twoServersConverge calls asked with the decisions that two servers make on the way.
func twoServersConverge(t *rapid.T, asked func(question)) {
	policy := rapid.SampledFrom([]Policy{standard, standard.prefer(), standard.pin(Primary), standard.pin(Backup)}).Draw(t, "policy")
	const step, trouble = 100 * ms, 600 // steps
	calm := 700                         // steps, beside the longest recovery time
	type fault struct{ from, to int }
	draw := func(what string) []fault {
		var all []fault
		for range rapid.IntRange(0, 4).Draw(t, what+"s") {
			from := rapid.IntRange(0, trouble).Draw(t, what+" from")
			all = append(all, fault{from, from + rapid.IntRange(1, 100).Draw(t, what+" length")})
		}
		return all
	}
	during := func(all []fault, n int) bool {
		for _, f := range all {
			if n >= f.from && n < min(f.to, trouble) {
				return true
			}
		}
		return false
	}
	encoders := [2][]fault{draw("primary's loss"), draw("backup's loss")}
	relay := draw("cut")
	// Faults of the content are seen by the two servers at different times.
	var content [2][]fault
	var seenAfter [2]int
	if asked == nil && rapid.Bool().Draw(t, "content counts") {
		policy.ContentFailover = true
		content = [2][]fault{draw("black primary"), draw("black backup")}
		seenAfter = [2]int{rapid.IntRange(0, 20).Draw(t, "first server's delay"), rapid.IntRange(0, 20).Draw(t, "second server's delay")}
	}
	restarts := [2][]fault{draw("first server's restart"), draw("second server's restart")}
	skew := rapid.IntRange(0, 30).Draw(t, "IDRs apart")
	ofBoth := ""
	if asked == nil { // the version before knows no faults
		ofBoth = drawFault(t)
	}

	// The version before must decide the same as long as either server runs that version.
	versions := [][2]int{{0, 0}, {0, Rules}, {Rules, 0}}
	if asked == nil {
		versions = append(versions, [2]int{Rules, Rules})
	}
	rules := rapid.SampledFrom(versions).Draw(t, "rules")
	server := func(i int, began time.Duration) *decider {
		return &decider{policy: policy, rules: rules[i], began: began, asked: asked}
	}
	servers := [2]*decider{server(0, time.Minute), server(1, time.Minute)}
	var told [2]*Standing // what each server heard last
	full := [2][2]time.Duration{}
	settledAt, same := 0, Role("")
	for n := 0; n < trouble+calm; n++ {
		if n == trouble {
			calm += int(max(servers[0].state.recovery(policy), servers[1].state.recovery(policy)) / step)
		}
		now := time.Minute + time.Duration(n)*step
		var next [2]*Standing
		for i, s := range servers {
			if during(restarts[i], n) {
				*s = *server(i, now)
				full[i] = [2]time.Duration{}
				continue
			}
			var legs Legs
			for leg, l := range []*Leg{&legs.Primary, &legs.Backup} {
				// Each server ingests one leg, and has the other leg by the relay.
				away := during(encoders[leg], n) || during(restarts[leg], n) || leg != i && during(relay, n)
				if away {
					full[i][leg] = 0
					continue
				}
				if full[i][leg] == 0 {
					full[i][leg] = now
				}
				*l = faulty(arriving(full[i][leg], now), ofBoth)
				l.Content.Black = during(content[leg], n-seenAfter[i])
			}
			peer := told[i]
			if during(relay, n) || during(restarts[1-i], n) {
				peer = nil
			}
			standing := s.step(t, legs, peer, (n+i*skew)%20 == 0, now)
			next[1-i] = &standing
		}
		told = next
		if a, b := servers[0].state.Active, servers[1].state.Active; n > trouble && (a != b || a != same) {
			same, settledAt = a, n
		}
	}
	if a, b := servers[0].state.Active, servers[1].state.Active; a != b {
		t.Fatalf("one plays %s, the other %s\n%q\n%q", a, b, servers[0].switches, servers[1].switches)
	}
	// Damping may delay a return by the recovery time. Nothing may change after that time.
	if settledAt > trouble+calm-50 {
		t.Fatalf("they still change after %v\n%q\n%q", time.Duration(settledAt-trouble)*step, servers[0].switches, servers[1].switches)
	}
}

// The relay fails every few seconds. The leg that comes by the relay must not go on and off air as
// often.
func TestARelayThatKeepsFailingMakesNoFlicker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const step, steps = 100 * ms, 1200
		up := rapid.IntRange(25, 80).Draw(t, "steps for which the relay works")
		d := &decider{policy: standard, rules: Rules}
		peer := Standing{Active: Primary, OnAir: true, Since: time.Second, Settled: true}
		var since time.Duration
		for n := range steps {
			now := time.Minute + time.Duration(n)*step
			legs := Legs{Backup: arriving(time.Second, now)}
			if n%(up+10) < up {
				if since == 0 {
					since = now
				}
				legs.Primary = arriving(since, now)
			} else {
				since = 0
			}
			d.step(t, legs, &peer, true, now)
		}
		if most := 2 * int(steps*step/followInterval+1); len(d.switches) > most {
			t.Fatalf("%d switches in %v, and at most %d would do\n%q", len(d.switches), steps*step, most, d.switches)
		}
	})
}
