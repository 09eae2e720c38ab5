package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
)

// fanoutGOP is the GOP of the publishers of fan-out.
const fanoutGOP = 2 * time.Second

// measureFanoutKill measures how soon all of many viewers have the other leg's pictures after the
// active encoder has left, at a random moment of the GOPs.
func measureFanoutKill(t *scope, o options) []table {
	video, _ := fanoutFiles(t, o)
	out := table{
		title: fmt.Sprintf("The active encoder leaves, WebRTC, 1080p30 at %d kbit/s, GOP %v, %d core(s) for the server, %d times, all viewers each time",
			o.kbps, fanoutGOP, o.cores, o.runs),
		header: "viewers | first whole IDR of the other leg, median | 99 % | worst | a current picture, median | 99 % | worst | most in " + egressWindow.String() +
			" | load's cores idle",
	}
	for _, n := range o.viewers {
		fanoutKill(t, o, video, n, &out)
	}
	return []table{out}
}

func fanoutKill(t *scope, o options, video string, n int, out *table) {
	t = t.child()
	defer t.CleanUp()
	serverCores, loadCores := o.splitCores(runtime.NumCPU())
	var s *server
	onCores(t, serverCores, func() {
		s = startServer(t, o.server, append([]string{"--max-viewers", "0"}, strings.Fields(o.serverFlags)...)...)
	})
	var encoders [2]*crowd
	publish := func(leg int) {
		onCores(t, loadCores, func() {
			encoders[leg] = gather(t, "-publish", s.http("whip/"+[...]string{"primary", "backup"}[leg]), "-video", video, "-leg", strconv.Itoa(leg))
		})
	}
	publish(0)
	t.sleep(time.Second)
	publish(1)
	var viewers *crowd
	onCores(t, loadCores, func() {
		viewers = gather(t, "-watch-light", s.http("whep/primary"+pairQuery), "-count", strconv.Itoa(n), "-sample-every", "1")
	})
	say("%d viewers", n)
	var idrs, currents measure.Figures
	var most int
	var idle float64
	for run := range o.runs {
		t.sleep(2*fanoutGOP + rand.N(fanoutGOP)) //nolint:gosec // nobody gains by guessing it
		active := 0
		if s.pair().Active == "Backup" {
			active = 1
		}
		viewers.ask("changes")
		load := func() time.Duration { return viewers.cpu() + encoders[1-active].cpu() }
		left, before := time.Now(), load()
		encoders[active].leave()
		t.sleep(2 * fanoutGOP)
		idle += 1 - float64(load()-before)/float64(time.Since(left))/float64(cmp.Or(len(loadCores), runtime.NumCPU()))
		var r changeReport
		t.must(json.Unmarshal([]byte(viewers.ask("changes")), &r))
		var ofRun [2]measure.Figures
		for i, c := range r.Changes {
			if c.Leg == active || c.IDR < left.UnixNano() || c.Current == 0 {
				t.Fatalf("run %d: viewer %d has no current picture of the other leg after %v", run+1, i+1, 2*fanoutGOP)
			}
			ofRun[0] = append(ofRun[0], time.Duration(c.IDR-left.UnixNano()))
			ofRun[1] = append(ofRun[1], time.Duration(c.Current-left.UnixNano()))
		}
		say("run %d: IDR %v to %v, current picture %v to %v, %d kB at the most in %v", run+1, ofRun[0].Median(), ofRun[0].Worst(), ofRun[1].Median(), ofRun[1].Worst(), r.Most/1000, egressWindow)
		idrs, currents, most = append(idrs, ofRun[0]...), append(currents, ofRun[1]...), max(most, r.Most)
		publish(active)
	}
	rate := float64(most) * 8 / egressWindow.Seconds() / 1e6
	row := []string{strconv.Itoa(n)}
	for _, f := range []measure.Figures{idrs, currents} {
		row = append(row, milliseconds(f.Median()), milliseconds(f.Quantile(0.99)), milliseconds(f.Worst()))
	}
	out.row(append(row, fmt.Sprintf("%.0f Mbit/s", rate), fmt.Sprintf("%.0f %%", 100*idle/float64(o.runs)))...)
	viewers.leave()
}
