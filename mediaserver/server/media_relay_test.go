package server

import (
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A relayedPair is two media servers that play the pair sunday. Each ingests one leg and
// relays the other. What a server relays passes through the gate to the other server.
type relayedPair struct {
	t        *testing.T
	manifest string
	keys     map[string]string // of the pair's Secret
	files    *mount            // with the keys, for the servers that start
	options  []func(*Config)
	servers  [2]*testServer            // by the leg that they ingest
	gates    [2]*mediatest.FaultyProxy // to each server
}

var legIDs = [2]string{"primary", "backup"}

func startRelayedPair(t *testing.T, manifest string, options ...func(*Config)) *relayedPair {
	t.Helper()
	w := &relayedPair{t: t, manifest: manifest, options: options, keys: keys(t, firstToken, firstCluster)}
	w.files = newMount(t, t.TempDir(), w.keys)
	for leg := range w.gates {
		w.gates[leg] = mediatest.NewFaultyProxy(t)
	}
	for leg := range w.servers {
		w.start(leg)
	}
	w.areConnected()
	return w
}

// start starts the server that ingests a leg.
func (w *relayedPair) start(leg int) {
	w.t.Helper()
	w.servers[leg] = startServer(w.t, w.manifest, append(w.options, func(c *Config) {
		c.Role = [2]v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}[leg]
		c.Peer, c.RelayAddress = "https://"+w.gates[1-leg].Addr(), "127.0.0.1:0"
		c.Control = w.files.controlFiles()
		if c.PeerInsecure {
			c.Peer, c.RelayAddress = "http://"+w.gates[1-leg].Addr(), ""
		}
		c.Logger = c.Logger.With("server", legIDs[leg])
	})...)
	w.open(leg)
}

// open makes the gate to a server lead to its current address.
func (w *relayedPair) open(leg int) {
	a := w.servers[leg].Addresses()
	to := a.Relay
	if w.servers[leg].cfg.PeerInsecure {
		to = a.HTTP
	}
	w.gates[leg].SetTarget(to)
}

// kill takes a server away abruptly.
func (w *relayedPair) kill(leg int) {
	w.t.Helper()
	w.cut((*mediatest.FaultyProxy).Close)
	w.servers[leg].end()
	<-w.servers[leg].ended
	w.open(1 - leg)
}

func (w *relayedPair) cut(how func(*mediatest.FaultyProxy)) {
	for _, g := range w.gates {
		how(g)
	}
}

// heal ends every cut.
func (w *relayedPair) heal() {
	for leg, g := range w.gates {
		g.Blackhole(false)
		w.open(leg)
	}
}

func (w *relayedPair) areConnected() {
	w.t.Helper()
	eventually.True(w.t, "both hear of each other", func() bool {
		return w.both(func(_ int, p control.Pair) bool { return p.Peer != nil && p.Peer.Connected })
	})
}

// both reports whether something holds of the pair at both servers.
func (w *relayedPair) both(holds func(server int, p control.Pair) bool) bool {
	for i, s := range w.servers {
		if !holds(i, s.pair("sunday")) {
			return false
		}
	}
	return true
}

// play waits until both servers play a leg, and both legs are live or not, as given.
func (w *relayedPair) play(leg int, primaryLive, backupLive bool) {
	w.t.Helper()
	for _, s := range w.servers {
		s.onAir(legIDs[leg], primaryLive, backupLive)
	}
}

// publish starts the encoder of a leg at a server, by ffmpeg.
func (w *relayedPair) publish(leg, server int) publisher {
	w.t.Helper()
	path := file(w.t, mediatest.Programme{Leg: leg, GOPPhase: time.Duration(leg) * 700 * ms})
	return mediatest.Publish(w.t, path, w.servers[server].publishURL(legIDs[leg]), "-stream_loop", "-1")
}

// publishBoth starts the encoder of each leg at its own server.
// The primary's comes first, so that the primary is on air.
func (w *relayedPair) publishBoth() (encoders [2]publisher) {
	w.t.Helper()
	for leg := range encoders {
		encoders[leg] = w.publish(leg, leg)
		w.play(0, true, leg == 1)
	}
	return encoders
}

func (w *relayedPair) watch() [2]*viewer {
	return [2]*viewer{w.servers[0].watchPair(), w.servers[1].watchPair()}
}

func TestAKilledEncoderSwitchesBothServers(t *testing.T) {
	w := startRelayedPair(t, sticky)
	encoders := w.publishBoth()
	viewers := w.watch()
	var gaps [2][]time.Duration // of the server that ingested the leg, and of the other one
	for n := range 6 {
		active, other := n%2, 1-n%2
		w.play(active, true, true)
		for _, v := range viewers {
			v.sees(active, fps, time.Now())
		}
		killed := time.Now()
		encoders[active].Kill()
		for i, v := range viewers {
			v.sees(other, fps, killed)
			time.Sleep(time.Until(killed.Add(maxGap)))
			gap := mediatest.LongestGap(v.Sightings(), killed, killed.Add(maxGap))
			if gap > maxGap/2 {
				t.Errorf("switch %d: no picture for %v at the %s's server", n, gap, legIDs[i])
			}
			which := 0
			if i != active {
				which = 1
			}
			gaps[which] = append(gaps[which], gap)
		}
		encoders[active] = w.publish(active, active)
	}
	w.play(0, true, true)
	for i, what := range []string{"ingesting server", "other server"} {
		t.Logf("%s: longest gap after a kill: median %v, worst %v", what, median(gaps[i]).Round(ms), slices.Max(gaps[i]).Round(ms))
	}
	for i, v := range viewers {
		if p := w.servers[i].pair("sunday"); p.Switches != 6 {
			t.Errorf("%d switches at the %s's server, want 6; the last for %s", p.Switches, legIDs[i], p.Reason)
		}
		v.sees(0, fps*2, time.Now())
		r := v.leaves()
		r.isContinuous()
		r.isInSync(3, 300*ms, 300*ms)
		r.hasSound(maxSilence, r.soundBegins())
	}
	for i := range w.servers {
		for leg, l := range w.servers[i].pair("sunday").Legs {
			if l.Local != (leg == i) {
				t.Errorf("%s is local at the %s's server: %v", legIDs[leg], legIDs[i], l.Local)
			}
		}
		for _, s := range w.servers[i].status().Streams {
			if s.Relayed != (s.StreamID != legIDs[i]) {
				t.Errorf("%s is relayed at the %s's server: %v", s.StreamID, legIDs[i], s.Relayed)
			}
		}
	}
}

func TestAKilledServerIsNothingToViewersOfTheOther(t *testing.T) {
	for leg, what := range []string{"the one that ingests the leg on air: a failover", "the other one: nothing"} {
		t.Run(what, func(t *testing.T) {
			w := startRelayedPair(t, sticky)
			w.publishBoth()
			stays := w.servers[1-leg]
			v := stays.watchPair()
			v.sees(0, fps*2, time.Time{})
			killed := time.Now()
			w.kill(leg)
			v.sees(1-leg, fps*3, killed)
			gap := mediatest.LongestGap(v.Sightings(), killed, killed.Add(2*time.Second))
			t.Logf("longest gap %v", gap.Round(ms))
			if gap > maxGap {
				t.Errorf("no picture for %v", gap)
			}
			p := stays.pair("sunday")
			if want := 1 - leg; p.Switches != want {
				t.Errorf("%d switches, want %d", p.Switches, want)
			}
			if p.Peer == nil || p.Peer.Connected {
				t.Errorf("the peer is %+v", p.Peer)
			}
			v.leaves().isContinuous()
		})
	}
}

func TestARelayThatIsCutAndHealedConverges(t *testing.T) {
	tests := []struct {
		name string
		cut  func(*mediatest.FaultyProxy)
		// gap bounds how long a viewer of the relayed leg may be without a picture.
		gap time.Duration
	}{
		{"refused", (*mediatest.FaultyProxy).Close, maxGap},
		{"a black hole", func(g *mediatest.FaultyProxy) { g.Blackhole(true) }, time.Second + maxGap},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := startRelayedPair(t, sticky)
			w.publishBoth()
			viewers := w.watch()
			for _, v := range viewers {
				v.sees(0, fps*2, time.Time{})
			}
			time.Sleep(2 * time.Second)

			cut := time.Now()
			w.cut(tt.cut)
			viewers[1].sees(1, fps, cut)
			eventually.True(t, "the peers are away", func() bool {
				return w.both(func(_ int, p control.Pair) bool { return !p.Peer.Connected })
			})
			w.servers[0].onAir("primary", true, false)
			w.servers[1].onAir("backup", false, true)
			time.Sleep(3 * time.Second)
			gaps := [2]time.Duration{}
			for i, v := range viewers {
				gaps[i] = mediatest.LongestGap(v.Sightings(), cut, cut.Add(3*time.Second))
			}
			t.Logf("cut: longest gap %v at the ingesting server, %v at the other", gaps[0].Round(ms), gaps[1].Round(ms))
			if gaps[0] > maxGap/2 || gaps[1] > tt.gap {
				t.Error("that is too long")
			}

			healed := time.Now()
			w.heal()
			w.play(0, true, true)
			t.Logf("healed: both play the same leg after %v", time.Since(healed).Round(ms))
			if took := time.Since(healed); took > 15*time.Second {
				t.Error("that is too long")
			}
			viewers[1].sees(0, fps*2, healed)
			viewers[0].sees(0, fps*2, healed)
			for i, want := range []int{0, 2} {
				if p := w.servers[i].pair("sunday"); p.Switches != want {
					t.Errorf("%d switches at the %s's server, want %d; the last for %s", p.Switches, legIDs[i], want, p.Reason)
				}
				gap := mediatest.LongestGap(viewers[i].Sightings(), healed, time.Now())
				t.Logf("longest gap since then at the %s's server: %v", legIDs[i], gap.Round(ms))
				if gap > maxGap/2 {
					t.Error("that is too long")
				}
			}
			if reason := w.servers[1].pair("sunday").Reason; reason != "FollowedPeer" {
				t.Errorf("it came back for %s", reason)
			}
			for _, v := range viewers {
				v.leaves().isContinuous()
			}
		})
	}
}

func TestAServerThatStartsPlaysWhatItsPeerPlays(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	w.publishBoth()[0].Kill()
	w.play(1, false, true)
	w.kill(0)
	w.start(0)
	w.publish(0, 0) // at once, long before the other leg has arrived
	w.play(1, true, true)
	time.Sleep(3 * time.Second)
	w.play(1, true, true)
	if p := w.servers[0].pair("sunday"); p.Switches != 0 {
		t.Errorf("it made %d switches, the last for %s", p.Switches, p.Reason)
	}
	if p := w.servers[1].pair("sunday"); p.Switches != 1 {
		t.Errorf("the peer made %d switches, want 1", p.Switches)
	}
}

func TestBothEncodersAtOneServerAreEnough(t *testing.T) {
	t.Parallel()
	w := startRelayedPair(t, sticky)
	primary := w.publish(0, 1)
	w.play(0, true, false)
	w.publish(1, 1)
	w.play(0, true, true)
	v := w.servers[0].watchPair()
	v.sees(0, fps, time.Time{})
	killed := time.Now()
	primary.Kill()
	v.sees(1, fps, killed)
	for _, s := range w.servers[0].status().Streams {
		if s.Publishing && !s.Relayed {
			t.Errorf("%s is not relayed at the primary's server", s.StreamID)
		}
	}
}
